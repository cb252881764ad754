package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/nearest"
	"github.com/ebbjobs/ebb/store"
)

// The forms of an answer. Without -o it is a table for people where a person
// watches, and the same columns between tabs elsewhere.
const (
	formTable = "table"
	formWide  = "wide"
	formJSON  = "json"
	formLines = "jsonl"
	formName  = "name"
)

// showFlags gives a command the flags of an answer that is one thing.
func (a *app) showFlags(cmd *cobra.Command) {
	a.outputFlag(cmd, formTable, formJSON)
}

func (a *app) outputFlag(cmd *cobra.Command, forms ...string) {
	cmd.Flags().StringVarP(&a.flags.output, "output", "o", "", "`FORM` of the answer: "+strings.Join(forms, ", "))
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if form := a.flags.output; form != "" && !slices.Contains(forms, form) {
			err := fmt.Errorf("there is no output form %q", form)
			if near := nearest.To(form, forms); near != "" {
				return code(exitUsage, store.WithHint(err, "did you mean -o %s?", near))
			}
			return code(exitUsage, store.WithHint(err, "it is one of %s", strings.Join(forms, ", ")))
		}
		if check != nil {
			return check(cmd, args)
		}
		return nil
	}
}

// changeFlags gives a command that changes something its flags.
func (a *app) changeFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&a.flags.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&a.flags.dryRun, "dry-run", false, "say what would happen, and change nothing")
}

// watchFlag gives a command --watch.
func watchFlag(cmd *cobra.Command, every *time.Duration) {
	cmd.Flags().DurationVarP(every, "watch", "w", 0, "look again every so often")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return code(exitUsage, store.WithHint(fmt.Errorf("%s takes no argument, and got %q", cmd.CommandPath(), args[0]), "%s --help", cmd.CommandPath()))
	}
	return nil
}

// exactly wants that many arguments, which names calls what they are called.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return code(exitUsage, store.WithHint(fmt.Errorf("%s needs %s", cmd.CommandPath(), strings.Join(names[len(args):], " and ")), "%s", cmd.UseLine()))
		case len(args) > len(names):
			return code(exitUsage, store.WithHint(fmt.Errorf("%s: %q is one argument too many", cmd.CommandPath(), args[len(names)]), "%s", cmd.UseLine()))
		}
		return nil
	}
}

// optional takes at most one argument, which name calls what it is called.
func optional(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return exactly(name)(cmd, args)
		}
		return nil
	}
}

// page is an answer about one thing, for people.
type page struct {
	b     strings.Builder
	a     *app
	plain bool // tabs, no relative times
}

// show prints one thing: as a JSON document, or as text lays it out on a page.
func (a *app) show(v any, text func(*page)) error {
	if a.flags.output == formJSON {
		enc := json.NewEncoder(a.term.Out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	p := &page{a: a, plain: !a.term.OutWatched}
	text(p)
	_, err := fmt.Fprint(a.term.Out, p.b.String())
	return err
}

// line adds a line.
func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

// field adds a name and its value, which a list of Cell's kinds may be; an empty
// one is left out.
func (p *page) field(name string, value any) {
	text := p.a.cell(value)
	switch {
	case text == "":
	case p.plain:
		p.line("%s\t%s", name, text)
	default:
		p.line("%s%s", console.Dim(fmt.Sprintf("%-14s", name)), text)
	}
}

// cell writes a value as its reader wants it: times and spans in words for a
// person, and exactly for a program.
func (a *app) cell(value any) string {
	person := a.term.OutWatched
	switch v := value.(type) {
	case string:
		return console.Plain(v)
	case styled:
		return v.style(console.Plain(v.text))
	case time.Time:
		switch {
		case v.IsZero():
			return ""
		case person:
			return console.When(v, a.now())
		default:
			return v.UTC().Format(time.RFC3339Nano)
		}
	case time.Duration:
		if person {
			return console.Span(v)
		}
		return v.String()
	case int:
		return a.cell(int64(v))
	case int64:
		if person {
			return console.Count(v)
		}
		return fmt.Sprint(v)
	case size:
		if person {
			return console.Bytes(int64(v))
		}
		return fmt.Sprint(int64(v))
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []string:
		return console.Plain(strings.Join(v, ", "))
	case nil:
		return ""
	default:
		return console.Plain(fmt.Sprint(v))
	}
}

// size is a number of bytes.
type size int64

// styled is a text with a style, one of console's.
type styled struct {
	text  string
	style func(string) string
}
