package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/life"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// jobInfo is all about one job.
type jobInfo struct {
	jobRow
	Running    *runInfo        `json:"running,omitempty"`
	Progress   *progressInfo   `json:"progress,omitempty"`
	Checkpoint json.RawMessage `json:"checkpoint,omitempty"`
	Backtrace  []string        `json:"backtrace,omitempty"` // of the last failure
	Events     []eventRow      `json:"events"`              // the oldest first
	Payload    json.RawMessage `json:"payload,omitempty"`   // only with --payload
	Base64     string          `json:"payload_base64,omitempty"`
}

// runInfo is what a process says of a job that it runs.
type runInfo struct {
	Process string    `json:"process"`
	Release string    `json:"release,omitempty"`
	State   string    `json:"state"` // of the process
	Slot    string    `json:"slot"`
	Since   time.Time `json:"since"`
	Note    string    `json:"note,omitempty"`
	KillAt  time.Time `json:"kill_at,omitzero"`
}

// progressInfo is how far a job says it is.
type progressInfo struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"`
	Note  string `json:"note,omitempty"`
}

// eventRow is one thing that happened to a job.
type eventRow struct {
	At    time.Time `json:"at"`
	What  string    `json:"what"`
	Cause string    `json:"cause,omitempty"`
	By    string    `json:"by,omitempty"`
	Note  string    `json:"note,omitempty"`
}

// fateInfo is what a stop report says of a job that is nowhere any more.
type fateInfo struct {
	JID     string    `json:"jid"`
	State   string    `json:"state"` // gone
	Kind    string    `json:"kind"`
	Queue   string    `json:"queue"`
	Fate    string    `json:"fate"`
	Note    string    `json:"note,omitempty"`
	Process string    `json:"process"`
	Release string    `json:"release,omitempty"`
	At      time.Time `json:"at,omitzero"`
}

func newJobsShow(a *app) *cobra.Command {
	var payload bool
	var every time.Duration
	cmd := &cobra.Command{
		Use: "show JID", Short: "Show all about a job",
		Long: `Show where a job is and all that happened to it: its arguments unless it hides them,
its last error, its history, checkpoint and progress. JID may be the last digits of one,
at least four. Of a job that is nowhere any more, but was touched when a process stopped,
it is said what became of it then.`,
		Example: example("ebb jobs show 0199aa00bb00cc00dd000009", "ebb jobs show 0009", "ebb jobs show 0009 --payload -o json"),
		Args:    exactly("JID"),

		ValidArgsFunction: a.completeJobs(1, jidOf),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.watch(cmd.Context(), every, func(ctx context.Context, s store.Store) error {
				return a.showJob(ctx, s, strings.TrimPrefix(args[0], "…"), payload)
			})
		},
	}
	cmd.Flags().BoolVar(&payload, "payload", false, "the payload too")
	a.showFlags(cmd)
	watchFlag(cmd, &every)
	return cmd
}

func (a *app) showJob(ctx context.Context, s store.Store, jid string, payload bool) error {
	var found []store.Entry
	var search query.Search
	progress := a.searching(&search)
	defer progress.End()
	for e, err := range query.ForJIDs(jid).Find(ctx, s, search) {
		if err != nil {
			return err
		}
		if found = append(found, e); len(found) == screenful {
			break
		}
	}
	progress.End()
	switch len(found) {
	case 0:
		return a.showGone(ctx, s, jid)
	case 1:
		info, err := newJobInfo(ctx, s, found[0], payload)
		if err != nil {
			return err
		}
		return a.show(info, info.text)
	}
	for _, e := range found {
		row := newJobRow(e)
		a.say("%s  %-9s  %s in %s", prose.Plain(row.JID), row.State, prose.Plain(row.Kind), prose.Plain(row.Queue))
	}
	err := fmt.Errorf("%s end in %q", prose.Plural(len(found), "job"), jid)
	return code(exitUsage, store.WithHint(err, "give more of the jid"))
}

func newJobInfo(ctx context.Context, s store.Store, e store.Entry, payload bool) (*jobInfo, error) {
	job, _ := wire.Parse(e.Payload) // the row says what is wrong with it
	info := &jobInfo{jobRow: newJobRow(e), Checkpoint: job.History.Checkpoint, Events: eventsOf(&e, job)}
	info.Backtrace, _ = job.ErrorBacktrace() // one that cannot be read is none
	if p := job.History.Progress; p != nil {
		info.Progress = &progressInfo{p.Done, p.Total, p.Note}
	}
	switch {
	case !payload:
	case utf8.Valid(e.Payload) && json.Valid(e.Payload):
		info.Payload = e.Payload
	default:
		info.Base64 = base64.StdEncoding.EncodeToString(e.Payload)
	}
	if e.Place != store.Keeping {
		return info, nil
	}
	processes, err := s.Processes(ctx)
	for _, p := range processes {
		if p.ID != e.Holder {
			continue
		}
		info.Running = &runInfo{Process: string(p.ID), Release: p.Release, State: p.State, KillAt: p.KillAt.UTC()}
		for _, run := range p.Busy {
			if run.JID == info.JID {
				info.Running.Slot, info.Running.Since, info.Running.Note = run.Slot, run.Since.UTC(), run.Note
			}
		}
	}
	return info, err
}

