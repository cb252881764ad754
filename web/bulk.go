package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// surely is the number of jobs above which a click is too easily made.
const surely = 1000

// roles are who may do what to jobs, and take it back.
var roles = map[string]Role{
	"retry": Operator, "reschedule": Operator, "bury": Admin, "delete": Admin, "move": Admin, "clear": Admin, "edit": Admin,
}

func (ui *UI) bulkRoutes() {
	ui.bulk = newBulkRuns(ui.store)
	ui.post("/bulk", Operator, ui.bulkFreeze)
	ui.get("GET /bulk/{id}", ui.bulkPage)
	ui.post("/bulk/{id}/run", Operator, ui.bulkRun)
	ui.post("/bulk/{id}/stop", Operator, ui.bulkStop)
	ui.post("/bulk/{id}/resume", Operator, ui.bulkResume)
	ui.post("/audit/{id}/undo", Operator, ui.bulkUndo)
	ui.topics["bulk"] = topic{page: "bulk", read: ui.readBulk}
}

// allows reports that who asks may do that to jobs.
func (r *request) allows(verb string) error {
	role, ok := roles[verb]
	if !ok {
		return fault(http.StatusBadRequest, fmt.Errorf("there is no %q", verb), "")
	}
	if r.Role < role {
		return forbidden(role)
	}
	return nil
}

// MayChange reports whether who asks may do that to jobs here, and so may take it back,
// stop it, and go on with it.
func (r *request) MayChange(verb string) bool { return !r.ui.opt.ReadOnly && r.allows(verb) == nil }

// bulkFreeze finds out which jobs a change is about, and leads to the page that asks
// whether it shall be made.
func (ui *UI) bulkFreeze(w http.ResponseWriter, r *request) error {
	if err := r.ParseForm(); err != nil {
		return fault(http.StatusBadRequest, err, "")
	}
	verb := r.PostFormValue("verb")
	q, err := r.bulkQuery(r.PostForm)
	if err != nil {
		return err
	}
	if verb == "export" {
		http.Redirect(w, r.Request, r.Path("/jobs/export", "q", q.String()), http.StatusSeeOther)
		return nil
	}
	if err := r.allows(verb); err != nil {
		return err
	}
	o := bulk.Order{Verb: bulk.Verb(verb), Query: q, By: r.Who(), Why: r.PostFormValue("why")}
	if o.Verb == bulk.Move {
		o.Queue = r.PostFormValue("queue")
	}
	if o.Verb == bulk.Reschedule {
		if o.At, err = momentOf(r.PostFormValue("when"), r.Now); err != nil {
			return err
		}
	}
	frozen, err := bulk.Freeze(r.Context(), ui.store, o, nil)
	if err != nil {
		return err
	}
	if frozen.Count == 0 {
		return fault(http.StatusConflict, fmt.Errorf("no job to %s matches", verb),
			"jobs that run are left alone; it takes those that are %s", statesOf(o.Verb))
	}
	ui.bulk.keep(frozen, r.PostFormValue("back"))
	http.Redirect(w, r.Request, r.Path("/bulk/"+frozen.ID), http.StatusSeeOther)
	return nil
}

// bulkQuery is which jobs a form names: those that were picked, or all that the list
// shows or would.
func (r *request) bulkQuery(form url.Values) (*query.Query, error) {
	q, wrong, err := r.readJobsQuery(url.Values{"state": form["state"], "q": form["q"]})
	switch {
	case err != nil:
		return nil, err
	case wrong != nil:
		return nil, fault(http.StatusBadRequest, errors.New(wrong.Reason), "%s", wrong.Try)
	case q.State == "done":
		return nil, fault(http.StatusBadRequest, errors.New("jobs that have ended cannot be changed"), "")
	case form.Get("which") == "all":
		return q.query, nil
	case len(form["jid"]) == 0:
		return nil, fault(http.StatusBadRequest, errors.New("no job was selected"), "tick some, or choose all that match")
	case len(form["jid"]) > store.MaxBatch:
		return nil, fault(http.StatusBadRequest, errors.New("too many jobs were selected"), "choose all that match")
	}
	return q.query.And(query.ForJIDs(form["jid"]...)), nil
}

// momentOf reads when jobs shall run: how far from now, or a moment.
func momentOf(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(d), nil
	}
	t, err := query.ParseMoment(text, now.UTC())
	if err != nil {
		return t, fault(http.StatusBadRequest, fmt.Errorf("%q is not a moment", text), "write 10m, 2h, 2030-01-31T22:00:00Z, 2030-01-31 or 22:00")
	}
	return t, nil
}

