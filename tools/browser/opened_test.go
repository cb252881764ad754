//go:build ui

package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ebbjobs/ebb/internal/redistest"
)

// view is something to look at: what an address shows, after what somebody does there.
type view struct {
	name, address string
	open          func(b *tab) // nil: nothing
}

// opened is what has no place of its own in the table of addresses: what opens on a page,
// what a change looks like on its way, what goes wrong, and a store with nothing in it.
func opened(t *testing.T, l *large, s *site) []view {
	small := newSets(t, 2_000) // to be changed
	small.pour(small.fillQueues)
	small.fleet()
	small.stops()
	small.turn(3, "quiet")
	small.turn(5, "draining")
	web := serve(t, small.redis.URL(), "--env", "production")
	return slices.Concat(l.overPages(s), small.changes(web), small.underWay(web), small.problems(t, web), nothing(t))
}

// overPages opens what lies over a page, or is folded up in one.
func (l *large) overPages(s *site) (all []view) {
	for _, typed := range []struct{ name, text, found string }{
		{"nothing typed", "", "Overview"},
		{"a queue", "queue-01", "queue-01"},
		{"what nothing is called", "zzqx", "Search all jobs"},
	} {
		all = append(all, view{"palette, " + typed.name, s.root + "/", func(b *tab) { b.find(typed.text, typed.found) }})
	}
	for _, path := range []string{"/", "/metrics", "/jobs/{job}"} {
		all = append(all, view{"unfolded " + path, l.at(s.root, path), func(b *tab) {
			if evaluate[int](b, `(all => all.map(d => d.open = true).length)([...document.querySelectorAll("main details")])`) == 0 {
				b.Error("nothing is folded up")
			}
		}})
	}
	return append(all,
		view{"keys", s.root + "/", func(b *tab) { b.click("[data-keys]") }},
		view{"stop a process", s.root + "/processes", asks},
		view{"stop a version", s.root + "/processes?group=version", asks},
		view{"stop a process, by the palette", s.root + "/queues", func(b *tab) { b.take("stop worker-19", "dialog.asks[open] form") }},
		view{"a queue, by the palette", s.root + "/", func(b *tab) { b.take("queue-0008", `body[data-page^="/queues/queue-0008"]`) }},
		view{"paused", s.root + "/queues", func(b *tab) {
			b.fresh()
			b.click("[data-fresh]")
		}},
		view{"a search under way", "", func(b *tab) {
			command(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
				Source: `const ask = fetch; fetch = (a, o) => String(a).includes("/jobs/search") ? new Promise(() => {}) : ask(a, o)`})
			b.visit(s.root + "/jobs?state=retry&q=" + needle)
			b.within(patience, `document.querySelector("[data-stop]:not([hidden])")`)
		}},
	)
}

// find opens the palette, and waits until it offers something for a text.
func (b *tab) find(text, found string) {
	b.click("[data-palette]")
	if text != "" {
		b.do(chromedp.SendKeys(chromedp.CSS(".palette input"), text))
	}
	b.within(patience, `document.querySelector(".palette [aria-selected=true]")?.innerText.includes(%q)`, found)
}

// take finds something by the palette, and takes what it offers.
func (b *tab) take(text, then string) {
	b.find(text, text)
	b.do(chromedp.SendKeys(chromedp.CSS(".palette input"), kb.Enter))
	b.within(patience, `document.querySelector(%q)`, then)
}

// click clicks by script, on what may move or lie below what is seen.
func (b *tab) click(selector string) {
	b.Helper()
	b.within(patience, `document.querySelector(%q)`, selector)
	evaluate[string](b, `document.querySelector(%q).click(); ""`, selector)
}

// asks opens the dialog of the first change that asks before it is made.
func asks(b *tab) {
	b.click("a[data-confirm]")
	b.within(patience, `document.querySelector("dialog.asks[open] form")`)
}

// tick selects a row of a list of jobs.
func (b *tab) tick(row int) { b.click(fmt.Sprintf(`main tbody tr:nth-child(%d) input[name=jid]`, row)) }

// order asks for a change of one job of a list.
func (b *tab) order(row int, verb string) {
	b.tick(row)
	b.click(fmt.Sprintf(`button[name=verb][value=%s]`, verb))
	b.within(patience, `document.querySelector("form[action$='/run']")`)
}

// changes are changes on their way, from the rows that are selected to what is undone.
func (l *large) changes(web *site) []view {
	made := func(row int, verb string) func(b *tab) {
		return func(b *tab) {
			b.order(row, verb)
			b.confirm(1)
			b.within(patience, `document.querySelector("main form[action$='/undo']")`)
		}
	}
	scheduled, edit := web.root+"/jobs?state=scheduled", l.at(web.root, "/jobs/{job}/edit?{version}")
	edited := func(text, shows, excused string) func(b *tab) {
		return func(b *tab) {
			b.do(chromedp.SetValue(chromedp.CSS("textarea"), text))
			b.click("form:last-of-type button.primary")
			b.within(patience, `document.querySelector(%q)`, shows)
			if excused != "" {
				b.excuse(excused)
			}
		}
	}
	return []view{
		{"rows selected", web.root + "/jobs?state=retry", func(b *tab) {
			b.tick(1)
			b.tick(3)
			evaluate[string](b, `scrollTo(0, 700); ""`)
		}},
		{"all selected", web.root + "/jobs?state=dead", func(b *tab) { b.click("[data-all]") }},
		{"a change of one is asked for", scheduled, func(b *tab) { b.order(5, "delete") }},
		{"a change of many is asked for", "", func(b *tab) { b.choose(web.root+"/jobs?state=retry", "delete") }},
		{"a change was made", scheduled, made(9, "bury")},
		{"a change was undone", scheduled, func(b *tab) {
			made(15, "delete")(b)
			b.click(`main form[action$="/undo"] button`)
			b.within(patience, `document.querySelector("main").innerText.includes("Undone")`)
		}},
		{"a toast", web.root + "/queues/queue-0011", func(b *tab) { b.take("pause queue-0011", ".toast") }},
		{"a job is edited", edit, edited(`[{"order":8}]`, ".diff", "")},
		{"a job is edited badly", edit, edited(`[{`, "[role=alert]", "/edit")},
		{"a change of nothing", web.root + "/jobs?state=running", func(b *tab) {
			b.do(chromedp.SetValue(chromedp.CSS(`select[name=which]`), "all"))
			b.click(`button[name=verb][value=retry]`)
			b.within(patience, `document.querySelector(".problem")`)
			b.excuse("/bulk")
		}},
	}
}

