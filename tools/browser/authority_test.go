//go:build ui

package browser

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// form is what a page would send.
type form struct{ Path, Body string }

// element of a path that names one of many things.
var one = regexp.MustCompile(`/(worker-[^/]*|queue-\d+|[0-9a-f]{24}|change-\d+)(/|$)`)

// forms are the changes that the pages offer, each once however many things it is
// offered for.
func (l *large) forms(b *tab, root string) (all []form) {
	l.Helper()
	seen := map[string]bool{}
	for _, page := range pages {
		b.visit(l.at(root, page.path))
		for _, f := range evaluate[[]form](b, `[...document.querySelectorAll("form[method=post]")].flatMap(f =>
			[...f.elements].filter(e => e.type === "submit").map(e => ({
				path: new URL(e.hasAttribute("formaction") ? e.formAction : f.action).pathname,
				body: new URLSearchParams(new FormData(f, e)).toString()})))`) {
			if key := one.ReplaceAllString(f.Path, "/x$2"); !seen[key] {
				seen[key] = true
				all = append(all, f)
			}
		}
	}
	return all
}

var (
	posted    = regexp.MustCompile(`ui\.post\("([^"]*)", `)
	parameter = regexp.MustCompile(`\{[^}]*\}`)
)

// routes are the addresses of all changes that the source names as a whole.
func routes(t *testing.T) (all []form) {
	t.Helper()
	files, err := filepath.Glob("../../web/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source of the pages: ", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range posted.FindAllSubmatch(text, -1) {
			all = append(all, form{Path: parameter.ReplaceAllString(string(m[1]), "x")})
		}
	}
	return all
}

// state is all that a change by hand changes.
func (l *large) state() string {
	l.Helper()
	stats, err := l.store.Stats(l.Context())
	l.must(err)
	all, err := l.store.Queues(l.Context())
	l.must(err)
	paused, changes := 0, 0
	for _, q := range all {
		if q.Paused {
			paused++
		}
	}
	for _, err := range l.store.Changes(l.Context()) {
		l.must(err)
		changes++
	}
	return fmt.Sprintf("%d ready, %d held, %d scheduled, %d retrying, %d dead, %d queues of which %d paused, %d changes, %s processes with orders",
		stats.Ready, stats.Held, stats.Scheduled, stats.Retrying, stats.Dead, len(all), paused, changes,
		l.redis.Do("EVAL", `return #redis.call("KEYS", "ebb:commands:*")`, "0"))
}

// Nothing changes for a page of somebody else's, for who may only look, and where
// nothing is to be changed.
func authority(t *testing.T, l *large, s *site) {
	people := filepath.Join(t.TempDir(), "people")
	l.must(os.WriteFile(people, []byte("vera:viewer:secret\n"), 0o600))
	watched, frozen := serve(t, l.redis.URL(), "--auth", "basic:"+people), serve(t, l.redis.URL(), "--read-only")
	offered, named := l.forms(newTab(t), s.root), routes(t)
	post := func(root string, f form, edit func(*http.Request)) int {
		r, err := http.NewRequestWithContext(t.Context(), "POST", root+f.Path, strings.NewReader(f.Body))
		l.must(err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		edit(r)
		answer, err := http.DefaultTransport.RoundTrip(r)
		l.must(err)
		answer.Body.Close()
		return answer.StatusCode
	}
	before := l.state()
	for _, f := range slices.Concat(offered, named) {
		for _, c := range []struct {
			who  string
			root string
			want int
			edit func(*http.Request)
		}{
			{"another origin", s.root, http.StatusForbidden, func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") }},
			{"another site", s.root, http.StatusForbidden, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
			{"a viewer", watched.root, http.StatusForbidden, func(r *http.Request) { r.SetBasicAuth("vera", "secret") }},
			{"read-only", frozen.root, http.StatusMethodNotAllowed, func(r *http.Request) {}},
		} {
			if got := post(c.root, f, c.edit); got != c.want {
				t.Errorf("POST %s: %s gets %d, want %d", f.Path, c.who, got, c.want)
			}
		}
	}
	if after := l.state(); after != before {
		t.Errorf("something has changed:\nbefore: %s\nafter:  %s", before, after)
	}
	for _, verb := range []string{"pause", "resume"} { // the forms are no mere dummies
		if got := post(s.root, form{Path: "/queues/queue-0007/" + verb}, func(*http.Request) {}); got != http.StatusSeeOther || l.state() == before {
			t.Errorf("who may %s a queue gets %d, and it makes no difference", verb, got)
		}
	}
	measured(t, "%d forms and %d routes: 403 for two kinds of foreign pages, 403 for a viewer, 405 read-only, and nothing changed", len(offered), len(named))
}
