package main

import (
	"fmt"
	"strings"

	"github.com/ebbjobs/ebb/internal/console"
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

// page is an answer about one thing, for people.
type page struct {
	b     strings.Builder
	a     *app
	plain bool // tabs, no relative times
}

// show prints one thing: as a JSON document, or as text lays it out on a page.
func (a *app) show(v any, text func(*page)) error {
	if a.flags.output == formJSON {
		return a.printJSON(v)
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
