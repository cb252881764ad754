// Package rescue gives back what processes held that are gone. Every living
// process does it, on a timer; two that find the same loss do no harm.
package rescue

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

const (
	every     = time.Second            // between two looks, less up to a fifth
	everyLock = 250 * time.Millisecond // where a look costs no more than to try a lock
	most      = 10                     // lost processes at a time
)

// Loop rescues again and again.
type Loop struct {
	Keeper store.Keeper
	Log    *slog.Logger
	Note   func(began time.Time, err error) // told how each look went
	By     store.Identity
	// Certain: the end of a lease proves the end of its process.
	Certain bool
	// Steady reports whether this process's own beats have been regular for a full
	// lease. Where a lease is not certain, one that lapsed before counts for nothing:
	// its owner may have been kept from the store as this process was.
	Steady func() bool
}

// Run rescues until ctx ends.
func (l *Loop) Run(ctx context.Context) {
	interval := every
	if l.Certain {
		interval = everyLock
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		more, err := l.once(ctx)
		if ctx.Err() != nil {
			return
		}
		l.Note(began, err)
		if more && err == nil {
			timer.Reset(0)
		} else {
			timer.Reset(interval - rand.N(interval/5))
		}
	}
}

// once looks, gives back what it finds, and reports whether there may be more.
func (l *Loop) once(ctx context.Context) (more bool, err error) {
	sure := l.sure()
	lost, err := l.Keeper.Orphans(ctx, most)
	if err != nil {
		return false, err
	}
	for _, gone := range lost {
		if gone.ID == l.By || gone.Cause == store.Lapsed && !(sure && l.sure()) {
			continue
		}
		crashpoint.At(crashpoint.DuringRescue)
		s := Salvage(gone, l.By)
		moved, err := l.Keeper.Rescue(ctx, s)
		if err != nil {
			return false, err
		}
		if moved > 0 {
			l.Log.Info("jobs rescued", "from", gone.ID, "jobs", moved, "cause", s.Report.Reason)
		}
		more = more || moved > 0 && (gone.More || len(lost) == most)
	}
	return more, nil
}

// sure is asked before both calls: what was listed in doubt stays in doubt.
func (l *Loop) sure() bool { return l.Certain || l.Steady() }

// Salvage is what by does with a lost process: it writes into each job what happened
// to it, and sends it to the front of its queue. The report is always there.
func Salvage(gone store.Lost, by store.Identity) store.Salvage {
	now := time.Now()
	end := endOf(gone)
	report := &store.StopReport{
		ID: gone.ID, Release: gone.Last.Release, Tag: gone.Last.Tag, Grace: gone.Last.Grace,
		Reason: end.reason, By: by, Cause: gone.Cause, Ended: now,
	}
	s := store.Salvage{ID: gone.ID, Cause: gone.Cause, Seen: gone.Seen, Report: report}
	for _, held := range gone.Jobs {
		rescued := store.Rescued{Token: held.Token, Was: held.Payload, To: store.Ready}
		fate := store.Fate{Queue: held.Queue, Fate: "rescued"}
		// What cannot be read goes back as it is; whoever fetches it sees to it.
		if job, err := wire.Parse(held.Payload); err == nil {
			fate.JID, fate.Kind = job.JID, job.Name()
			h := job.History
			h.Interruptions++
			if end.crash {
				h.Crashes++
			}
			h.Add(wire.Event{At: now, What: "rescued", Cause: end.cause, By: string(by), Note: string(gone.ID)})
			rescued.Payload = job.WithHistory(h)
		}
		s.Jobs = append(s.Jobs, rescued)
		report.Jobs = append(report.Jobs, fate)
	}
	if n := len(gone.Jobs); n > 0 {
		report.Notes = append(report.Notes, fmt.Sprintf("%d jobs given back by %s", n, by))
	}
	return s
}

// end is how a process ended, as far as it can be told from outside.
type end struct {
	cause  string // in the job's history
	reason string // in the stop report
	crash  bool   // counts against the jobs it ran
}

// endOf judges by the last that was heard of the process. One that was asked to
// stop and vanished on the way was killed for being slow, not by its jobs.
func endOf(gone store.Lost) end {
	switch {
	case gone.Cause == store.Left:
		return end{"deploy", "left while jobs still ran", false}
	case gone.Last.State == "quiet" || gone.Last.State == "draining":
		return end{"deploy", "vanished while " + gone.Last.State, false}
	default:
		return end{"crash", "vanished", true}
	}
}
