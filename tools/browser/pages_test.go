//go:build ui

package browser

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
)

// pages are all there are, by an address of each. What has no place of its own in the
// table of addresses, such as an open palette, is in opened.
var pages = []struct {
	path string
	list bool // of what there may be very much
	asks bool // before a change: where nothing may be changed there is no such page
}{
	{path: "/"},
	{path: "/stops", list: true},
	{path: "/stops/{stop}"},
	{path: "/processes", list: true},
	{path: "/processes/{process}"},
	{path: "/processes/{process}/stop", asks: true},
	{path: "/queues", list: true},
	{path: "/queues/queue-0007"},
	{path: "/jobs", list: true},
	{path: "/jobs?state=retry", list: true},
	{path: "/jobs?state=running", list: true},
	{path: "/jobs?state=ready", list: true},
	{path: "/jobs?state=scheduled", list: true},
	{path: "/jobs?state=dead", list: true},
	{path: "/jobs?state=done", list: true},
	{path: "/jobs?state=retry&q=kind%3AInvoiceJob"},
	{path: "/jobs?state=retry&q=nosuch%3Aterm"},
	{path: "/jobs/{job}"},
	{path: "/jobs/{running}"},
	{path: "/jobs/{job}/edit?{version}", asks: true},
	{path: "/schedule"},
	{path: "/metrics"},
	{path: "/audit", list: true},
	{path: "/find"},
	{path: "/find?q=queue-01"},
	{path: "/more"},
	{path: "/doctor"},
	{path: "/settings"},
}

// at is a page's address below a root. A job's version is part of that of its edit.
func (l *large) at(root, path string) string {
	l.Helper()
	job := fmt.Sprintf("%024x", 7)
	if strings.Contains(path, "{version}") {
		_, body := get(l, root+"/jobs/"+job)
		link := regexp.MustCompile(`/edit\?([^"]*)"`).FindSubmatch(body)
		if link == nil {
			l.Fatalf("the page of %s has no link to edit it", job)
		}
		path = strings.ReplaceAll(path, "{version}", html.UnescapeString(string(link[1])))
	}
	return root + strings.NewReplacer("{stop}", string(l.process(processes).ID), "{process}", string(l.process(7).ID),
		"{job}", job, "{running}", fmt.Sprintf("b0%022x", 7)).Replace(path)
}

// looks are all the ways in which people see pages.
var looks = []Look{
	plain,
	{Name: "dark", Width: 1280, Height: 900, Dark: true},
	{Name: "forced colours", Width: 1280, Height: 900, Forced: true},
	{Name: "right to left", Width: 1280, Height: 900, RTL: true},
	{Name: "phone", Width: 390, Height: 844},
	{Name: "phone, dark", Width: 390, Height: 844, Dark: true},
	{Name: "narrow", Width: 320, Height: 640},
}

// TestLarge is what holds of every page however much there is to show.
func TestLarge(t *testing.T) {
	l := newLarge(t)
	s := serve(t, l.redis.URL())
	for _, check := range []struct {
		name string
		run  func(t *testing.T, l *large, s *site)
	}{
		{"everybody can use it", accessible},
		{"below a path", below},
		{"read-only", readOnly},
		{"without script", withoutScript},
		{"time on the server", serverTime},
		{"time to the screen", navigation},
		{"search", search},
		{"budgets", budgets},
		{"ten windows", tabs},
		{"nobody is disturbed", undisturbed},
		{"a restart", restarted},
		{"nothing without authority", authority},
		{"hostile jobs", hostile},
	} {
		t.Run(check.name, func(t *testing.T) { check.run(t, l, s) })
	}
}

// Nothing that is seen, however it is looked at, breaks a rule that axe knows, is wider
// than the screen, or makes the browser complain. With -short each is seen in one of the
// looks, which is another for the next.
func accessible(t *testing.T, l *large, s *site) {
	var all []view
	for _, p := range pages {
		all = append(all, view{name: "page " + p.path, address: l.at(s.root, p.path)})
	}
	all = append(all, opened(t, l, s)...)
	began := time.Now()
	var judged, rules atomic.Int64
	t.Run("views", func(t *testing.T) {
		for i, v := range all {
			in := looks
			if testing.Short() {
				in = looks[i%len(looks):][:1]
			}
			t.Run(v.name, func(t *testing.T) {
				t.Parallel()
				b := newTab(t)
				if v.address != "" {
					b.visit(v.address)
				}
				if v.open != nil {
					v.open(b)
				}
				b.quiet(v.name)
				for _, look := range in {
					b.do(look.Show)
					judged.Add(1)
					rules.Add(int64(b.judge(look.Name)))
					b.fits(look.Name)
				}
			})
		}
	})
	measured(t, "%d views in %d looks: %d rules of WCAG 2.0 to 2.2 A and AA hold %d times, in %.1f s", len(all), judged.Load()/int64(len(all)), rules.Load()/judged.Load(), judged.Load(), time.Since(began).Seconds())
}

