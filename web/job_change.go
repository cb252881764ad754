package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// jobChange does something to one job, if it is still as its page showed it.
func (ui *UI) jobChange(w http.ResponseWriter, r *request) error {
	verb := r.PathValue("verb")
	switch verb {
	case "cancel", "duplicate":
	default:
		if err := r.allows(verb); err != nil {
			return err
		}
	}
	e, err := ui.asShown(r, r.PostFormValue("version"))
	if err != nil {
		return err
	}
	switch verb {
	case "cancel":
		return ui.jobCancel(w, r, e)
	case "duplicate":
		return ui.jobDuplicate(w, r, e)
	}
	o := bulk.Order{Verb: bulk.Verb(verb), Query: query.ForJIDs(r.PathValue("jid")), By: r.Who(), Why: r.PostFormValue("why")}
	if o.Verb == bulk.Reschedule {
		if o.At, err = momentOf(r.PostFormValue("when"), r.Now); err != nil {
			return err
		}
	}
	return ui.changeOne(w, r, o, *e, nil)
}

// changeOne makes a change of one job, and leads back to where it was asked from.
func (ui *UI) changeOne(w http.ResponseWriter, r *request, o bulk.Order, e store.Entry, payload []byte) error {
	c, err := bulk.One(r.Context(), ui.store, o, e, payload)
	if err != nil {
		return err
	}
	if c.Done == 0 {
		return errMoved(r.PathValue("jid"))
	}
	return ui.back(w, r, c.ID)
}

// jobCancel tells the process that runs a job to cut it off.
func (ui *UI) jobCancel(w http.ResponseWriter, r *request, e *store.Entry) error {
	jid := r.PathValue("jid")
	if e.Place != store.Keeping {
		return errMoved(jid)
	}
	id, err := ui.noting(r, store.Change{Verb: "cancel", What: "jid:" + jid}, func(ctx context.Context) (int64, error) {
		return 1, ui.store.Command(ctx, e.Holder, store.Command{Verb: store.Cancel, JID: jid})
	})
	if err != nil {
		return err
	}
	return ui.back(w, r, id)
}

// jobDuplicate enqueues the same job once more, as a new one that has not failed.
func (ui *UI) jobDuplicate(w http.ResponseWriter, r *request, e *store.Entry) error {
	if r.Role < Admin {
		return forbidden(Admin)
	}
	job, err := wire.Parse(e.Payload)
	if err != nil {
		return fault(http.StatusConflict, err, "a payload that cannot be read cannot be enqueued")
	}
	copied, jid := copyOf(job, r.Now)
	_, err = ui.noting(r, store.Change{Verb: "enqueue", What: fmt.Sprintf("jid:%s as jid:%s", job.JID, jid)}, func(ctx context.Context) (int64, error) {
		_, err := ui.store.Push(ctx, store.Call{}, store.Item{JID: jid, Queue: e.Queue, Kind: job.Kind, Payload: copied})
		return 1, err
	})
	if err != nil {
		return err
	}
	http.Redirect(w, r.Request, r.Path("/jobs/"+jid), http.StatusSeeOther)
	return nil
}

// copyOf is a payload for a second job like it: what happened to the first is not its.
func copyOf(job *wire.Job, now time.Time) (payload []byte, jid string) {
	jid = wire.NewJID(now)
	var p wire.Patch
	p.SetString("jid", jid)
	p.SetTime("created_at", now)
	for _, key := range []string{"error_class", "error_message", "error_backtrace", "failed_at", "retried_at", "retry_count", "bid"} {
		p.Delete(key)
	}
	h := job.History
	p.SetHistory(wire.History{Timeout: h.Timeout, Expires: h.Expires, NoArgs: h.NoArgs})
	return wire.Stamp(job.With(&p), "", now), jid
}

// maxEdit is how long arguments may be to be edited on a page.
const maxEdit = 64 << 10

// editView is the page on which arguments are edited.
type editView struct {
	JID, Kind, Version, Near string
	Old, New                 string
	Wrong                    string // why New cannot be taken
	Checked                  bool   // New may be applied; the page shows what differs
	Same                     bool
	// What differs, between what both begin and end with.
	Begin, Out, In, End string
}

