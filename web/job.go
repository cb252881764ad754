package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/ebbjobs/ebb/internal/life"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// How much of a job a page shows; all of it can be loaded.
const (
	shownArgs    = 6000 // bytes
	shownPayload = 6000
	shownError   = 2000
	shownOther   = 2000
	shownFrames  = 40 // lines
)

func (ui *UI) jobRoutes() {
	ui.finder = newJobFinder(ui.store)
	ui.get("GET /jobs/{jid}", ui.job)
	ui.get("GET /jobs/{jid}/payload", ui.jobPayload)
	ui.get("GET /jobs/{jid}/edit", ui.jobEdit)
	ui.post("/jobs/{jid}/edit", Admin, ui.jobEdited)
	ui.post("/jobs/{jid}/{verb}", Operator, ui.jobChange)
	ui.topics["job"] = topic{page: "job", read: ui.readJob}
}

// jobView is the page of one job, or of several with one jid.
type jobView struct {
	JID     string
	Jobs    []*life.Job // more than one: they share the jid
	Kept    *life.Kept  // not nil: nobody knows of it, and this is how far memories go
	Version string      // of the job as it is shown
	Near    string      // where it was found
}

// One is the job, nil if there is none or more than one.
func (v *jobView) One() *life.Job {
	if len(v.Jobs) != 1 {
		return nil
	}
	return v.Jobs[0]
}

// versionOf tells a job in its place from the same job later.
func versionOf(e *store.Entry) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %s %s %s ", e.Place, e.At.UnixMicro(), e.Holder, e.Queue, e.Payload)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// nearOf is where a job was found, for those who come back to it.
func nearOf(e *store.Entry) string {
	return query.Position{Place: e.Place, Queue: e.Queue, At: e.At, Skip: 1}.String()
}

// job is a job's page. It is there for every job that anybody remembers.
func (ui *UI) job(w http.ResponseWriter, r *request) error {
	jid := r.PathValue("jid")
	ui.finder.hint(jid, r.FormValue("near"))
	_, _, data, err := ui.hub.read(r.Context(), "job:"+jid, hasty)
	if err != nil {
		return err
	}
	p := page{Title: "Job " + tail(jid), Tab: "/jobs", Template: "job", Data: data}
	if v := data.(*jobView); len(v.Jobs) == 0 {
		p.Status = http.StatusNotFound
	}
	ui.render(w, r, p)
	return nil
}

func (ui *UI) readJob(ctx context.Context, jid string) (any, error) {
	found, err := ui.finder.find(ctx, jid)
	if err != nil {
		return nil, err
	}
	v := &jobView{JID: jid}
	for _, e := range found {
		j, err := life.Of(ctx, ui.store, e)
		if err != nil {
			return nil, err
		}
		v.Jobs, v.Version, v.Near = append(v.Jobs, j), versionOf(&e), nearOf(&e)
	}
	if len(found) > 0 {
		return v, nil
	}
	gone, err := life.Gone(ctx, ui.store, jid)
	if err != nil {
		return nil, err
	}
	if gone != nil {
		v.Jobs = append(v.Jobs, gone)
		return v, nil
	}
	kept, err := life.Remembered(ctx, ui.store)
	v.Kept = &kept
	return v, err
}

// jobArgs are a job's arguments for its page.
func (r *request) JobArgs(job *wire.Job) shownJSON { return r.argsOf(job, shownArgs) }

// Checkpoint is what the job has saved.
func (r *request) Checkpoint(job *wire.Job) shownJSON {
	if !r.Args() || job.History.NoArgs {
		return shownJSON{Hidden: true}
	}
	return r.show(job.History.Checkpoint, shownOther, "checkpoint")
}

// payloadOf is a job's payload without what is hidden; ok is false where nobody can
// tell what to hide. Where nothing is hidden it is the payload to the byte.
func (r *request) payloadOf(e *store.Entry) (payload []byte, ok bool) {
	job, err := wire.Parse(e.Payload)
	if !r.Args() {
		return nil, false
	}
	redact := r.ui.opt.Redact
	if redact == nil && (err != nil || !job.History.NoArgs) {
		return e.Payload, true
	}
	payload, err = hide(e.Payload, math.MaxInt, "", func(path string) bool {
		if path == "args" || path == "ebb.cp" { // a checkpoint is made of arguments
			return job.History.NoArgs
		}
		return redact != nil && redact(strings.TrimPrefix(path, "args."))
	})
	return payload, err == nil
}

// Payload is the payload as its page shows it.
func (r *request) Payload(e *store.Entry) shownJSON {
	payload, ok := r.payloadOf(e)
	if !ok {
		return shownJSON{Hidden: true}
	}
	return shownJSON{Text: cut(string(payload[:min(len(payload), shownPayload+4)]), shownPayload), Cut: len(payload) > shownPayload}
}

