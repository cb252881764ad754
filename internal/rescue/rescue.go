// Package rescue gives back what processes held that are gone. Every living
// process does it, on a timer; two that find the same loss do no harm.
package rescue

import (
	"context"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
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
	// Look brings in how long to look beside the regular looks: a lease may have ended
	// then. What was said last counts. nil: nobody says so.
	Look <-chan time.Duration
	// Stops walks the stop reports, the newest first, for Judge.Read.
	Stops  func(context.Context) iter.Seq2[store.StopReport, error]
	Poison int // as in Judge
}

// Run rescues until ctx ends.
func (l *Loop) Run(ctx context.Context) {
	interval := every
	if l.Certain {
		interval = everyLock
	}
	timer, asked := time.NewTimer(0), time.NewTimer(time.Hour)
	defer timer.Stop()
	defer asked.Stop()
	for {
		select {
		case <-timer.C:
		case <-asked.C:
		case d := <-l.Look:
			asked.Reset(d)
			continue
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
	full := len(lost) == most
	doubtful := func(gone store.Lost) bool { return gone.ID == l.By || byLease(gone.Cause) && !(sure && l.sure()) }
	lost = slices.DeleteFunc(lost, doubtful)
	judge := Judge{By: l.By, Poison: l.Poison}
	if err := judge.Read(ctx, l.Stops, lost); err != nil {
		l.Log.Warn("jobs are rescued without a look at earlier crashes", "cause", err)
	}
	for _, gone := range lost {
		if doubtful(gone) { // by now
			continue
		}
		crashpoint.At(crashpoint.DuringRescue)
		s := judge.Salvage(gone)
		moved, err := l.Keeper.Rescue(ctx, s)
		if err != nil {
			return false, err
		}
		if moved > 0 {
			l.tell(s.Report, moved)
		}
		more = more || moved > 0 && (gone.More || full)
	}
	return more, nil
}

// tell logs what was done with a lost process.
func (l *Loop) tell(r *store.StopReport, moved int) {
	l.Log.Info("jobs rescued", "from", r.ID, "jobs", moved, "cause", r.Reason)
	for _, f := range r.Jobs {
		attrs := []any{"jid", f.JID, "kind", f.Kind, "queue", f.Queue, "from", r.ID, "cause", f.Note}
		switch f.Fate {
		case "delayed":
			l.Log.Warn("job delayed: its process crashed again", attrs...)
		case "buried":
			l.Log.Error("job buried: it is poison", attrs...)
		}
	}
}

// sure is asked before both calls: what was listed in doubt stays in doubt.
func (l *Loop) sure() bool { return l.Certain || l.Steady() }
