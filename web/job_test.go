package web

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

func TestJobPage(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{Links: []Link{{"Logs", "https://logs.example/?q={{.JID}}&k={{.Kind}}"}}})
	y.retrying(payload(7, "Invoice::Job", `[7771,{"a":"it's"}]`))
	text := y.page(y.get("/jobs/"+jid(7)), 200)
	y.has(text, "Invoice::Job", jid(7), "CardError", "declined: order 7", "failed again", "batch_of", "4/25",
		`{&#34;a&#34;:&#34;it&#39;s&#34;}`, "ebb enqueue --queue default --args", "https://logs.example/?q="+jid(7)+"&amp;k=Invoice%3A%3AJob", "Retry now", "Edit and retry")
	y.page(y.get("/jobs/"+jid(7)[14:]), 200) // the tail of it
	text = y.page(y.get("/jobs/"+jid(8)), 404)
	y.has(text, "Nobody knows", "kept for 30 d")
}

func TestJobsOfOneJID(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(payload(1, "A", "[1]"))
	y.put(store.Dead, payload(1, "B", "[2]"))
	y.has(y.page(y.get("/jobs/"+jid(1)), 200), "2 jobs with the jid", ">A<", ">B<")
}

// TestJobChanges makes each change of one job, and takes it back to the byte.
func TestJobChanges(t *testing.T) {
	t.Parallel()
	for verb, c := range map[string]struct {
		form url.Values
		to   store.Place
		gone bool
	}{
		"retry":      {to: store.Ready},
		"reschedule": {form: url.Values{"when": {"3h"}}, to: store.Retrying},
		"bury":       {to: store.Dead},
		"delete":     {gone: true},
		"edit":       {form: url.Values{"args": {`[ 12345678901234567890123, "x"]`}, "apply": {"1"}}, to: store.Ready},
	} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, Options{})
			y.retrying(many(3)...)
			before := strings.Join(y.all(store.Retrying), "\n")
			form := url.Values{"version": {versionIn(y, jid(1))}, "back": {"/jobs/" + jid(1)}}
			maps.Copy(form, c.form)
			w := y.post("/jobs/"+jid(1)+"/"+verb, form)
			y.page(w, 303)
			if strings.Join(y.all(store.Retrying), "\n") == before {
				t.Fatal("nothing changed")
			}
			switch jobs := strings.Join(y.all(c.to), "\n"); {
			case c.gone && strings.Contains(jobs, jid(1)), !c.gone && !strings.Contains(jobs, jid(1)):
				t.Errorf("%s: in %v are %s", verb, c.to, jobs)
			case verb == "edit":
				y.has(jobs, `"args":[ 12345678901234567890123, "x"]`)
			}
			// Its page tells what became of it, and a second click says that it came late.
			y.eventually("its page tells", func() bool {
				w := y.get(w.Header().Get("Location"))
				return w.Code == 200 && strings.Contains(w.Body.String(), "/audit#")
			})
			y.page(y.post("/jobs/"+jid(1)+"/"+verb, form), http.StatusConflict)

			_, id, _ := strings.Cut(w.Header().Get("Location"), "change=")
			y.page(y.post("/audit/"+id+"/undo", nil), 303)
			if after := strings.Join(y.all(store.Retrying), "\n"); after != before {
				t.Errorf("undone, it is\n%s\nand was\n%s", after, before)
			}
		})
	}
}

func TestJobMovedMeanwhile(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(many(2)...)
	version := versionIn(y, jid(1))
	for e, err := range y.st.Jobs(t.Context(), store.Query{Place: store.Retrying, JID: jid(1)}) {
		y.must(err)
		_, err := y.st.Move(t.Context(), store.Undoable{}, store.Dead, store.Pick{Key: e.Key})
		y.must(err)
	}
	for _, verb := range []string{"retry", "delete", "edit", "duplicate", "cancel"} {
		y.has(y.page(y.post("/jobs/"+jid(1)+"/"+verb, url.Values{"version": {version}, "args": {"[]"}, "apply": {"1"}}), http.StatusConflict), "no longer as that page showed it")
	}
	if n := len(y.all(store.Dead)); n != 1 {
		t.Errorf("%d are dead", n)
	}
}

func TestJobDuplicate(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(payload(1, "A", "[12345678901234567890123]"))
	w := y.post("/jobs/"+jid(1)+"/duplicate", url.Values{"version": {versionIn(y, jid(1))}})
	y.page(w, 303)
	ready := y.all(store.Ready)
	if len(ready) != 1 || len(y.all(store.Retrying)) != 1 {
		t.Fatalf("%v", ready)
	}
	_, text, _ := strings.Cut(ready[0], " ")
	job, err := wire.Parse([]byte(text))
	y.must(err)
	if job.JID == jid(1) || job.Count != -1 || job.ErrorClass != "" || string(job.Args) != "[12345678901234567890123]" || !strings.Contains(text, `"batch_of":"ruby"`) {
		t.Errorf("the copy is %s", text)
	}
	y.has(y.page(y.get(w.Header().Get("Location")), 200), job.JID)
}