// fits fails the test if the page has to be moved sideways to be read.
func (b *tab) fits(of string) {
	b.Helper()
	if over := evaluate[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		widest := evaluate[string](b, `[...document.querySelectorAll("main *, header *")].filter(e => !e.closest(".wide") && e.getBoundingClientRect().right > document.documentElement.clientWidth)
			.slice(0, 3).map(e => e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 40)).join("; ")`)
		b.Errorf("%s: the page is %d px too wide: %s", of, over, widest)
	}
}

// links are the addresses that a page leads to, and those that its forms send to.
func (b *tab) links() (links, actions []string) {
	b.Helper()
	found := evaluate[struct{ Links, Actions []string }](b, `({
		links: [...document.querySelectorAll("a[href], link[href], script[src], img[src]")].map(e => e.href || e.src),
		actions: [...document.querySelectorAll("form[method=post]")].map(f => f.action)
			.concat([...document.querySelectorAll("button[formaction]")].map(e => e.formAction))})`)
	return found.Links, found.Actions
}

// Behind a proxy that takes a prefix away, every link and form stays below it.
func below(t *testing.T, l *large, s *site) {
	const prefix = "/a/b/jobs"
	trusting := serve(t, l.redis.URL(), "--trust", "127.0.0.0/8")
	p, b, seen := newProxy(t, trusting, prefix), newTab(t), 0
	for _, page := range pages {
		b.visit(l.at(p.root, page.path))
		b.quiet(prefix + page.path)
		links, actions := b.links()
		for _, address := range slices.Concat(links, actions) {
			seen++
			if !strings.HasPrefix(address, p.root+"/") && !strings.HasPrefix(address, "data:") {
				t.Errorf("%s leads out of %s: %s", page.path, prefix, address)
			}
		}
	}
	// What a reader prefers is there from the first frame on, and for no other site.
	b.visit(p.root + "/queues")
	b.ready(`true`)
	b.key("t")
	b.key("t")
	for at, want := range map[string]string{p.root + "/stops": "dark", trusting.root + "/stops": ""} {
		b.visit(at)
		if got := evaluate[string](b, `document.documentElement.dataset.theme ?? ""`); got != want {
			t.Errorf("dark is preferred below %s, and %s is %q", prefix, at, got)
		}
	}
	measured(t, "%d links and forms of %d pages stay below %s", seen, len(pages), prefix)
}

// A page that changes nothing has no form that would.
func readOnly(t *testing.T, l *large, _ *site) {
	s, b := serve(t, l.redis.URL(), "--read-only"), newTab(t)
	for _, page := range pages {
		if page.asks {
			continue
		}
		b.visit(l.at(s.root, page.path))
		b.quiet("read-only " + page.path)
		if _, actions := b.links(); len(actions) > 0 {
			t.Errorf("%s may not change anything, and has forms for %v", page.path, actions)
		}
	}
}

// Without script every page says the same: it has a heading, and as many rows.
func withoutScript(t *testing.T, l *large, s *site) {
	with, without := newTab(t), newTab(t)
	command(without, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	for _, page := range pages {
		rows := map[*tab]int{}
		for _, b := range []*tab{with, without} {
			b.visit(l.at(s.root, page.path))
			if b.count("h1") != 1 {
				t.Errorf("%s has %d headings h1", page.path, b.count("h1"))
			}
			rows[b] = b.count("main tbody tr")
		}
		without.quiet("without script " + page.path)
		if rows[with] != rows[without] && without.count("[data-go]") == 0 { // script goes on by itself, people by a link
			t.Errorf("%s has %d rows, and %d without script", page.path, rows[with], rows[without])
		}
	}
}

// quantile is the length of time that all but the slowest 1-q of took do not exceed.
func quantile(took []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
