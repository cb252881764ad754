package web

import (
	"context"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// where is where a job is now. The zero value: it was not among the places that are
// quick to look at; its own page looks at all.
type where struct {
	State string // running, ready, done, discarded, expired
	By    store.Identity
	At    time.Time // since when
}

// How far it is looked for jobs that a stop has touched.
const (
	lookEnded  = 2000 // jobs that left the store
	lookQueues = 5
	lookAhead  = 2 * rows // jobs at the front of each
)

// locate finds out where jobs are now: in a process, at the front of the queue that they
// were given back to, or gone since the stop began. What it costs does not grow with
// the store.
func (ui *UI) locate(ctx context.Context, jobs []touchedRow, h *history, since time.Time) error {
	sought := map[string][]*touchedRow{}
	queues := []string{}
	for i := range jobs {
		switch t := &jobs[i]; t.Word {
		case stillRunning, unknownFate:
			t.Where = where{State: "running", By: t.By, At: t.Since}
		case "finished":
			t.Where = where{State: "done"}
		default:
			if t.JID != "" {
				sought[t.JID] = append(sought[t.JID], t)
			}
			if !slices.Contains(queues, t.Queue) && len(queues) < lookQueues && t.Queue != "" {
				queues = append(queues, t.Queue)
			}
		}
	}
	found := func(jid string, at where) {
		for _, t := range sought[jid] {
			t.Where = at
		}
		delete(sought, jid)
	}
	for _, p := range h.Processes {
		for _, run := range p.Busy {
			found(run.JID, where{"running", p.ID, run.Since})
		}
	}
	if err := ui.locateEnded(ctx, sought, since, found); err != nil {
		return err
	}
	for _, queue := range queues {
		if len(sought) == 0 {
			return nil
		}
		for e, err := range ui.store.Jobs(ctx, store.Query{Place: store.Ready, Queue: queue, Limit: lookAhead}) {
			if err != nil {
				return err
			}
			if job, err := wire.Parse(e.Payload); err == nil && sought[job.JID] != nil {
				found(job.JID, where{State: "ready", At: job.EnqueuedAt})
			}
		}
	}
	return nil
}

func (ui *UI) locateEnded(ctx context.Context, sought map[string][]*touchedRow, since time.Time, found func(string, where)) error {
	looked := 0
	if len(sought) == 0 {
		return nil
	}
	for e, err := range ui.store.Ended(ctx, "") {
		if err != nil {
			return err
		}
		if looked++; len(sought) == 0 || looked > lookEnded || e.At.Before(since) {
			break
		}
		if sought[e.JID] != nil {
			found(e.JID, where{e.Outcome.String(), e.By, e.At})
		}
	}
	return nil
}