func TestJobEditShowsWhatChanges(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(payload(1, "A", `[7771,{"to":"ada"}]`))
	version := versionIn(y, jid(1))
	y.has(y.page(y.get("/jobs/"+jid(1)+"/edit?version="+version), 200), `[7771,{&#34;to&#34;:&#34;ada&#34;}]`)
	text := y.page(y.post("/jobs/"+jid(1)+"/edit", url.Values{"version": {version}, "args": {`[7771,{"to":"bob"}]`}}), 200)
	y.has(text, "<del>ada</del><ins>bob</ins>", "Retry with these")
	for _, wrong := range []string{"", "7", "[1,", `{"a":1}`} {
		y.has(y.page(y.post("/jobs/"+jid(1)+"/edit", url.Values{"version": {version}, "args": {wrong}, "apply": {"1"}}), 422), "cannot be read")
	}
	y.page(y.post("/jobs/"+jid(1)+"/edit", url.Values{"version": {"old"}, "args": {"[]"}}), 409)
}

// TestJobThatHasLeft finds jobs that are nowhere any more by what others remember.
func TestJobThatHasLeft(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	ctx := t.Context()
	id := store.NewIdentity()
	y.must2(y.st.Beat(ctx, store.Presence{ID: id}, time.Minute))
	y.must(y.st.Leave(ctx, store.Call{By: id, Seq: 1}, store.Farewell{ID: id, Report: store.StopReport{
		ID: id, Release: "v142", Reason: "SIGTERM", Ended: time.Now(), Jobs: []store.Fate{{JID: jid(1), Kind: "ReportJob", Queue: "reports", Fate: "finished", Note: "in time"}},
	}}))
	other := store.NewIdentity()
	began := time.Now().Add(-time.Minute)
	y.must2(y.st.Beat(ctx, store.Presence{ID: other, Ended: []store.Numbered{{Number: 1, Ended: store.Ended{
		JID: jid(2), Kind: "ImportJob", Queue: "imports", By: other, Release: "v143", Attempt: 2, Created: began.Add(-time.Hour), Ready: began.Add(-time.Second), Began: began, At: time.Now(),
	}}}}, time.Minute))
	text := y.page(y.get("/jobs/"+jid(1)), 200)
	y.has(text, "ReportJob", "It is done", "in time", "/stops/", "v142")
	text = y.page(y.get("/jobs/"+jid(2)), 200)
	y.has(text, "ImportJob", "It is done", "attempt 2", "v143", "started", "created")
	y.has(y.page(y.get("/jobs?state=done"), 200), "ImportJob", jid(2)[16:])
	y.has(y.page(y.get("/jobs?state=done&q=kind:Other"), 200), "No job matches")
}

func (y *yard) must2(_ any, err error) {
	y.Helper()
	y.must(err)
}

func TestRunningJob(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	ctx := t.Context()
	y.put(store.Ready, []byte(strings.Replace(string(payload(1, "ReportJob", "[1]")), `"batch_of"`, `"ebb":{"pr":{"d":1204,"n":1900,"m":"pages"},"cp":{"page":1204}},"batch_of"`, 1)))
	id := store.NewIdentity()
	y.must2(y.st.Beat(ctx, store.Presence{ID: id, Release: "v143", State: "running"}, time.Minute))
	held, _, err := y.st.Fetch(ctx, store.Call{By: id, Lane: store.LaneFetch, Seq: 1}, store.Plan{Queues: []store.Share{{Queue: "default"}}}, 1, 0)
	y.must(err)
	y.must2(y.st.Beat(ctx, store.Presence{ID: id, Release: "v143", State: "running", Known: []store.Token{held[0].Token},
		Busy: []store.Run{{Slot: "1", JID: jid(1), Kind: "ReportJob", Queue: "default", Since: time.Now()}}}, time.Minute))
	text := y.page(y.get("/jobs/"+jid(1)), 200)
	y.has(text, "running", "1,204 of 1,900", "pages", "Cancel</button>", "v143", "resumed", `{&#34;page&#34;:1204}`)
	y.hasNot(text, "Retry now", "Delete</button>")
	y.page(y.post("/jobs/"+jid(1)+"/cancel", url.Values{"version": {versionIn(y, jid(1))}}), 303)
	orders, err := y.st.Beat(ctx, store.Presence{ID: id, Known: []store.Token{held[0].Token}}, time.Minute)
	y.must(err)
	if len(orders.Commands) != 1 || orders.Commands[0] != (store.Command{Verb: store.Cancel, JID: jid(1)}) {
		t.Errorf("orders: %+v", orders.Commands)
	}
}
