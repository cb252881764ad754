//go:build ui

package browser

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// says waits for the page of a change to say something.
func (b *tab) says(format string, args ...any) {
	b.Helper()
	b.within(2*patience, `document.querySelector("main").innerText.replace(/\s+/g, " ").includes(%q)`, fmt.Sprintf(format, args...))
}

// choose marks all that a list shows or would, and asks for a change.
func (b *tab) choose(address, verb string) {
	b.Helper()
	b.visit(address)
	b.do(chromedp.SetValue(chromedp.CSS(`select[name=which]`), "all"))
	b.press(fmt.Sprintf(`button[name=verb][value=%s]`, verb))
	b.within(patience, `location.pathname.includes("/bulk/") && document.querySelector("form[action$='/run']")`)
}

// confirm types the number where it is asked for, and agrees.
func (b *tab) confirm(count int) {
	b.Helper()
	if b.count(`input[name=count]`) > 0 {
		b.do(chromedp.SendKeys(chromedp.CSS(`input[name=count]`), strconv.Itoa(count)))
	}
	b.press(`form[action$="/run"] button`)
}

// What is deleted comes back, to the byte and to the score.
func TestDeleteAndUndo(t *testing.T) {
	t.Parallel()
	const many = 10_000
	l := newSets(t, 2*many)
	everything := func() string { return l.redis.Do("ZRANGE", "retry", "0", "-1", "WITHSCORES") }
	before := everything()
	s, b := serve(t, l.redis.URL()), newTab(t)
	b.choose(s.root+"/jobs?state=retry&q=try%3E10", "delete")
	frozen := evaluate[string](b, `document.querySelector("h1").innerText`)
	count, err := strconv.Atoi(number.FindString(strings.ReplaceAll(frozen, ",", "")))
	if err != nil || count < many/2 {
		t.Fatalf("%q: %v", frozen, err)
	}
	began := time.Now()
	b.confirm(count)
	b.within(2*patience, `document.querySelector("main form[action$='/undo']")`)
	deleted := time.Since(began)
	if left := l.redis.Do("ZCARD", "retry"); left != strconv.Itoa(2*many-count) {
		t.Errorf("%s jobs are left of %d after %d were deleted", left, 2*many, count)
	}
	began = time.Now()
	b.press(`main form[action$="/undo"] button`)
	l.await("undo", func() bool { return l.redis.Do("ZCARD", "retry") == strconv.Itoa(2*many) })
	undone := time.Since(began)
	if after := everything(); after != before {
		t.Error("what was deleted did not come back as it was")
	}
	b.quiet("a change and its undo")
	measured(t, "%d jobs deleted in %s, back to the byte in %s", count, ms(deleted), ms(undone))
}

// A change is made to what was found when it was asked for, and to nothing that came
// since; what has moved on meanwhile is counted.
func TestFrozen(t *testing.T) {
	t.Parallel()
	l := newSets(t, 5_000)
	s, b := serve(t, l.redis.URL()), newTab(t)
	b.choose(s.root+"/jobs?state=retry&q=kind%3AInvoiceJob", "bury")
	gone, came := 0, 0
	l.pour(func(send func(args ...string)) {
		for i := range 30 {
			send("ZREM", "retry", l.failed(i*100)) // the first of those that were found
			gone++
		}
		for i := range 40 {
			send("ZADD", "retry", "9999999999", l.retry(1<<30+i, "InvoiceJob", "mailers", "[]", cardError, "came later"))
			came++
		}
	})
	count := 5_000 / 100
	b.confirm(count)
	b.says("%d buried of %d", count-gone, count)
	b.says("%d had already moved on", gone)
	b.quiet("a change of what moves")
	if left := strings.Count(l.redis.Do("ZRANGE", "retry", "0", "-1"), `"class":"InvoiceJob"`); left != came {
		t.Errorf("%d jobs of the kind are left, want the %d that came later", left, came)
	}
	measured(t, "of %d jobs that were found %d were changed, %d had gone, and %d that came later stayed", count, count-gone, gone, came)
}

// await waits until something holds.
func (l *large) await(what string, holds func() bool) {
	l.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.Fatalf("no %s within a minute", what)
		}
	}
}

// key presses a key, or several one after the other.
func (b *tab) key(keys string) {
	b.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// ready waits until a page that a script finds takes keys: browsers drop what is typed
// before the first frame, which a window behind others may not draw for a while.
func (b *tab) ready(found string) {
	b.Helper()
	b.within(patience, `document.readyState === "complete" && (`+found+`) && (performance.getEntriesByType("paint").length > 0 || performance.now() > 3000)`)
}

// tabTo moves the focus with the Tab key until it is on what a selector finds. On its
// way it must be seen.
func (b *tab) tabTo(selector string) (steps int) {
	b.Helper()
	for steps = range 200 {
		b.key(kb.Tab)
		at := evaluate[struct {
			There, Seen bool
			What        string
		}](b, `(() => {
			const e = document.activeElement, s = getComputedStyle(e)
			const ring = s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 || s.boxShadow !== "none"
			return {there: e.matches(%q), seen: e === document.body || ring, what: e.outerHTML.slice(0, 200)}
		})()`, selector)
		if !at.Seen {
			b.Errorf("nobody sees that the focus is on %s", at.What)
		}
		if at.There {
			return steps + 1
		}
	}
	b.Fatalf("the Tab key does not lead to %s", selector)
	return 0
}

// Without a pointer: find an error, select all that have it, retry them, and take that
// back.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	l := newSets(t, 30_000)
	before := l.redis.Do("ZCARD", "retry")
	s, b := serve(t, l.redis.URL()), newTab(t)
	b.visit(s.root + "/")
	keys := 0
	press := func(key string) {
		keys++
		b.key(key)
	}
	press("g")
	press("j")
	b.ready(`location.pathname.endsWith("/jobs")`)
	keys += b.tabTo(`a[href*="state=retry"]`)
	press(kb.Enter)
	b.ready(`location.search.includes("state=retry") && document.querySelector(".groups a.chip")`)
	for {
		keys += b.tabTo(`.groups a.chip`)
		if strings.Contains(evaluate[string](b, `document.activeElement.innerText`), cardError) {
			break
		}
	}
	press(kb.Enter)
	b.ready(`location.search.includes("CardError") && document.querySelector("button[data-hotkey='a']")`)
	press("a")
	press("r")
	b.ready(`document.querySelector("form[action$='/run']")`)
	keys += b.tabTo(`form[action$="/run"] button`)
	press(kb.Enter)
	b.ready(`document.querySelector("main form[action$='/undo']")`)
	l.await("retry", func() bool { return l.redis.Do("LLEN", "queue:mailers") == strconv.Itoa(told) })
	keys += b.tabTo(`form[action$="/undo"] button`)
	press(kb.Enter)
	l.await("undo", func() bool {
		return l.redis.Do("ZCARD", "retry") == before && l.redis.Do("LLEN", "queue:mailers") == "0"
	})
	b.quiet("keys")
	measured(t, "an error group was found, its %d jobs retried and taken back with %d keys, and the focus was always seen", told, keys)
}