// eventsOf is a job's life: what its payload tells of it, in order.
func eventsOf(e *store.Entry, job *wire.Job) []eventRow {
	events := []eventRow{}
	for _, e := range life.Told(e, job) {
		events = append(events, eventRow{e.At, e.What, e.Cause, e.By, e.Note})
	}
	return events
}

// backtraceLines is how much of a backtrace a person is shown.
const backtraceLines = 12

func (j *jobInfo) text(p *page) {
	p.field("jid", j.JID)
	p.field("kind", j.Kind)
	p.field("state", p.a.jobState(j.State))
	p.field("queue", j.Queue)
	p.field("next", j.NextAt)
	p.field("dead since", j.DeadAt)
	if r := j.Running; r != nil {
		p.field("process", cmp.Or(strings.TrimSpace(r.Process+" "+r.Release), j.Process))
		p.field("running since", r.Since)
		p.field("note", r.Note)
		p.field("kill at", r.KillAt)
	} else {
		p.field("process", j.Process)
	}
	p.field("tries failed", j.try())
	if j.Cut > 0 {
		p.field("interruptions", j.Cut)
	}
	p.field("tags", j.Tags)
	if j.Args == nil {
		p.field("args", "hidden, or none that can be read")
	} else {
		p.field("args", string(j.Args))
	}
	p.field("unreadable", j.Unreadable)
	p.field("error", j.error())
	for i, line := range j.Backtrace {
		if i == backtraceLines && !p.plain {
			p.line("%14s… %s more", "", prose.Count(len(j.Backtrace)-i))
			break
		}
		p.field("", line)
	}
	j.progress(p)
	p.field("checkpoint", string(j.Checkpoint))
	if len(j.Events) > 0 && !p.plain {
		p.line("%s", console.Dim("history"))
	}
	for _, e := range j.Events {
		p.event(e)
	}
	if payload := cmp.Or(string(j.Payload), j.Base64); payload != "" {
		p.field("payload", payload)
	}
}

func (j *jobInfo) progress(p *page) {
	pr := j.Progress
	if pr == nil {
		return
	}
	words := prose.Count(pr.Done)
	if pr.Total > 0 {
		words += " of " + prose.Count(pr.Total)
	}
	p.field("progress", words)
	if pr.Total > 0 && !p.plain {
		p.line("%14s%s", "", p.a.term.Bar(pr.Done, pr.Total, 24))
	}
	p.field("", pr.Note)
}

// event adds a line of a job's life.
func (p *page) event(e eventRow) {
	words := e.What
	if e.Cause != "" {
		words += " (" + e.Cause + ")"
	}
	if e.By != "" {
		words += " by " + e.By
	}
	if e.Note != "" {
		words += ": " + e.Note
	}
	if p.plain {
		p.field("event", e.At.Format(time.RFC3339Nano)+"  "+words)
		return
	}
	p.field("", e.At.Local().Format("2006-01-02 15:04:05.000")+"  "+words)
}

// showGone says what is known of a job that is nowhere.
func (a *app) showGone(ctx context.Context, s store.Store, jid string) error {
	for stop, err := range s.Stops(ctx) {
		if err != nil {
			return err
		}
		for _, f := range stop.Jobs {
			if !query.IsJID(f.JID, jid) {
				continue
			}
			info := fateInfo{f.JID, "gone", f.Kind, f.Queue, f.Fate, f.Note, string(stop.ID), stop.Release, stop.Ended.UTC()}
			return a.show(info, info.text)
		}
	}
	err := fmt.Errorf("there is no job %q", jid)
	return code(exitNothing, store.WithHint(err, "it is done, was deleted, or is in another store; ebb audit lists deletions"))
}

func (f fateInfo) text(p *page) {
	p.field("jid", f.JID)
	p.field("kind", f.Kind)
	p.field("state", "gone: done, or deleted since")
	p.field("queue", f.Queue)
	p.field("last seen", f.At)
	p.field("fate", strings.TrimSpace(f.Fate+" when "+f.Process+" stopped"))
	p.field("release", f.Release)
	p.field("note", f.Note)
}
