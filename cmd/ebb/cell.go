package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
)

// cell writes a value as its reader wants it: times and spans in words for a
// person, and exactly for a program.
func (a *app) cell(value any) string {
	person := a.term.OutWatched
	switch v := value.(type) {
	case string:
		return prose.Plain(v)
	case styled:
		return v.style(prose.Plain(v.text))
	case time.Time:
		switch {
		case v.IsZero():
			return ""
		case person:
			return prose.When(v, a.now())
		default:
			return v.UTC().Format(time.RFC3339Nano)
		}
	case time.Duration:
		if person {
			return prose.Span(v)
		}
		return v.String()
	case int:
		return a.cell(int64(v))
	case int64:
		if person {
			return prose.Count(v)
		}
		return fmt.Sprint(v)
	case size:
		if person {
			return prose.Bytes(int64(v))
		}
		return fmt.Sprint(int64(v))
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []string:
		return prose.Plain(strings.Join(v, ", "))
	case nil:
		return ""
	default:
		return prose.Plain(fmt.Sprint(v))
	}
}

// size is a number of bytes.
type size int64

// styled is a text with a style, one of console's.
type styled struct {
	text  string
	style func(string) string
}

// mark is a word that stands in a column only where something is so; programs get
// yes and no.
func (a *app) mark(so bool, word string, style func(string) string) any {
	switch {
	case !a.term.OutWatched:
		return so
	case so:
		return styled{word, style}
	}
	return nil
}

// since is how long ago something was, for people, and when, for programs.
func (a *app) since(t time.Time) any {
	if t.IsZero() || !a.term.OutWatched {
		return t
	}
	return max(0, a.now().Sub(t).Round(time.Second))
}

// difference is 0 where books balance. Where they cannot be kept it says whose doing
// that is.
func (a *app) difference(n *int64) any {
	switch {
	case n == nil:
		return "shared"
	case *n == 0 || !a.term.OutWatched:
		return *n
	}
	return styled{prose.Count(*n), console.Bad}
}