func statesOf(v bulk.Verb) string {
	var names []string
	for _, p := range v.Places() {
		names = append(names, query.StateOf(p))
	}
	return strings.Join(names, ", ")
}

// bulkView is a change to many jobs: to be confirmed, under way, stopped, or over.
type bulkView struct {
	Change  store.Change
	Running bool
	Begun   bool // else it is to be confirmed
	Rate    int64
	Error   string
	Queued  bool // its first batch is still to come
	// Elsewhere: it made its last step so lately that another ebb may be at it.
	Elsewhere bool
	Last      time.Time

	// To be confirmed:
	Count, Searched, Soon int64
	Undoable              bool
	Bytes                 int64
	Found                 time.Time
	Gone                  int64 // have changed since
	Typed                 bool  // the number is to be typed: of many, of all in a queue, and in production
	Back                  string
}

// Left is how many have not had their turn.
func (v *bulkView) Left() int64 { return max(0, v.Change.Wanted-v.Change.Done-v.Change.Missed) }

// Turns is how many had theirs.
func (v *bulkView) Turns() int64 { return v.Change.Done + v.Change.Missed }

// State is the change's, in a word.
func (v *bulkView) State() string {
	switch {
	case v.Running:
		return "running"
	case !v.Change.Ended.IsZero():
		return "done"
	}
	return "stopped"
}

// CanResume reports whether it can be gone on with.
func (v *bulkView) CanResume() bool {
	c := &v.Change
	return v.Begun && !v.Running && !v.Elsewhere && c.Ended.IsZero() && c.Undone.IsZero() && len(c.Rest) > 0 && roles[c.Verb] != Nobody
}

// CanUndo reports whether it can be taken back now.
func (v *bulkView) CanUndo() bool {
	return v.Begun && !v.Running && v.Change.Done > 0 && bulk.Undoable(&v.Change, time.Now()) == nil
}

// Past is what was done.
func (v *bulkView) Past() string { return pastOf(v.Change.Verb) }

func pastOf(verb string) string {
	return cmp.Or(map[string]string{"retry": "retried", "reschedule": "rescheduled", "bury": "buried", "delete": "deleted", "clear": "deleted", "move": "moved", "edit": "edited and retried"}[verb], verb)
}

// bulkPage is the page of a change to many jobs.
func (ui *UI) bulkPage(w http.ResponseWriter, r *request) error {
	id := r.PathValue("id")
	if kept := ui.bulk.kept(id); kept != nil {
		ui.render(w, r, page{Title: "Confirm", Tab: "/jobs", Template: "bulk", Data: ui.toConfirm(r.Context(), kept)})
		return nil
	}
	data, err := ui.readBulk(r.Context(), id)
	if err != nil {
		return err
	}
	ui.render(w, r, page{Title: "Change of many jobs", Tab: "/jobs", Template: "bulk", Data: data})
	return nil
}

// stillFor is how long a page looks which of the jobs are still as they were.
const stillFor = 300 * time.Millisecond

func (ui *UI) toConfirm(ctx context.Context, k *keptOrder) *bulkView {
	f := k.frozen
	v := &bulkView{
		Change: store.Change{ID: f.ID, Verb: string(f.Order.Verb), What: f.What(), Why: f.Order.Why, Wanted: f.Count},
		Count:  f.Count, Searched: max(f.Searched, f.Count), Soon: f.Soon, Undoable: f.Undoable(), Bytes: f.Bytes, Found: k.at, Back: k.back,
		Typed: f.Count > surely || ui.opt.Env == Production || f.Order.Verb == bulk.Move || f.Order.Verb == bulk.Clear,
	}
	if time.Since(k.at) > time.Second {
		ctx, end := context.WithTimeout(ctx, stillFor)
		defer end()
		if left, err := f.Left(ctx); err == nil { // else it is found out when it is their turn
			v.Gone = f.Count - left
		}
	}
	return v
}

