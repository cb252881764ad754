package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

func newJobs(a *app) *cobra.Command {
	cmd := noun("jobs", "Look at jobs, and retry, reschedule, bury or delete them",
		newJobsLs(a), newJobsShow(a), newJobsExport(a),
		newJobsChange(a, bulk.Retry), newJobsChange(a, bulk.Reschedule), newJobsChange(a, bulk.Bury), newJobsChange(a, bulk.Delete))
	cmd.Aliases = []string{"job"}
	cmd.Example = example("ebb jobs ls --state retry 'error:CardError after:-2h'", "ebb jobs show 0001", "ebb jobs retry kind:InvoiceJob --dry-run")
	return cmd
}

// jobRow is a job as it is printed.
type jobRow struct {
	JID        string          `json:"jid"`
	State      string          `json:"state"`
	Kind       string          `json:"kind"`
	Queue      string          `json:"queue"`
	Tries      int             `json:"tries"`             // that have failed
	Retries    *int            `json:"retries,omitempty"` // how often it is tried again; absent: its process decides
	NextAt     time.Time       `json:"next_at,omitzero"`  // when it is due
	DeadAt     time.Time       `json:"dead_at,omitzero"`  // since when it is dead
	CreatedAt  time.Time       `json:"created_at,omitzero"`
	EnqueuedAt time.Time       `json:"enqueued_at,omitzero"`
	FailedAt   time.Time       `json:"failed_at,omitzero"`  // the first time
	RetriedAt  time.Time       `json:"retried_at,omitzero"` // the last time it failed again
	TouchedAt  time.Time       `json:"touched_at,omitzero"` // the last of all that happened to it
	ErrorClass string          `json:"error_class,omitempty"`
	Error      string          `json:"error_message,omitempty"`
	Args       json.RawMessage `json:"args,omitempty"` // absent where the job hides them
	Tags       []string        `json:"tags,omitempty"`
	Process    string          `json:"process,omitempty"` // that holds it
	Cut        int             `json:"interruptions,omitempty"`
	Unreadable string          `json:"unreadable,omitempty"` // why its payload is no job
}

func newJobRow(e store.Entry) jobRow {
	job, err := wire.Parse(e.Payload)
	row := jobRow{
		JID: job.JID, State: query.StateOf(e.Place), Kind: job.Name(), Queue: e.Queue,
		Tries: query.Tries(job), CreatedAt: job.CreatedAt, EnqueuedAt: job.EnqueuedAt, FailedAt: job.FailedAt, RetriedAt: job.RetriedAt,
		TouchedAt: query.Touched(&e, job).UTC(), ErrorClass: job.ErrorClass, Error: job.ErrorMessage,
		Tags: job.Tags, Process: string(e.Holder), Cut: job.History.Interruptions,
	}
	if n, retries := job.Retry.Limit(-1); n >= 0 || !retries {
		row.Retries = &n
	}
	switch e.Place {
	case store.Scheduled, store.Retrying:
		row.NextAt = e.At.UTC()
	case store.Dead:
		row.DeadAt = e.At.UTC()
	}
	if !job.History.NoArgs && json.Valid(job.Args) {
		row.Args = bytes.ToValidUTF8(job.Args, []byte("\uFFFD")) // which json.Valid leaves open
	}
	if err != nil {
		row.Unreadable = err.Error()
	}
	return row
}

// error is the last failure in a line.
func (r *jobRow) error() string {
	if r.Unreadable != "" {
		return r.Unreadable
	}
	return query.ErrorOf(&wire.Job{ErrorClass: r.ErrorClass, ErrorMessage: r.Error})
}

// try is how often the job has failed, of how often it may.
func (r *jobRow) try() string {
	if r.Retries == nil {
		return fmt.Sprint(r.Tries)
	}
	return fmt.Sprintf("%d/%d", r.Tries, *r.Retries)
}

// shortTail is how much of a jid people see: its end, since those of jobs made within
// a minute begin alike. It is enough to find the job again.
const shortTail = 10

func shortJID(jid string) string {
	if len(jid) <= shortTail+1 {
		return jid
	}
	return "…" + jid[len(jid)-shortTail:]
}

func (a *app) jobList() *list[jobRow] {
	person := a.term.OutWatched
	return &list[jobRow]{
		columns: []column[jobRow]{
			{"jid", func(r jobRow) any {
				if person && a.flags.output != formWide {
					return shortJID(r.JID)
				}
				return r.JID
			}, asIs},
			{"state", func(r jobRow) any { return a.jobState(r.State) }, asIs},
			{"kind", func(r jobRow) any { return r.Kind }, flex},
			{"queue", func(r jobRow) any { return r.Queue }, flex},
			{"try", func(r jobRow) any { return r.try() }, right},
			{"next", func(r jobRow) any { return r.NextAt }, asIs},
			{"error", func(r jobRow) any { return r.error() }, flex},
			{"args", func(r jobRow) any { return shown(r.Args) }, flex},
			{"age", func(r jobRow) any { return r.TouchedAt }, asIs},
			{"tags", func(r jobRow) any { return r.Tags }, wide},
			{"process", func(r jobRow) any { return r.Process }, wide},
			{"created", func(r jobRow) any { return r.CreatedAt }, wide},
		},
		name: func(r jobRow) string { return r.JID },
		none: "no job matches",
	}
}

// shown is JSON for a cell.
func shown(args json.RawMessage) string {
	const most = 500 // no cell shows more
	return string(args[:min(len(args), most)])
}

// jobState gives a state its colour; the word says the same.
func (a *app) jobState(state string) any {
	switch state {
	case "running":
		return styled{state, console.Code}
	case "retry":
		return styled{state, console.Warn}
	case "dead":
		return styled{state, console.Bad}
	}
	return state
}