// editable are the arguments of a job if they may be edited: all of them must be seen.
func (r *request) editable(e *store.Entry) (*wire.Job, error) {
	job, err := wire.Parse(e.Payload)
	switch shown := r.argsOf(job, maxEdit); {
	case err != nil:
		return nil, fault(http.StatusConflict, err, "a payload that cannot be read cannot be edited")
	case e.Place == store.Keeping || e.Place == store.Ready:
		return nil, fault(http.StatusConflict, fmt.Errorf("it is %s: it may be on its way any moment", query.StateOf(e.Place)), "jobs that wait for a time, or are dead, can be edited")
	case shown.Cut:
		return nil, fault(http.StatusConflict, errors.New("its arguments are too long for this page"), "ebb jobs export jid:%s writes them to a file", job.JID)
	case shown.Hidden || shown.Text != string(job.Args):
		return nil, fault(http.StatusForbidden, errors.New("some of its arguments are hidden"), "what is not seen cannot be edited")
	}
	return job, nil
}

// jobEdit is the page on which a job's arguments are edited.
func (ui *UI) jobEdit(w http.ResponseWriter, r *request) error {
	if r.Role < Admin || r.ui.opt.ReadOnly {
		return forbidden(Admin)
	}
	e, err := ui.asShown(r, r.FormValue("version"))
	if err != nil {
		return err
	}
	job, err := r.editable(e)
	if err != nil {
		return err
	}
	ui.renderEdit(w, r, newEdit(e, job, string(job.Args)))
	return nil
}

func newEdit(e *store.Entry, job *wire.Job, text string) *editView {
	return &editView{JID: job.JID, Kind: job.Name(), Version: versionOf(e), Near: nearOf(e), Old: string(job.Args), New: text}
}

func (ui *UI) renderEdit(w http.ResponseWriter, r *request, v *editView) {
	p := page{Title: "Edit job " + tail(v.JID), Tab: "/jobs", Template: "job_edit", Data: v}
	if v.Wrong != "" {
		p.Status = http.StatusUnprocessableEntity
	}
	ui.render(w, r, p)
}

// jobEdited checks arguments that were written by hand and shows what differs; asked
// again, it retries the job with them.
func (ui *UI) jobEdited(w http.ResponseWriter, r *request) error {
	e, err := ui.asShown(r, r.PostFormValue("version"))
	if err != nil {
		return err
	}
	job, err := r.editable(e)
	if err != nil {
		return err
	}
	v := newEdit(e, job, strings.ReplaceAll(r.PostFormValue("args"), "\r\n", "\n"))
	args, err := argsFrom(v.New)
	if err != nil {
		v.Wrong = err.Error()
		ui.renderEdit(w, r, v)
		return nil
	}
	if r.PostFormValue("apply") == "" {
		v.compare()
		ui.renderEdit(w, r, v)
		return nil
	}
	var p wire.Patch
	p.Set("args", args)
	o := bulk.Order{Verb: bulk.Edit, Query: query.ForJIDs(job.JID), By: r.Who(), Why: r.PostFormValue("why")}
	r.PostForm.Set("back", r.Path("/jobs/"+url.PathEscape(job.JID)))
	return ui.changeOne(w, r, o, *e, job.With(&p))
}

// argsFrom reads an array of arguments as a person has written it.
func argsFrom(text string) (json.RawMessage, error) {
	args := bytes.TrimSpace([]byte(text))
	switch {
	case len(args) > maxEdit:
		return nil, fmt.Errorf("that is longer than %d bytes", maxEdit)
	case len(args) == 0 || args[0] != '[':
		return nil, errors.New("arguments are a list: [ … ]")
	}
	if err := json.Unmarshal(args, new(json.RawMessage)); err != nil {
		return nil, err
	}
	return args, nil
}

// compare finds what differs.
func (v *editView) compare() {
	v.Checked, v.Same = true, v.Old == strings.TrimSpace(v.New)
	a, b := []rune(v.Old), []rune(strings.TrimSpace(v.New))
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	j := 0
	for j < len(a)-i && j < len(b)-i && a[len(a)-1-j] == b[len(b)-1-j] {
		j++
	}
	v.Begin, v.Out, v.In, v.End = string(a[:i]), string(a[i:len(a)-j]), string(b[i:len(b)-j]), string(a[len(a)-j:])
}
