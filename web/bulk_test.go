package web

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

// freeze asks for a change, and returns the address of the page that asks for sure.
func (y *yard) freeze(form url.Values) string {
	y.Helper()
	w := y.post("/bulk", form)
	y.page(w, 303)
	return w.Header().Get("Location")
}

// over waits until a change has ended, and returns its page.
func (y *yard) over(at string) (text string) {
	y.Helper()
	y.eventually("the change ends", func() bool {
		text = y.page(y.get(at), 200) // it is read once a second
		return !y.UI.bulk.runs(strings.TrimPrefix(at, "/bulk/")) && !strings.Contains(text, "badge running")
	})
	return text
}

func (y *yard) eventually(what string, ok func() bool) {
	y.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			y.Fatalf("did not happen: %s", what)
		}
	}
}

func (y *yard) change(at string) store.Change {
	y.Helper()
	for c, err := range y.st.Changes(y.Context()) {
		if y.must(err); "/bulk/"+c.ID == at {
			return c
		}
	}
	y.Fatalf("no change of %s", at)
	return store.Change{}
}

// All that waits in a queue is too much for one click.
func TestBulkOfAQueueIsTyped(t *testing.T) {
	t.Parallel()
	for verb, form := range map[string]url.Values{"clear": {}, "move": {"queue": {"elsewhere"}}} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, Options{})
			y.put(store.Ready, payload(1, "Mail", "[]"), payload(2, "Mail", "[]"))
			form.Set("verb", verb)
			form.Set("which", "all")
			form.Set("state", "ready")
			form.Set("q", "queue:default")
			at := y.freeze(form)
			y.has(y.page(y.get(at), 200), "Type 2 to confirm")
			y.page(y.post(at+"/run", nil), 409)
			if n := len(y.all(store.Ready)); n != 2 {
				t.Fatalf("%d jobs are left, want all: nobody has confirmed", n)
			}
			y.page(y.post(at+"/run", url.Values{"count": {"2"}}), 303)
			y.over(at)
		})
	}
}

func TestBulkDeleteAndUndo(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(many(1200)...)
	y.retrying(payload(9001, "Other", "[]"))
	before := y.all(store.Retrying)

	at := y.freeze(url.Values{"verb": {"delete"}, "state": {"retry"}, "q": {"kind:InvoiceJob"}, "which": {"all"}, "back": {"/jobs?state=retry"}})
	text := y.page(y.get(at), 200)
	y.has(text, "Delete 1,200 jobs?", "Type 1200 to confirm", "among 1,201", "possible for ten minutes", `href="/jobs?state=retry"`)
	y.retrying(payload(9002, "InvoiceJob", "[]")) // matches, and came too late
	if w := y.post(at+"/run", url.Values{"count": {"1201"}}); w.Code != http.StatusConflict || len(y.all(store.Retrying)) != 1202 {
		t.Fatalf("a wrong number: %d", w.Code)
	}
	y.page(y.post(at+"/run", url.Values{"count": {"1,200"}, "why": {"a test"}}), 303)
	text = y.over(at)
	y.has(text, "1,200", "deleted", "Undo", "a test")
	if left := y.all(store.Retrying); len(left) != 2 {
		t.Fatalf("%d are left: %v", len(left), left)
	}
	c := y.change(at)
	if c.Done != 1200 || c.By != "web@127.0.0.1" || c.Ended.IsZero() {
		t.Errorf("recorded: %+v", c)
	}

	w := y.post("/audit/"+c.ID+"/undo", url.Values{"back": {at}})
	y.page(w, 303)
	y.has(w.Header().Get("Location"), "change="+c.ID)
	after := y.all(store.Retrying)
	y.has(strings.Join(after, "\n"), jid(9002))
	after = slicesDelete(after, jid(9002))
	if diff := gocmp.Diff(before, after); diff != "" {
		t.Errorf("not what it was (-want +got):\n%.500s", diff)
	}
	y.page(y.post("/audit/"+c.ID+"/undo", nil), http.StatusConflict)
}

func slicesDelete(jobs []string, jid string) (rest []string) {
	for _, j := range jobs {
		if !strings.Contains(j, jid) {
			rest = append(rest, j)
		}
	}
	return rest
}

func TestBulkOfSelected(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(many(30)...)
	picked := url.Values{"state": {"retry"}, "which": {"picked"}}
	for n := range 20 {
		picked.Add("jid", jid(n))
	}
	for verb, want := range map[string]struct{ left, dead int }{"bury": {10, 20}} {
		picked.Set("verb", verb)
		at := y.freeze(picked)
		y.page(y.post(at+"/run", nil), 303)
		y.over(at)
		if left, dead := len(y.all(store.Retrying)), len(y.all(store.Dead)); left != want.left || dead != want.dead {
			t.Errorf("%s: %d left, %d dead", verb, left, dead)
		}
	}
	at := y.freeze(url.Values{"verb": {"reschedule"}, "when": {"2h"}, "state": {"retry"}, "jid": {jid(25)}})
	y.page(y.post(at+"/run", nil), 303)
	y.over(at)
	for e, err := range y.st.Jobs(t.Context(), store.Query{Place: store.Retrying, JID: jid(25)}) {
		if y.must(err); time.Until(e.At) < 119*time.Minute {
			t.Errorf("due at %v", e.At)
		}
	}
	y.page(y.post("/bulk", url.Values{"verb": {"reschedule"}, "when": {"some day"}, "jid": {jid(25)}}), 400)
	y.page(y.post("/bulk", url.Values{"verb": {"delete"}}), 400)
	y.page(y.post("/bulk", url.Values{"verb": {"delete"}, "jid": {jid(777)}}), 409)
	y.page(y.post("/bulk", url.Values{"verb": {"explode"}, "jid": {jid(25)}}), 400)
	w := y.post("/bulk", url.Values{"verb": {"export"}, "jid": {jid(25)}})
	y.page(w, 303)
	if got := y.page(y.get(w.Header().Get("Location")), 200); strings.Count(got, "\n") != 1 || !strings.Contains(got, string(payload(25, "InvoiceJob", "[25]"))) {
		t.Errorf("export: %s", got)
	}
}

