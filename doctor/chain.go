package doctor

import (
	"path"
	"strings"
)

// layer is one program between the platform and the jobs.
type layer struct {
	kind  layerKind
	name  string // the program's, without its folder
	at    Place
	words []word    // from this program on
	text  string    // of a shell
	shell shellKind // which one it is
	form  bool      // the shell was put there by the format
	path  shellPath // what the shell or script does
	init  initOptions
}

type layerKind int

const (
	program  layerKind = iota // does the work, or is not known
	initial                   // an init
	shell                     // sh -c
	scripted                  // a script among the sources
	wrapper                   // anything else that stays in between
)

// initOptions is how an init was started.
type initOptions struct {
	ours       bool // ebb's, which waits for all that is below it
	platforms  bool // put there by the platform
	subreaper  bool
	single     bool // dumb-init passes signals to its child alone
	rewrites   map[string]string
	dashes     bool // -- was there
	unfinished bool // there is nothing after its options
}

// trace follows a command from the first program on. It ends at one that it knows
// nothing of, which is then the one that does the work.
func (f *facts) trace(w *workload) (chain []layer) {
	words, form := w.effective()
	if w.init.known() {
		chain = append(chain, layer{kind: initial, name: "tini", at: w.init, init: initOptions{platforms: true, dashes: true}})
	}
	for len(words) > 0 && len(chain) < 16 {
		l, rest := f.peel(w, words)
		l.form = form && l.kind == shell
		form = false
		chain = append(chain, l)
		if l.kind == program {
			break
		}
		words = rest
	}
	return chain
}

// effective is what is started once all overrides are counted. In every format, what
// stands for ENTRYPOINT also drops the image's CMD, and a shell form of ENTRYPOINT
// takes no arguments.
func (w *workload) effective() (words []word, shellForm bool) {
	entry, args := w.entry, w.args
	if w.image != nil && entry == nil {
		entry = w.image.entrypoint
		if args == nil {
			args = w.image.cmd
		}
	}
	if entry != nil {
		words, shellForm = entry.words, entry.shellForm
	}
	if args != nil && !shellForm {
		if entry == nil {
			shellForm = args.shellForm
		}
		words = append(words[:len(words):len(words)], args.words...)
	}
	return words, shellForm
}

// peel takes the first program away from words, and says what it starts.
func (f *facts) peel(w *workload, words []word) (l layer, rest []word) {
	l = layer{name: baseName(words[0].value), at: words[0].at, words: words}
	if rest, ok := l.peelInit(w, words); ok {
		l.kind = initial
		return l, rest
	}
	if kind, ok := shells[l.name]; ok {
		return f.peelShell(w, l, kind)
	}
	if s := f.scriptOf(w, words[0].value); s != nil {
		return peelScript(l, s, words[1:])
	}
	for _, known := range []map[string]shape{passing, holding} {
		if s, ok := known[l.name]; ok && (s.only == "" || len(words) > 1 && s.only == words[1].value) {
			l.kind = wrapper
			return l, s.rest(words[1:])
		}
	}
	return l, nil
}

var shells = map[string]shellKind{"sh": "", "dash": dash, "bash": bash, "ash": ash, "zsh": bash, "ksh": bash}

// peelShell reads what a shell is told by -c, or in a script that it is given.
func (f *facts) peelShell(w *workload, l layer, kind shellKind) (layer, []word) {
	if kind == "" {
		kind = dash
		if w.image != nil {
			kind = shellOf(w.image.base.value)
		}
	}
	l.shell = kind
	given := false // -c
	for i := 1; i < len(l.words); i++ {
		switch option := l.words[i].value; {
		case given && !strings.HasPrefix(option, "-") || given && option == "--":
			if option == "--" && i+1 < len(l.words) {
				i++
			}
			return f.peelText(l, i)
		case option == "-o" || option == "+o" || option == "-O":
			i++
		case strings.HasPrefix(option, "-") && !strings.HasPrefix(option, "--"):
			given = given || strings.Contains(option, "c")
			if strings.HasSuffix(option, "o") {
				i++ // -eo pipefail
			}
		case !strings.HasPrefix(option, "-"):
			if s := f.scriptOf(w, option); s != nil {
				return peelScript(l, s, l.words[i+1:])
			}
			return l, nil
		}
	}
	return l, nil
}

func (f *facts) peelText(l layer, i int) (layer, []word) {
	at := l.words[i].at
	l.kind, l.text, l.at = shell, l.words[i].value, at
	path, err := readShell(l.text)
	if err != nil {
		f.problem(at, "this is not a shell's language: %v", err)
		l.kind = program
		return l, nil
	}
	l.path = path
	rest := path.words
	if path.args {
		rest = l.words[min(i+2, len(l.words)):] // the first one is $0
		return l, rest
	}
	return l, placed(rest, func(int) Place { return at })
}

func peelScript(l layer, s *script, args []word) (layer, []word) {
	l.kind, l.path, l.name = scripted, s.path, path.Base(s.name)
	l.at = Place{s.name, max(1, s.path.line)}
	if s.path.args {
		return l, args
	}
	return l, placed(s.path.words, func(int) Place { return l.at })
}

func placed(words []word, at func(i int) Place) []word {
	list := make([]word, len(words))
	for i, w := range words {
		list[i] = word{w.value, at(i)}
	}
	return list
}

// scriptOf finds the script that a name in an image stands for: what was copied there
// under that name, in the build's context.
func (f *facts) scriptOf(w *workload, name string) *script {
	dir := path.Dir(w.at.File)
	if w.image != nil {
		dir = w.image.dir
		if from := w.image.copies[path.Base(name)]; from != "" {
			name = from
		}
	}
	var found *script
	for _, s := range f.scripts {
		if path.Base(s.name) != path.Base(name) || !within(s.dir, dir) {
			continue
		}
		if path.Join(dir, name) == s.name {
			return s
		}
		if found == nil || len(s.name) < len(found.name) {
			found = s
		}
	}
	return found
}

func within(dir, of string) bool {
	return of == "." || dir == of || strings.HasPrefix(dir, of+"/")
}
