// Package life puts together what is known of one job from all who remember something
// of it: its payload, the process that runs it, stop reports, the jobs that ended last,
// and the audit trail. A job that is nowhere any more has a life too.
package life

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Event is one thing that happened to a job.
type Event struct {
	At      time.Time
	What    string // created, enqueued, started, failed, interrupted, rescued, finished, deleted, …
	Cause   string
	By      string // the process that saw it, or who did it
	Release string // of that process, where it is known
	Note    string
	Stop    store.Identity // the process whose stop report tells of it; empty: none does
	Change  string         // the id of the change by hand that it was part of; empty: none
}

// Job is the life of one job.
type Job struct {
	JID, Kind, Queue string
	// State is ready, running, scheduled, retry or dead; or how it ended: done,
	// discarded, expired, deleted; or gone, where nobody saw that.
	State  string
	Entry  *store.Entry // nil: it is nowhere
	Wire   *wire.Job    // what its payload tells, as far as it can be read; nil: it is nowhere
	Broken error        // why the payload cannot be read
	// Run and Process are those that run it now; nil: none does, or none says so.
	Run     *store.Run
	Process *store.Process
	Events  []Event // the oldest first
}

// Told are events that a payload tells of, in order.
func Told(e *store.Entry, job *wire.Job) []Event {
	events := []Event{}
	add := func(at time.Time, what, note string) {
		if !at.IsZero() {
			events = append(events, Event{At: at.UTC(), What: what, Note: note})
		}
	}
	add(job.CreatedAt, "created", "")
	failure, again := query.ErrorOf(job), ""
	if !job.RetriedAt.IsZero() {
		failure, again = "", query.ErrorOf(job) // only the last one is kept
	}
	add(job.FailedAt, "failed", failure)
	add(job.RetriedAt, "failed again", again)
	if job.EnqueuedAt.Sub(job.CreatedAt).Abs() > time.Millisecond {
		add(job.EnqueuedAt, "enqueued", "")
	}
	events = append(events, logged(job.History)...)
	if e.Place == store.Dead {
		add(e.At, "buried", "")
	}
	inOrder(events)
	return events
}

func logged(h wire.History) []Event {
	events := make([]Event, len(h.Events))
	for i, e := range h.Events {
		events[i] = Event{At: e.At.UTC(), What: e.What, Cause: e.Cause, By: e.By, Note: e.Note}
	}
	return events
}

func inOrder(events []Event) {
	slices.SortStableFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
}

// Of is the life of a job that is in the store.
func Of(ctx context.Context, st store.Store, e store.Entry) (*Job, error) {
	job, broken := wire.Parse(e.Payload)
	j := &Job{
		JID: job.JID, Kind: job.Name(), Queue: e.Queue, State: query.StateOf(e.Place),
		Entry: &e, Wire: job, Broken: broken, Events: Told(&e, job),
	}
	m := memory{jid: job.JID, since: job.CreatedAt}
	if err := m.read(ctx, st); err != nil {
		return nil, err
	}
	j.add(&m)
	if e.Place != store.Keeping {
		return j, nil
	}
	processes, err := st.Processes(ctx)
	if err != nil {
		return nil, fmt.Errorf("life: %w", err)
	}
	if i := slices.IndexFunc(processes, func(p store.Process) bool { return p.ID == e.Holder }); i >= 0 {
		j.Process = &processes[i]
		j.running()
	}
	return j, nil
}

// running adds what its process says of it.
func (j *Job) running() {
	i := slices.IndexFunc(j.Process.Busy, func(r store.Run) bool { return r.JID == j.JID })
	if i < 0 {
		return
	}
	j.Run = &j.Process.Busy[i]
	what := "started"
	if j.Wire.History.Checkpoint != nil || j.Wire.History.Interruptions > 0 {
		what = "resumed"
	}
	began := Event{At: j.Run.Since.UTC(), What: what, By: string(j.Process.ID), Release: j.Process.Release}
	for i, e := range j.Events { // it may be in the job's own log
		if e.What == what && e.By == began.By && e.At.Sub(began.At).Abs() < time.Second {
			j.Events[i].Release = began.Release
			return
		}
	}
	j.Events = append(j.Events, began)
	inOrder(j.Events)
}

