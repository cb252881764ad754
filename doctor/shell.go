package doctor

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// shellPath is how a shell's text starts the program that matters, and what a TERM
// that reaches the shell comes to.
type shellPath struct {
	words []word // of that program; none if the text starts nothing
	args  bool   // the program is what the script was called with, "$@"
	line  int    // of the program within the text

	exec    bool   // it takes the shell's place
	tail    bool   // nothing comes after it, and the shell waits for it alone
	single  bool   // there is nothing else in the text but what must come before by &&
	nested  bool   // it is in a subshell, or its output goes elsewhere
	piped   string // where its output is piped to
	timed   bool   // by the shell's own time
	behind  bool   // it runs in the background
	looped  bool   // it is started again and again
	offset  int    // of the program in the text
	here    string // the rest of the line from the program on
	assigns bool   // it gets variables of its own, as in A=1 program
	traps   bool   // the shell has something to do at its end, or at any signal
	trapped bool   // the shell has a handler for TERM
	waits   int    // how often the shell waits, where a loop or the handler itself counts twice
	calls   []call // everything that is called, in order
}

// call is one simple command of a shell's text.
type call struct {
	words []string
	line  int
}

// readShell reads a shell's text. An error names the line within it.
func readShell(source string) (shellPath, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(source), "")
	if err != nil {
		return shellPath{}, err
	}
	r := shellReader{functions: map[string]*syntax.Stmt{}}
	syntax.Walk(file, func(n syntax.Node) bool {
		if f, ok := n.(*syntax.FuncDecl); ok && f.Name != nil {
			r.functions[f.Name.Value] = f.Body
		}
		return true
	})
	r.list(file.Stmts, shellPath{tail: true, single: true})
	path := r.result()
	if len(path.words) > 0 {
		path.here, _, _ = strings.Cut(source[path.offset:], "\n")
		path.here = strings.TrimSuffix(path.here, "\r")
	}
	return path, nil
}

// shellReader walks a text in the order in which the shell does.
type shellReader struct {
	functions map[string]*syntax.Stmt
	entered   []string // functions that are being called
	starts    []shellPath
	calls     []call
	trapped   bool
	traps     bool
	waits     int
}

// list reads statements of which the last one inherits whatever holds for the list.
func (r *shellReader) list(stmts []*syntax.Stmt, in shellPath) {
	in.single = in.single && len(stmts) == 1
	for i, s := range stmts {
		each := in
		each.tail = in.tail && i == len(stmts)-1
		r.stmt(s, each)
	}
}

func (r *shellReader) stmt(s *syntax.Stmt, in shellPath) {
	if s == nil {
		return
	}
	in.behind = in.behind || s.Background
	if len(s.Redirs) > 0 || s.Negated {
		in.nested = true
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		r.call(c, in)
	case *syntax.BinaryCmd:
		r.binary(c, in)
	case *syntax.Block:
		r.list(c.Stmts, in)
	case *syntax.Subshell:
		in.nested = true
		r.list(c.Stmts, in)
	case *syntax.IfClause:
		for clause := c; clause != nil; clause = clause.Else {
			r.list(clause.Then, in)
		}
	case *syntax.CaseClause:
		for _, item := range c.Items {
			r.list(item.Stmts, in)
		}
	case *syntax.WhileClause:
		r.loop(c.Do, in)
	case *syntax.ForClause:
		r.loop(c.Do, in)
	case *syntax.TimeClause:
		in.timed = true
		r.stmt(c.Stmt, in)
	case *syntax.CoprocClause:
		in.behind = true
		r.stmt(c.Stmt, in)
	}
}

func (r *shellReader) loop(body []*syntax.Stmt, in shellPath) {
	in.tail, in.looped = false, true
	r.list(body, in)
}

func (r *shellReader) binary(c *syntax.BinaryCmd, in shellPath) {
	left, right := in, in
	left.tail = false
	switch c.Op {
	case syntax.Pipe, syntax.PipeAll:
		left.piped = first(c.Y)
		right.nested = true
	case syntax.OrStmt:
		right.single = false
	}
	left.single = false
	r.stmt(c.X, left)
	r.stmt(c.Y, right)
}

// first is the name of the program that a statement starts.
func first(s *syntax.Stmt) string {
	if c, ok := s.Cmd.(*syntax.CallExpr); ok && len(c.Args) > 0 {
		return path.Base(wordText(c.Args[0]))
	}
	return "a pipe"
}

func (r *shellReader) call(c *syntax.CallExpr, in shellPath) {
	if len(c.Args) == 0 {
		return
	}
	words := make([]string, len(c.Args))
	for i, w := range c.Args {
		words[i] = wordText(w)
	}
	in.line, in.offset, in.assigns = int(c.Args[0].Pos().Line()), int(c.Args[0].Pos().Offset()), len(c.Assigns) > 0
	r.calls = append(r.calls, call{words, in.line})
	switch words[0] {
	case "exec":
		words = execWords(words[1:])
		if len(words) == 0 {
			return // it only redirects
		}
		in.exec = in.piped == "" && !in.behind && !in.timed
		r.start(words, in)
	case "trap":
		r.trap(words[1:])
	case "wait":
		r.waits++
		if in.looped {
			r.waits++
		}
	default:
		body := r.functions[words[0]]
		switch {
		case body != nil && !slices.Contains(r.entered, words[0]):
			r.entered = append(r.entered, words[0])
			r.stmt(body, in)
			r.entered = r.entered[:len(r.entered)-1]
		case body == nil && !small[words[0]]:
			r.start(words, in)
		}
	}
}