// underWay is what pages show of processes that stop, and of what is new while they are read.
func (l *large) underWay(web *site) []view {
	return []view{
		{"processes that stop", web.root + "/processes?q=draining", nil},
		{"a process that stops", web.root + "/processes/" + string(l.process(5).ID), nil},
		{"a stop under way", web.root + "/stops/" + string(l.process(5).ID), nil},
		{"jobs of one fate", web.root + "/stops/" + string(l.process(processes+7).ID) + "?fate=finished", nil},
		{"no lost job", web.root + "/stops/" + string(l.process(processes+7).ID) + "?fate=lost", nil},
		{"new rows", web.root + "/queues?q=queue-0001", func(b *tab) {
			b.fresh()
			evaluate[string](b, `document.querySelector("main tbody button").focus(); ""`)
			l.redis.Do("LPUSH", "queue:queue-00010", `{"class":"NewJob","args":[],"jid":"`+strings.Repeat("e", 24)+`"}`)
			l.redis.Do("SADD", "queues", "queue-00010")
			b.within(patience, `document.querySelector(".new-rows")`)
		}},
	}
}

// problems are pages that say what went wrong, to whom something is not shown, and how
// old is what they show.
func (l *large) problems(t *testing.T, web *site) []view {
	roles := filepath.Join(t.TempDir(), "roles")
	l.must(os.WriteFile(roles, []byte("vera:viewer\n"), 0o600))
	watched := serve(t, l.redis.URL(), "--auth", "proxy:X-Forwarded-User,127.0.0.0/8", "--roles", roles)
	visit := func(address, header, value, excused string) func(b *tab) {
		return func(b *tab) {
			if header != "" {
				command(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{header: value}})
			}
			b.visit(address)
			if excused != "" {
				b.excuse(excused)
			}
		}
	}
	return []view{
		{"no such page", "", visit(web.root+"/nosuch", "", "", "/nosuch")},
		{"no such process", "", visit(web.root+"/processes/nosuch", "", "", "/nosuch")},
		{"no such stop", "", visit(web.root+"/stops/nosuch", "", "", "/nosuch")},
		{"nobody knows of the job", "", visit(web.root+"/jobs/"+strings.Repeat("f", 24), "", "", "/jobs/fff")},
		{"from elsewhere", "", visit(web.root+"/", "X-Forwarded-For", "192.0.2.1", web.root)},
		{"nobody", "", visit(watched.root+"/", "", "", watched.root)},
		{"a viewer", "", visit(l.at(watched.root, "/jobs/{job}"), "X-Forwarded-User", "vera", "")},
		{"not for a viewer", "", visit(l.at(watched.root, "/jobs/{job}/edit"), "X-Forwarded-User", "vera", "/edit")},
		{"stale", "", func(b *tab) {
			s := serve(b, l.redis.URL())
			b.visit(s.root + "/queues")
			b.fresh()
			s.end(syscall.SIGTERM)
			evaluate[string](b, `Date.now = (now => () => now() + 20_000)(Date.now); ""`)
			b.within(patience, `document.querySelector("[data-stale-note]:not([hidden])")`)
			b.excuse(s.root)
		}},
		{"the store is away", "", func(b *tab) {
			l := newSets(b, 100)
			s := serve(b, l.redis.URL())
			b.visit(s.root + "/jobs")
			b.fresh()
			l.redis.Stop()
			b.within(patience, `document.querySelector(".stale-why")`)
		}},
		{"the store was never there", "", func(b *tab) {
			l := newSets(b, 100)
			s := serve(b, l.redis.URL())
			l.redis.Stop()
			visit(s.root+"/", "", "", s.root)(b)
		}},
	}
}

// nothing is what there is to see where nothing ever was.
func nothing(t *testing.T) (all []view) {
	s := serve(t, redistest.Start(t).URL())
	for _, path := range []string{"/", "/stops", "/processes", "/queues", "/jobs", "/jobs?state=dead", "/jobs?state=retry&q=x", "/schedule", "/metrics", "/audit", "/doctor"} {
		all = append(all, view{"nothing at " + path, s.root + path, nil})
	}
	return all
}

// excuse forgets complaints of what was asked for, such as a page that is not there.
func (b *tab) excuse(about string) {
	b.Helper()
	deadline := time.After(patience)
	for {
		b.mu.Lock()
		before := len(b.wrong)
		b.wrong = slices.DeleteFunc(b.wrong, func(wrong string) bool { return strings.Contains(wrong, about) })
		excused := before > len(b.wrong)
		b.mu.Unlock()
		if excused {
			return
		}
		select {
		case <-b.complained:
		case <-deadline:
			b.Errorf("the browser does not complain of %s", about)
			return
		}
	}
}