// Gone is the life of a job that is nowhere any more, nil if nobody remembers it. jid
// may be the tail of one.
func Gone(ctx context.Context, st store.Store, jid string) (*Job, error) {
	m := memory{jid: jid}
	if err := m.read(ctx, st); err != nil {
		return nil, err
	}
	if m.empty() {
		return nil, nil
	}
	j := &Job{JID: jid, State: "gone"}
	j.add(&m)
	return j, nil
}

// add puts what is remembered into the life of a job.
func (j *Job) add(m *memory) {
	for _, e := range m.ended {
		j.JID, j.Kind, j.Queue = e.JID, e.Kind, e.Queue
		j.Events = append(j.Events, endedEvents(&e, len(j.Events) == 0)...)
	}
	for _, f := range m.fates {
		j.JID, j.Kind, j.Queue = f.fate.JID, cmp.Or(j.Kind, f.fate.Kind), cmp.Or(j.Queue, f.fate.Queue)
		if !j.knows(f) {
			j.Events = append(j.Events, Event{
				At: f.at.UTC(), What: f.fate.Fate, Cause: "stop", By: string(f.stop), Release: f.release, Note: f.fate.Note, Stop: f.stop,
			})
		}
	}
	for _, c := range m.changes {
		j.Events = append(j.Events, Event{At: cmp.Or(c.Ended, c.Began).UTC(), What: past(c.Verb), By: c.By, Note: c.Why, Change: c.ID})
		if !c.Undone.IsZero() {
			j.Events = append(j.Events, Event{At: c.Undone.UTC(), What: "undone", Note: c.Verb, Change: c.ID})
		}
	}
	inOrder(j.Events)
	if j.Entry == nil {
		j.State = m.end()
	}
}

// knows reports whether the job tells of this fate itself; it then gets the way to the
// report.
func (j *Job) knows(f told) bool {
	for i := range j.Events {
		e := &j.Events[i]
		same := f.fate.Fate == "rescued" && e.What == "rescued" && e.Note == string(f.stop) ||
			slices.Contains([]string{"handed back", "checkpointed"}, f.fate.Fate) && e.What == "interrupted" && e.By == string(f.stop)
		if same && e.Stop == "" && e.At.Sub(f.at).Abs() < time.Hour {
			e.Stop, e.Release = f.stop, f.release
			e.Note = cmp.Or(e.Note, f.fate.Note)
			return true
		}
	}
	return false
}

// endedEvents are a job's last run, and with all of it what it remembered.
func endedEvents(e *store.Ended, all bool) []Event {
	var events []Event
	add := func(at time.Time, what, note string) {
		if !at.IsZero() {
			events = append(events, Event{At: at.UTC(), What: what, By: string(e.By), Release: e.Release, Note: note})
		}
	}
	if all {
		if !e.Created.IsZero() {
			events = append(events, Event{At: e.Created.UTC(), What: "created"})
		}
		var h wire.History
		if len(e.Log) > 0 && h.UnmarshalJSON(e.Log) == nil {
			events = append(events, logged(h)...)
		}
	}
	if e.Ready.Sub(e.Created) > time.Millisecond {
		events = append(events, Event{At: e.Ready.UTC(), What: "enqueued"})
	}
	add(e.Began, "started", "")
	took := ""
	if !e.Began.IsZero() {
		took = fmt.Sprintf("attempt %d", e.Attempt)
	}
	add(e.At, outcome(e.Outcome), took)
	return events
}

func outcome(o store.Outcome) string {
	if o == store.Finished {
		return "finished"
	}
	return o.String()
}

// past is what a change did.
func past(verb string) string {
	switch verb {
	case "retry":
		return "retried by hand"
	case "reschedule":
		return "rescheduled by hand"
	case "bury":
		return "buried by hand"
	case "delete", "clear":
		return "deleted"
	case "move":
		return "moved to another queue"
	case "edit":
		return "edited and retried"
	}
	return strings.TrimSpace(verb + " by hand")
}
