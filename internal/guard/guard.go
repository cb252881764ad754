// Package guard watches over processes of Ruby's Sidekiq that keep their jobs in memory
// alone, and puts back what one that vanished was last seen running.
//
// All it knows is what such a process says of itself: every 5 s (Sidekiq 6) or 10 s (7 and
// 8) a record that lasts a minute, and with it the jobs that run. What it remembers is in
// the store, so that a guard may die at any moment and any number of them may run.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/store"
)

// Store is what a guard needs of one.
type Store interface {
	store.Inspector
	store.RubyWatcher
}

// Pace is how often a guard looks, and how sure it must be.
type Pace struct {
	Every time.Duration
	store.RubyWatch
}

// Usual is the pace of a guard where nobody has said. A process that lives beats each 10 s
// at the latest, so that after an outage of the store two of its beats are waited for. A
// look each minute, as from cron, is enough to leave no doubt.
var Usual = Pace{time.Second, store.RubyWatch{Gap: 5 * time.Second, Silence: 20 * time.Second, Stale: 90 * time.Second, Keep: 24 * time.Hour}}

// Guard looks after Ruby's processes. It is used by one goroutine at a time.
type Guard struct {
	Store  Store
	Log    *slog.Logger
	By     store.Identity
	Poison int // as in rescue.Judge
	Pace   Pace
	DryRun bool // say what would be put back, and leave it
	// Died is what witnesses say that a process died of.
	Died map[store.Identity]rescue.Death
}

// Job is a job that a process which is gone was last seen running.
type Job struct {
	Fate  store.Fate
	From  store.Identity
	Cause store.Cause
}

// What became of a job, beside the fates of a rescue.
const (
	HandedBack = "handed back" // by the process itself, before it ended
	Doubtful   = "in doubt"    // it may have ended: see store.RubyDoubtful
)

// Sight is what came of a look.
type Sight struct {
	Processes int   // that are looked after, dead or alive
	Jobs      []Job // of those that are gone
}

// Run looks again and again until ctx ends. What goes wrong with the store is told once,
// until it has answered again.
func (g *Guard) Run(ctx context.Context) {
	tick := time.NewTicker(g.Pace.Every)
	defer tick.Stop()
	var failed error
	for {
		_, err := g.Look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && failed == nil:
			g.Log.Error("processes cannot be looked after; trying on", "cause", err)
		case err == nil && failed != nil:
			g.Log.Info("processes are looked after again")
		}
		failed = err
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Settle waits until it can tell of each process whether it is gone, and then looks. It
// is for a guard that does nothing else.
func (g *Guard) Settle(ctx context.Context) (Sight, error) {
	for {
		found, err := g.Store.WatchRuby(ctx, g.Pace.RubyWatch)
		if err != nil && len(found) == 0 {
			return Sight{}, err
		}
		if !slices.ContainsFunc(found, func(p store.RubyProcess) bool { return p.State == store.RubySilent }) {
			return g.Look(ctx)
		}
		select {
		case <-time.After(g.Pace.Every):
		case <-ctx.Done():
			return Sight{}, ctx.Err()
		}
	}
}

// Look looks once at every process, and puts back what those ran that are gone, the dead
// among them, whose end somebody has seen. What cannot be seen or done for one of them
// keeps no other waiting.
func (g *Guard) Look(ctx context.Context, dead ...store.Identity) (seen Sight, err error) {
	watch := g.Pace.RubyWatch
	watch.Dead = dead
	found, err := g.Store.WatchRuby(ctx, watch)
	errs := []error{err}
	queues := &queues{Inspector: g.Store, waiting: map[string]map[string]bool{}}
	var gone []store.RubyProcess
	for _, p := range found {
		if p.State != store.RubyLeft {
			seen.Processes++
		}
		switch p.State {
		case store.RubyAlive:
			g.tellAlive(p)
			errs = append(errs, g.settle(ctx, p, queues))
		case store.RubyLeft:
			g.Log.Info("process left", "process", p.Lost.ID)
		case store.RubyDoubtful:
			seen.Jobs = append(seen.Jobs, g.doubt(p)...)
		case store.RubyLost:
			gone = append(gone, p)
		}
	}
	if len(gone) > 0 {
		back, err := g.putBack(ctx, gone, queues)
		seen.Jobs, errs = append(seen.Jobs, back...), append(errs, err)
	}
	return seen, errors.Join(errs...)
}

func (g *Guard) tellAlive(p store.RubyProcess) {
	switch {
	case p.New:
		g.Log.Info("process guarded", "process", p.Lost.ID, "jobs", p.Busy)
	case p.Back:
		g.Log.Warn("process is back that was taken for gone: what was put back may run twice", "process", p.Lost.ID, "jobs", p.Busy)
	}
}

// settle takes note of jobs that a process which is stopping has given back itself. It
// does so before it says goodbye, and may be killed in between.
func (g *Guard) settle(ctx context.Context, p store.RubyProcess, queues *queues) error {
	if g.DryRun {
		return nil
	}
	var settled []store.Token
	for _, j := range p.Lost.Jobs {
		switch waits, err := queues.have(ctx, j.Queue, jidOf(j.Payload)); {
		case err != nil:
			return err
		case waits:
			settled = append(settled, j.Token)
		}
	}
	if len(settled) == 0 {
		return nil
	}
	_, _, err := g.Store.PutBack(ctx, store.Salvage{ID: p.Lost.ID}, settled...)
	return err
}

// doubt says, once, what is not put back.
func (g *Guard) doubt(p store.RubyProcess) []Job {
	var jobs []Job
	for _, held := range p.Lost.Jobs {
		fate := fateOf(held)
		fate.Fate, fate.Note = Doubtful, "nobody looked when its process ended"
		jobs = append(jobs, Job{fate, p.Lost.ID, store.Lapsed})
	}
	if p.Told || len(jobs) == 0 {
		return jobs
	}
	for _, j := range jobs {
		g.Log.Warn("job not put back: nobody looked when its process ended, so it may be done", "jid", j.Fate.JID, "kind", j.Fate.Kind, "queue", j.Fate.Queue, "process", j.From)
	}
	g.Log.Warn("if these are to run again", "command", fmt.Sprintf("ebb guard --gone %s", p.Lost.ID))
	return jobs
}
