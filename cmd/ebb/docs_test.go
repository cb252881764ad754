package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/query"
)

const repo = "../.."

// commandTree is the whole command, to look at.
func commandTree() *cobra.Command {
	a := &app{term: console.New(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}, nil), now: time.Now}
	return newRoot(a)
}

// walk visits the commands that can be run, a noun before its verbs.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	if c.Hidden || c.IsAdditionalHelpTopicCommand() {
		return
	}
	visit(c)
	for _, below := range c.Commands() {
		walk(below, visit)
	}
}

// TestReference compares docs/reference/cli.md with what the commands say of
// themselves; -update writes it.
func TestReference(t *testing.T) {
	t.Parallel()
	file := filepath.Join(repo, "docs", "reference", "cli.md")
	want := reference(commandTree())
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the commands say: run go test ./cmd/ebb -run TestReference -update", file)
	}
}

func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# The command\n\nWritten from the definitions of the commands, as `ebb help` is; a test holds them together.\n")
	for _, g := range root.Groups() {
		fmt.Fprintf(&b, "\n## %s\n", strings.TrimSuffix(g.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == g.ID {
				walk(c, func(c *cobra.Command) { describe(&b, c) })
			}
		}
	}
	b.WriteString("\n## Flags of all commands\n\n")
	flagTable(&b, root.PersistentFlags())
	b.WriteString("\n## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, e := range exitMeanings {
		fmt.Fprintf(&b, "| %d | %s |\n", e.Code, e.Meaning)
	}
	for _, topic := range topics {
		if topic.name == "exit-codes" {
			continue
		}
		fmt.Fprintf(&b, "\n## Topic: %s\n\n%s", topic.name, paragraphs(topic.text()))
	}
	return b.String()
}

func describe(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n### %s\n\n", c.CommandPath())
	if c.HasSubCommands() {
		fmt.Fprintf(b, "%s.\n", c.Short)
		if c.Long != "" {
			b.WriteString("\n" + paragraphs(c.Long))
		}
		return
	}
	fmt.Fprintf(b, "```\n%s\n```\n\n%s", c.UseLine(), paragraphs(cmp.Or(c.Long, c.Short+".")))
	if len(c.Aliases) > 0 {
		fmt.Fprintf(b, "\nAlso: `%s`.\n", strings.Join(c.Aliases, "`, `"))
	}
	if c.HasExample() {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
	if c.HasAvailableLocalFlags() {
		b.WriteString("\n")
		flagTable(b, c.LocalFlags())
	}
}

func flagTable(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("| flag | meaning |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		if f.DefValue != "" && !slices.Contains([]string{"false", "0", "0s", "[]"}, f.DefValue) {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", `\|`))
	})
}

// prose makes Markdown of a help text, in which what is laid out is indented.
func paragraphs(text string) string {
	var b strings.Builder
	laidOut := false
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		indented := strings.HasPrefix(line, "  ")
		if indented != laidOut && line != "\n" {
			b.WriteString("```\n")
			laidOut = indented
		}
		if !laidOut {
			line = strings.NewReplacer("<", "&lt;", "*", `\*`, "_", `\_`).Replace(line)
		}
		b.WriteString(line)
	}
	if laidOut {
		b.WriteString("```\n")
	}
	// The empty line before a block that ends belongs behind it.
	return strings.ReplaceAll(b.String(), "\n\n```\n", "\n```\n\n")
}

// TestTopicsAreComplete: what other packages define is in the help that tells of it.
func TestTopicsAreComplete(t *testing.T) {
	t.Parallel()
	for _, field := range query.Fields() {
		if !regexp.MustCompile(`(?m)^  ` + field + `\b`).MatchString(queryHelp) {
			t.Errorf("ebb help queries does not tell of %s", field)
		}
	}
	for _, state := range query.States() {
		if !strings.Contains(queryHelp, state) {
			t.Errorf("ebb help queries does not tell of the state %s", state)
		}
	}
}

// TestEveryCommandHasExamples: help is by example.
func TestEveryCommandHasExamples(t *testing.T) {
	t.Parallel()
	walk(commandTree(), func(c *cobra.Command) {
		switch {
		case c.Short == "":
			t.Errorf("%s: no short text", c.CommandPath())
		case !c.HasSubCommands() && !c.HasExample():
			t.Errorf("%s: no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			if !strings.HasPrefix(line, "  ebb ") {
				t.Errorf("%s: the example %q does not begin with ebb", c.CommandPath(), line)
			}
		}
	})
}

// longExamples are of commands that take their time, and have scripts.
var longExamples = map[string]bool{"ebb bench": true, "ebb chaos": true, "ebb demo": true}

// TestExamples runs every example of every command, those of one command one after
// the other in a folder and a store of their own. Each ends with 0, unless its
// comment says exit and another number.
func TestExamples(t *testing.T) {
	t.Parallel()
	walk(commandTree(), func(c *cobra.Command) {
		if c.HasExample() && !longExamples[c.CommandPath()] {
			runLines(t, c.CommandPath(), strings.Split(c.Example, "\n"))
		}
	})
}

