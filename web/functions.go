package web

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// functions are what every template may call.
var functions = template.FuncMap{
	"count":     countOf,
	"plural":    func(n any, word string) string { return prose.Plural(int64Of(n), word) },
	"bytes":     prose.Bytes,
	"span":      prose.Span,
	"short":     func(id any) string { return fleet.Short(store.Identity(fmt.Sprint(id))) },
	"time":      timeOf,
	"countdown": countdown,
	"sign":      func(word string) string { return signs[word].sign },
	"badge":     badge,
	"tail":      tail,
	"capital":   capital,
	"sentence":  sentence,
	// escaped is text as one element of a path, both two things for a template of one.
	"escaped": func(s any) string { return url.PathEscape(fmt.Sprint(s)) },
	"both":    func(a, b any) [2]any { return [2]any{a, b} },
}

func int64Of(n any) int64 {
	switch n := n.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	}
	return 0
}

// countOf writes a number exactly, with commas.
func countOf(n any) string { return prose.Count(int64Of(n)) }

// timeOf writes a moment as its distance from now, with the moment itself for whoever
// asks and for script, which keeps the distance true.
func timeOf(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	exact := t.UTC().Format(time.RFC3339Nano)
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, exact,
		t.UTC().Format("2006-01-02 15:04:05 MST"), template.HTMLEscapeString(prose.When(t, time.Now()))))
}

// countdown writes the time until a moment as a clock, which script keeps running.
func countdown(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-deadline>%s</time>`, t.UTC().Format(time.RFC3339Nano), fleet.Clock(time.Until(t))))
}

// look is how a state looks: a sign, and a class that has its colour.
type look struct{ sign, class string }

// signs are the shapes of states and fates: colour is never alone.
var signs = map[string]look{
	"running": {"●", "running"}, "quiet": {"◐", "quiet"}, "draining": {"◒", "draining"}, "stopped": {"■", "stopped"},
	"vanished": {"✕", "bad"}, "lapsed": {"✕", "bad"}, "frozen": {"▲", "bad"},
	"ready": {"○", "quiet"}, "scheduled": {"◷", "stopped"}, "retry": {"↺", "quiet"}, "dead": {"✝", "bad"},
	"finished": {"✓", "done"}, "done": {"✓", "done"}, "failed": {"✕", "bad"}, "checkpointed": {"↻", "running"},
	"handed back": {"⤺", "running"}, "rescued": {"⤹", "running"}, "delayed": {"⤹", "quiet"}, "deaf": {"▪", "quiet"},
	"lost": {"✕", "bad"}, "discarded": {"∅", "stopped"}, "expired": {"∅", "stopped"}, "buried": {"✝", "bad"}, "gone": {"■", "stopped"},
	"still running": {"●", "running"}, "other": {"?", "stopped"}, "unknown": {"?", "stopped"},
}

// badge writes a state with its shape.
func badge(word string) template.HTML {
	l := signs[word]
	return template.HTML(fmt.Sprintf(`<span class="badge %s"><span aria-hidden="true">%s</span> %s</span>`, l.class, l.sign, template.HTMLEscapeString(word)))
}

// sentence writes words of a command, or of an error, as a sentence of a page.
func sentence(s string) string {
	if s == "" || strings.ContainsRune(".!?", rune(s[len(s)-1])) {
		return capital(s)
	}
	return capital(s) + "."
}

func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 || first == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

// tail is enough of a jid for people: ebb's are in the order of time, so that those of
// one minute begin alike.
func tail(jid string) string {
	const most = 8
	if len(jid) <= most {
		return jid
	}
	return "…" + jid[len(jid)-most:]
}