// bulkRun makes a change that was confirmed.
func (ui *UI) bulkRun(w http.ResponseWriter, r *request) error {
	id := r.PathValue("id")
	k := ui.bulk.kept(id)
	if k == nil {
		return fault(http.StatusConflict, errors.New("nobody knows any more which jobs that was about"), "select them again")
	}
	if err := r.allows(string(k.frozen.Order.Verb)); err != nil {
		return err
	}
	if v := ui.toConfirm(r.Context(), k); v.Typed && typedNumber(r.PostFormValue("count")) != v.Count {
		return fault(http.StatusConflict, fmt.Errorf("the number that was typed is not %s", prose.Count(v.Count)), "go back and type it: nothing was changed")
	}
	rate, err := rateOf(r.PostFormValue("rate"))
	if err != nil {
		return err
	}
	k.frozen.ForGood = r.PostFormValue("for_good") != ""
	k.frozen.Order.By, k.frozen.Order.Why = r.Who(), r.PostFormValue("why")
	if err := ui.bulk.run(id, k.frozen, rate); err != nil {
		return err
	}
	http.Redirect(w, r.Request, r.Path("/bulk/"+id), http.StatusSeeOther)
	return nil
}

func typedNumber(text string) int64 {
	n, err := strconv.ParseInt(strings.NewReplacer(",", "", ".", "", " ", "").Replace(text), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func rateOf(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || rate <= 0 || rate > 1e9 {
		return 0, fault(http.StatusBadRequest, fmt.Errorf("%q is no number of jobs a second", text), "leave it empty for as fast as it goes")
	}
	return rate, nil
}

// bulkStop stops a change between two batches.
func (ui *UI) bulkStop(w http.ResponseWriter, r *request) error {
	id := r.PathValue("id")
	c, err := bulk.Lookup(r.Context(), ui.store, id)
	if err != nil && !errors.Is(err, bulk.ErrUnknownChange) {
		return err
	}
	if err == nil {
		if err := r.allows(c.Verb); err != nil {
			return err
		}
	}
	if !ui.bulk.stop(id) {
		return fault(http.StatusConflict, fmt.Errorf("%s does not run here", id), "look at its page: it may have ended")
	}
	http.Redirect(w, r.Request, r.Path("/bulk/"+url.PathEscape(id)), http.StatusSeeOther)
	return nil
}

// bulkResume goes on with a change that was stopped, or whose ebb web died.
func (ui *UI) bulkResume(w http.ResponseWriter, r *request) error {
	id := r.PathValue("id")
	c, err := bulk.Lookup(r.Context(), ui.store, id)
	if err != nil {
		return missing("there is no change %q", id)
	}
	if err := r.allows(c.Verb); err != nil {
		return err
	}
	v, err := ui.readBulk(r.Context(), c.ID)
	if err != nil {
		return err
	}
	if v := v.(*bulkView); v.Running || v.Elsewhere {
		return fault(http.StatusConflict, fmt.Errorf("%s runs already, here or elsewhere", c.ID), "wait a minute and look again")
	}
	frozen, err := bulk.Resume(r.Context(), ui.store, c.ID, nil)
	if errors.Is(err, bulk.ErrNothingToResume) {
		return fault(http.StatusConflict, err, "")
	}
	if err != nil {
		return err
	}
	if err := ui.bulk.run(c.ID, frozen, 0); err != nil {
		return err
	}
	http.Redirect(w, r.Request, r.Path("/bulk/"+c.ID), http.StatusSeeOther)
	return nil
}

// elsewhereFor is longer than a batch takes.
const elsewhereFor = 40 * time.Second

// readBulk reads how far a change is.
func (ui *UI) readBulk(ctx context.Context, id string) (any, error) {
	v := &bulkView{Begun: true}
	v.Running, v.Error = ui.bulk.state(id)
	c, err := bulk.Lookup(ctx, ui.store, id)
	switch {
	case errors.Is(err, bulk.ErrUnknownChange) && v.Running:
		v.Queued = true // its first batch is not recorded yet
		v.Change = store.Change{ID: id}
		return v, nil
	case errors.Is(err, bulk.ErrUnknownChange):
		return nil, missing("there is no change %q: it was never confirmed, or was longer ago than is kept", id)
	case err != nil:
		return nil, err
	}
	v.Change = c
	if !c.Until.IsZero() && c.Ended.IsZero() && !v.Running && v.Error == "" {
		v.Last = c.Until.Add(-bulk.UndoFor)
		v.Elsewhere = time.Since(v.Last) < elsewhereFor
	}
	if took := time.Since(c.Began); v.Running && took > 0 {
		v.Rate = int64(float64(v.Turns()) / took.Seconds())
	}
	return v, nil
}