// TestDocumentsRun runs the lines that begin with ebb in the shell blocks of the
// documents.
func TestDocumentsRun(t *testing.T) {
	t.Parallel()
	files := []string{"README.md"}
	err := fs.WalkDir(os.DirFS(repo), "docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" && path != "docs/reference/cli.md" { // that one has the examples of help
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(repo, file))
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		inside := false
		for line := range strings.Lines(string(text)) {
			switch {
			case strings.HasPrefix(line, "```"):
				inside = strings.TrimSpace(line) == "```sh"
			case inside && strings.HasPrefix(line, "ebb "):
				lines = append(lines, line)
			}
		}
		if len(lines) > 0 {
			runLines(t, file, lines)
		}
	}
}

func runLines(t *testing.T, name string, lines []string) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		dir := scratch(t, name)
		if slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "ebb rollout ") }) {
			newcomer(t, "sqlite:"+filepath.Join(dir, "ebb.db"))
		}
		for _, line := range lines {
			runLine(t, dir, strings.TrimSpace(line))
		}
	})
}

var exitSaid = regexp.MustCompile(`\bexit (\d+)`)

// runLine runs one line as a person would, who says yes. What runs until it is told
// is told once it says something.
func runLine(t *testing.T, dir, line string) {
	t.Helper()
	command, comment := cutComment(line)
	want := 0
	if m := exitSaid.FindStringSubmatch(comment); m != nil {
		want, _ = strconv.Atoi(m[1])
	}
	parts := splitOutside(command, '|')
	endless := false
	for i, part := range parts {
		words := strings.Fields(part)
		at := slices.Index(words, "ebb")
		if at < 0 {
			continue
		}
		c, rest, err := commandTree().Find(words[at+1:])
		if err != nil {
			t.Errorf("%s: %v", line, err)
			return
		}
		settled := slices.ContainsFunc(rest, func(w string) bool { return w == "--yes" || w == "-y" || w == "--dry-run" })
		if c.Flags().Lookup("yes") != nil && !settled {
			parts[i] = strings.TrimRight(part, " ") + " --yes "
		}
		if c.CommandPath() == "ebb web" {
			parts[i] = strings.TrimRight(part, " ") + " --listen 127.0.0.1:0" // the last one counts, and others run beside it
			endless = true
		}
		endless = endless || c.Name() == "work" && !slices.Contains(rest, "--once") || c.CommandPath() == "ebb guard" && len(rest) == 0 || strings.Contains(part, "--watch") || c.Name() == "follow"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shell := strings.Join(parts, "|")
	if endless {
		shell = "exec " + shell
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", shell)
	cmd.Dir = dir
	url, err := os.ReadFile(filepath.Join(dir, storeFile))
	if err != nil {
		url = []byte("sqlite:ebb.db")
	}
	cmd.Env = append(os.Environ(), "EBB_STORE="+string(url), "EBB_GRACE=10s", "XDG_RUNTIME_DIR="+dir, "TMPDIR="+filepath.Join(dir, "tmp"), // Go wants no module in there
		"GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if endless {
		// A worker speaks of its settings before it is one; a view, when it is there.
		runs := func() bool { return said.String() != "" }
		if strings.Contains(line, "ebb work") {
			runs = func() bool { return strings.Contains(said.String(), "process running") }
		}
		for deadline := time.Now().Add(30 * time.Second); !runs(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				cmd.Process.Kill()
				t.Fatalf("%s: it never ran, but said\n%s", line, said.String())
			}
		}
		cmd.Process.Signal(syscall.SIGTERM)
	}
	err = cmd.Wait()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatalf("%s: %v", line, err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Errorf("%s\nexit %d, want %d:\n%s", line, got, want, said.String())
	}
}

// output is what a program has said so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string { o.mu.Lock(); defer o.mu.Unlock(); return o.b.String() }

// cutComment cuts off what follows a # outside of quotes.
func cutComment(line string) (command, comment string) {
	parts := splitOutside(line, '#')
	return strings.TrimSpace(parts[0]), strings.Join(parts[1:], "#")
}

// splitOutside splits a shell line at a character outside of quotes.
func splitOutside(line string, at rune) (parts []string) {
	quote, start := rune(0), 0
	for i, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == at:
			parts = append(parts, line[start:i])
			start = i + 1
		}
	}
	return append(parts, line[start:])
}

// TestEveryAnswerHasASchema: whoever reads JSON may ask what it is like.
func TestEveryAnswerHasASchema(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	walk(commandTree(), func(c *cobra.Command) {
		if f := c.Flags().Lookup("output"); f == nil || !strings.Contains(f.Usage, formJSON) {
			return
		}
		name := strings.TrimPrefix(c.CommandPath(), "ebb ")
		known[name] = true
		if outputs[name] == nil {
			t.Errorf("%s has no schema", name)
		}
	})
	for name, schema := range outputs {
		if !known[name] {
			t.Errorf("there is a schema of %s, which answers in no JSON", name)
		}
		if _, err := schema(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVetAnswersBySchema runs in a folder of its own, which must be a module.
func TestVetAnswersBySchema(t *testing.T) {
	t.Parallel()
	cmd := program(t, "", "vet", "-o", "json")
	cmd.Dir = scratch(t, "ebb vet")
	cmd.Env = append(cmd.Env, "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	answer, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	matchesSchema(t, "vet", answer)
}

// TestBulkAnswersBySchema is for the other form of enqueue's answer.
func TestBulkAnswersBySchema(t *testing.T) {
	t.Parallel()
	dir := scratch(t, "ebb enqueue")
	answer, err := program(t, "sqlite:"+filepath.Join(dir, "ebb.db"), "enqueue", "--from", filepath.Join(dir, "jobs.jsonl"), "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	matchesSchema(t, "enqueue", answer)
}