// execWords leaves out the options of exec itself.
func execWords(words []string) []string {
	for len(words) > 0 && len(words[0]) > 1 && words[0][0] == '-' {
		if words[0] == "--" {
			return words[1:]
		}
		named := words[0] == "-a"
		words = words[1:]
		if named && len(words) > 0 {
			words = words[1:]
		}
	}
	return words
}

func (r *shellReader) start(words []string, in shellPath) {
	for _, w := range words {
		in.words = append(in.words, word{value: w})
	}
	in.args = words[0] == "$@" || words[0] == "$*"
	r.starts = append(r.starts, in)
}

// trap reads a handler. One that waits itself is as good as a second wait.
func (r *shellReader) trap(words []string) {
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) < 2 || words[0] == "-" || words[0] == "" {
		return
	}
	r.traps = true
	for _, name := range words[1:] {
		if signalName(name) != "TERM" {
			continue
		}
		r.trapped = true
		handler := words[0]
		if body := r.functions[handler]; body != nil && callsWait(body) || strings.Contains(handler, "wait") {
			r.waits++
		}
	}
}

func callsWait(body syntax.Node) (waits bool) {
	syntax.Walk(body, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.CallExpr); ok && len(c.Args) > 0 && wordText(c.Args[0]) == "wait" {
			waits = true
		}
		return !waits
	})
	return waits
}

// result picks the program that matters: a worker, else what the script was called
// with, else the last one. Of several that are alike it takes one that does not
// replace the shell.
func (r *shellReader) result() shellPath {
	best, rank := shellPath{}, -1
	for _, s := range r.starts {
		here := 0
		if s.args {
			here = 1
		}
		if kindOf(values(s.words)) != unknownWorker {
			here = 2
		}
		if here > rank || here == rank && (here == 0 || best.exec) {
			best, rank = s, here
		}
	}
	best.trapped, best.traps, best.waits, best.calls = r.trapped, r.traps, r.waits, r.calls
	return best
}

// replaces reports whether the program takes the place of a shell of that kind which
// was given the text by -c. (Measured with dash 0.5.12, bash 5.2 and busybox 1.35.)
func (p shellPath) replaces(shell shellKind) (yes, byAccident bool) {
	if p.exec && !(p.nested && p.looped) {
		return true, false
	}
	if !p.tail || !p.single || p.behind || p.piped != "" || p.timed || p.trapped {
		return false, false
	}
	switch shell {
	case bash:
		return false, !p.nested
	case ash:
		return false, true
	}
	return false, false
}

// small are commands that only prepare, or say something.
var small = map[string]bool{
	"echo": true, "printf": true, "cd": true, "export": true, "set": true, "unset": true, "umask": true, "ulimit": true, "shopt": true,
	"test": true, "[": true, ":": true, "true": true, "false": true, "exit": true, "return": true, "shift": true, "local": true, "read": true,
	".": true, "source": true, "eval": true, "kill": true, "sleep": true, "rm": true, "mkdir": true, "chown": true, "chmod": true, "touch": true,
	"cat": true, "cp": true, "mv": true, "ln": true, "date": true, "logger": true, "break": true, "continue": true, "ls": true,
}

// wordText is a word without its quotes. What is only known when it runs stays as it
// is written.
func wordText(w *syntax.Word) string {
	var b strings.Builder
	partsText(&b, w.Parts)
	return b.String()
}

func partsText(b *strings.Builder, parts []syntax.WordPart) {
	for _, part := range parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(strings.ReplaceAll(p.Value, `\`, ""))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			partsText(b, p.Parts)
		case *syntax.ParamExp:
			if p.Param != nil {
				b.WriteString("$" + p.Param.Value)
			}
		case *syntax.CmdSubst:
			b.WriteString("$(…)")
		default:
			b.WriteString("…")
		}
	}
}

// shellKind is which program stands behind the name sh.
type shellKind string

const (
	dash    shellKind = "dash"
	bash    shellKind = "bash"
	ash     shellKind = "busybox ash"
	noShell shellKind = "no shell"
)

// shellOf is the shell of a base image. Images that are not known to have another
// are built on Debian, as the official ones of languages are.
func shellOf(base string) shellKind {
	name := strings.ToLower(base)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
	}
	switch {
	case name == "scratch", has("distroless", "chainguard/static") && !has("debug"):
		return noShell
	case has("alpine", "busybox", "distroless"):
		return ash
	case has("ubi", "fedora", "rockylinux", "almalinux", "centos", "amazonlinux", "oraclelinux", "rhel") && !has("ubiquit"):
		return bash
	}
	return dash
}

func values(words []word) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = w.value
	}
	return list
}
