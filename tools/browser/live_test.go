//go:build ui

package browser

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
)

// fresh waits until the page says that it is live.
func (b *tab) fresh() time.Duration {
	b.Helper()
	return b.within(patience, `document.querySelector("[data-fresh]")?.innerText.includes("live")`)
}

// Ten windows of one browser share one stream, and what is done in one of them is seen
// in all.
func tabs(t *testing.T, l *large, s *site) {
	const windows, bound = 10, 300 * time.Millisecond
	p, person := newProxy(t, s, ""), newProfile(t)
	all := make([]*tab, windows)
	for i := range all {
		all[i] = person.open(t)
		command(all[i], emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		all[i].visit(p.root + "/queues/queue-0007")
		all[i].fresh()
	}
	for _, b := range all {
		b.fresh()
	}
	now, most := p.streams()
	if now != 1 || most > 2 {
		t.Errorf("%d windows have %d streams open, and had %d; want 1, and for a moment 2 while one takes over", windows, now, most)
	}
	// How long after the click in one window the last of the others shows it. The first
	// one listens for all, and leaves that to another one when it goes to a new page.
	round := func(in *tab, button, then string) time.Duration {
		for _, b := range all {
			evaluate[string](b, `window.shownAt = 0; new MutationObserver(() => {
				if (!shownAt && [...document.querySelectorAll("main button")].some(b => b.textContent.trim() === %q)) window.shownAt = Date.now()
			}).observe(document.querySelector("main"), {childList: true, subtree: true, characterData: true, attributes: true}); ""`, then)
		}
		clicked := awaited[int64](in, `new Promise(clicks => setTimeout(() => {
			const button = [...document.querySelectorAll("main button")].find(b => b.innerText.trim() === %q)
			setTimeout(() => button.click())
			clicks(Date.now())
		}))`, button)
		last := int64(0)
		for _, b := range all {
			if b == in {
				continue
			}
			b.within(patience, `window.shownAt`)
			last = max(last, evaluate[int64](b, `shownAt`))
		}
		in.within(patience, `[...document.querySelectorAll("main button")].some(b => b.innerText.trim() === %q)`, then)
		in.fresh()
		return time.Duration(last-clicked) * time.Millisecond
	}
	took := best(rounds(3), func() time.Duration {
		var took []time.Duration
		for i := range 4 {
			took = append(took, round(all[i], "Pause", "Resume"), round(all[windows-1-i], "Resume", "Pause"))
		}
		return quantile(took, 0.5)
	}, bound)
	measured(t, "%d windows share %d stream; what is done in one is seen in all others within %s (median of 8), wanted %s", windows, now, ms(took), ms(bound))
	atMost(t, "the median time until all others show it", took, bound)
	for _, b := range all {
		b.quiet("a window")
	}
}

// What comes from the server disturbs nobody who reads or works in the page.
func undisturbed(t *testing.T, l *large, s *site) {
	b := newTab(t)
	command(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	b.visit(s.root + "/processes")
	b.fresh()
	rows := evaluate[int](b, `window.rows = [...document.querySelectorAll("main tr[data-key], main li[data-key], main article[data-key]")].filter(r => r.querySelector("button")); rows.length`)
	if rows < 10 {
		t.Fatalf("the page has %d rows", rows)
	}
	shown := evaluate[[]string](b, `rows.map(r => r.querySelector("a[href*='/processes/']").getAttribute("href"))`)
	index := func(row int) (n int) {
		if _, err := fmt.Sscanf(shown[row][strings.LastIndex(shown[row], "worker-"):], "worker-%d", &n); err != nil {
			t.Fatalf("%s: %v", shown[row], err)
		}
		return n
	}
	// change makes both the row in question and another one change, and waits for that.
	state := map[bool]string{true: "quiet", false: "running"}
	quieted := false
	change := func(row int) {
		quieted = !quieted
		l.turn(index(row), state[quieted])
		l.turn(index(rows-1), state[quieted])
		b.within(patience, `rows[%d].innerText.includes(%q)`, rows-1, state[quieted])
	}
	for _, c := range []struct{ what, begin, holds, end string }{
		{"a button that has the focus", `rows[1].querySelector("button").focus(); window.was = document.activeElement; ""`,
			`document.activeElement === was && was.isConnected`, `document.activeElement.blur(); ""`},
		{"selected text", `getSelection().selectAllChildren(rows[2].querySelector("a")); window.was = getSelection().toString(); ""`,
			`was !== "" && getSelection().toString() === was`, `getSelection().removeAllRanges(); ""`},
		{"the place that the reader has scrolled to", `scrollTo(0, 300); window.was = rows[9].getBoundingClientRect().top; ""`,
			`scrollY > 0 && rows[9].isConnected && Math.abs(rows[9].getBoundingClientRect().top - was) < 2`, `scrollTo(0, 0); ""`},
		{"an open dialog", `document.querySelector("[data-palette]").click(); ""`, `document.querySelector("dialog[open]")`, `document.querySelector("dialog[open]").close(); ""`},
	} {
		evaluate[string](b, `%s`, c.begin)
		b.within(patience, c.holds)
		for range 2 {
			change(2)
			if !evaluate[bool](b, `!!(`+c.holds+`)`) {
				t.Errorf("%s is disturbed by what comes from the server", c.what)
			}
		}
		evaluate[string](b, `%s`, c.end)
	}
	l.turn(index(2), "running")
	l.turn(index(rows-1), "running")
	b.quiet("a live page")
	measured(t, "focus, selected text, place and dialog outlast 2 changes each")
}

// restarted: a page that is open while ebb web is restarted comes back by itself, as its
// reader has left it.
func restarted(t *testing.T, l *large, _ *site) {
	s, b := serve(t, l.redis.URL()), newTab(t)
	command(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	b.visit(s.root + "/queues?order=name")
	b.fresh()
	evaluate[string](b, `window.before = location.href; scrollTo(0, 400); const cell = document.querySelectorAll("main tbody tr")[12].querySelector("a"); getSelection().selectAllChildren(cell); window.selected = getSelection().toString(); ""`)
	b.quiet("before the restart")
	s.end(syscall.SIGTERM)
	b.within(patience, `/restart|no answer/.test(document.querySelector("[data-fresh]").innerText)`)
	said := evaluate[string](b, `document.querySelector("[data-fresh]").innerText`)
	serveAt(t, s.address(), l.redis.URL())
	took := b.fresh()
	if !evaluate[bool](b, `location.href === before && scrollY === 400 && getSelection().toString() === selected && selected !== ""`) {
		t.Errorf("the page is not as it was: %s", evaluate[string](b, `[location.href, scrollY, getSelection().toString(), window.selected].join(" ")`))
	}
	b.complaints() // that nobody answered
	measured(t, "while ebb web is away the page says %q; it is live again %s after", said, ms(took))
	atMost(t, "the time until it is live again", took, 3*time.Second)
}