// jobPayload is all of a payload, as a file.
func (ui *UI) jobPayload(w http.ResponseWriter, r *request) error {
	e, err := ui.asShown(r, r.FormValue("version"))
	if err != nil {
		return err
	}
	payload, ok := r.payloadOf(e)
	if !ok {
		return forbidden(Operator)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="payload.json"`)
	w.Header().Set("Cache-Control", "no-store")
	w.Write(payload)
	return nil
}

// asShown finds the job that a page has shown, if it is still as it was then.
func (ui *UI) asShown(r *request, version string) (*store.Entry, error) {
	jid := r.PathValue("jid")
	ui.finder.hint(jid, r.FormValue("near"))
	found, err := ui.finder.find(r.Context(), jid)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(found, func(e store.Entry) bool { return versionOf(&e) == version }); i >= 0 {
		return &found[i], nil
	}
	return nil, errMoved(jid)
}

func errMoved(jid string) error {
	return fault(http.StatusConflict, fmt.Errorf("job %s is no longer as that page showed it: nothing was done", tail(jid)), "look at it again: /jobs/%s", url.PathEscape(jid))
}

// Fields are those that ebb has no name for: Ruby's, and of plug-ins.
func (r *request) Fields(job *wire.Job) []wire.Field {
	var fields []wire.Field
	const most = 20
	for _, f := range job.Extra() {
		if len(fields) == most {
			break
		}
		if !r.Args() || r.ui.opt.Redact != nil && r.ui.opt.Redact(f.Key) {
			f.Value = []byte(hidden)
		}
		f.Key, f.Value = cut(f.Key, 100), []byte(r.show(f.Value, shownOther/10, f.Key).Text)
		fields = append(fields, f)
	}
	return fields
}

// frames are a backtrace as people read it: their own program's lines first.
type frames struct {
	Own, Others []string
	More        int
}

// Backtrace is where a job failed last.
func (r *request) Backtrace(job *wire.Job) frames {
	lines, err := job.ErrorBacktrace()
	if err != nil {
		return frames{} // one that cannot be read is none
	}
	f := frames{More: max(0, len(lines)-shownFrames)}
	for _, line := range lines[:min(len(lines), shownFrames)] {
		if line = cut(line, 160); framework(line) {
			f.Others = append(f.Others, line)
		} else {
			f.Own = append(f.Own, line)
		}
	}
	return f
}

// framework reports whether a line of a backtrace is of a library.
func framework(line string) bool {
	for _, part := range []string{"/gems/", "/go/pkg/mod/", "/usr/lib/", "/usr/local/go/", "/usr/local/lib/", "github.com/ebbjobs/ebb", "runtime/", "<internal:"} {
		if strings.Contains(line, part) {
			return true
		}
	}
	return false
}

// Command is the line that enqueues the same job again; empty: it is too long, or not
// for who asks to see.
func (r *request) Command(j *life.Job) string {
	args := r.argsOf(j.Wire, shownOther)
	if args.Hidden || args.Cut || j.Broken != nil || args.Text != string(j.Wire.Args) {
		return ""
	}
	line := "ebb enqueue --queue " + shellWord(j.Queue) + " --args " + shellWord(args.Text)
	if len(j.Wire.Tags) > 0 {
		line += " --tags " + shellWord(strings.Join(j.Wire.Tags, ","))
	}
	return line + " -- " + shellWord(j.Wire.Kind)
}

// shellWord is text as a shell takes it for one argument.
func shellWord(text string) string {
	if text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:./-_=,@") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// LinksOf are the ways from a job to elsewhere.
func (r *request) LinksOf(j *life.Job) ([]Link, error) {
	of := map[string]string{"JID": url.QueryEscape(j.JID), "Kind": url.QueryEscape(j.Kind), "Queue": url.QueryEscape(j.Queue), "Process": ""}
	if j.Process != nil {
		of["Process"] = url.QueryEscape(string(j.Process.ID))
	}
	var links []Link
	for _, l := range r.ui.opt.Links {
		t, err := template.New("").Option("missingkey=zero").Parse(l.URL)
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		if err := t.Execute(&b, of); err != nil {
			return nil, err
		}
		links = append(links, Link{l.Text, b.String()})
	}
	return links, nil
}

// step is a line of a job's life.
type step struct {
	life.Event
	Since time.Duration // from the line before
}

// Later reports whether it came so long after the line before that it says something.
func (s step) Later() bool { return s.Since >= time.Millisecond }

// Steps are the lines of a job's life, those in the middle of a long one apart.
func (r *request) Steps(j *life.Job) (parts struct{ First, Middle, Last []step }) {
	steps := make([]step, len(j.Events))
	for i, e := range j.Events {
		e.Note = cut(e.Note, 300)
		steps[i] = step{Event: e}
		if i > 0 {
			steps[i].Since = max(0, e.At.Sub(j.Events[i-1].At))
		}
	}
	const first, last = 3, 12
	if len(steps) <= first+last {
		parts.First = steps
		return parts
	}
	parts.First, parts.Middle, parts.Last = steps[:first], steps[first:len(steps)-last], steps[len(steps)-last:]
	return parts
}