// TestBulkWithoutRole tries each change as somebody who may not make it.
func TestBulkWithoutRole(t *testing.T) {
	t.Parallel()
	role := Admin
	y := newYard(t, Options{Role: func(User) Role { return role }})
	y.retrying(many(3)...)
	at := y.freeze(url.Values{"verb": {"delete"}, "jid": {jid(1)}})
	before := y.all(store.Retrying)
	version := versionIn(y, jid(1))
	for _, c := range []struct {
		role   Role
		target string
		form   url.Values
	}{
		{Operator, "/bulk", url.Values{"verb": {"delete"}, "jid": {jid(1)}}},
		{Operator, "/bulk", url.Values{"verb": {"bury"}, "jid": {jid(1)}}},
		{Operator, at + "/run", nil},
		{Operator, "/jobs/" + jid(1) + "/delete", url.Values{"version": {version}}},
		{Operator, "/jobs/" + jid(1) + "/bury", url.Values{"version": {version}}},
		{Operator, "/jobs/" + jid(1) + "/duplicate", url.Values{"version": {version}}},
		{Operator, "/jobs/" + jid(1) + "/edit", url.Values{"version": {version}, "args": {"[]"}, "apply": {"1"}}},
		{Viewer, "/bulk", url.Values{"verb": {"retry"}, "jid": {jid(1)}}},
		{Viewer, "/jobs/" + jid(1) + "/retry", url.Values{"version": {version}}},
	} {
		role = c.role
		if w := y.post(c.target, c.form); w.Code != http.StatusForbidden {
			t.Errorf("%s as %v: %d", c.target, c.role, w.Code)
		}
	}
	if diff := gocmp.Diff(before, y.all(store.Retrying)); diff != "" || len(y.all(store.Ready))+len(y.all(store.Dead)) > 0 {
		t.Errorf("something changed: %s", diff)
	}
}

func TestBulkInProductionAsksTwice(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{Env: Production})
	y.retrying(many(2)...)
	at := y.freeze(url.Values{"verb": {"retry"}, "which": {"all"}, "state": {"retry"}})
	y.has(y.page(y.get(at), 200), "Type 2 to confirm")
	y.page(y.post(at+"/run", nil), http.StatusConflict)
	y.page(y.post(at+"/run", url.Values{"count": {"2"}}), 303)
	y.over(at)
	if n := len(y.all(store.Ready)); n != 2 {
		t.Errorf("%d were retried", n)
	}
}

// TestBulkSurvivesTheServer stops the pages half way through a change, and goes on with
// it on others.
func TestBulkSurvivesTheServer(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(many(120)...)
	at := y.freeze(url.Values{"verb": {"retry"}, "which": {"all"}, "state": {"retry"}})
	y.page(y.post(at+"/run", url.Values{"rate": {"20"}, "for_good": {"1"}}), 303)
	y.eventually("some are retried", func() bool { return len(y.all(store.Ready)) >= 20 })
	y.eventually("the page tells how far it is", func() bool { return strings.Contains(y.page(y.get(at), 200), "Stop</button>") })
	y.Close()
	c := y.change(at)
	if done := len(y.all(store.Ready)); !c.Ended.IsZero() || done == 0 || done == 120 || int64(done) != c.Done {
		t.Fatalf("%d were retried, %+v", done, c)
	}

	other, err := New(y.client, Options{})
	y.must(err)
	defer other.Close()
	y.UI = other
	y.has(y.page(y.get(at), 200), "stopped half way", "Resume</button>")
	y.page(y.post(at+"/resume", nil), 303)
	y.over(at)
	if n := len(y.all(store.Ready)); n != 120 {
		t.Errorf("%d were retried", n)
	}
	if c := y.change(at); c.Done != 120 || c.Ended.IsZero() {
		t.Errorf("%+v", c)
	}
	y.page(y.post(at+"/resume", nil), http.StatusConflict)
}

func TestBulkStops(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(many(60)...)
	var at []string
	for range maxRuns + 1 {
		at = append(at, y.freeze(url.Values{"verb": {"retry"}, "which": {"all"}, "state": {"retry"}}))
	}
	for i, a := range at {
		want := 303
		if i == maxRuns {
			want = http.StatusTooManyRequests
		}
		y.page(y.post(a+"/run", url.Values{"rate": {"1"}}), want)
	}
	for _, a := range at[:maxRuns] {
		y.page(y.post(a+"/stop", nil), 303)
		y.has(y.over(a), "stopped half way", "stopped by hand")
	}
	y.page(y.post(at[0]+"/stop", nil), http.StatusConflict)
}

var versionField = regexp.MustCompile(`name="version" value="([0-9a-f]+)"`)

// versionIn is the version of a job that its page shows.
func versionIn(y *yard, jid string) string {
	y.Helper()
	m := versionField.FindStringSubmatch(y.page(y.get("/jobs/"+jid), 200))
	if m == nil {
		y.Fatal("no version")
	}
	return m[1]
}
