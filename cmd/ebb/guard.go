package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/internal/guard"
	"github.com/ebbjobs/ebb/internal/promote"
	"github.com/ebbjobs/ebb/store"
)

func newGuard(a *app) *cobra.Command {
	var once bool
	var gone string
	cmd := &cobra.Command{
		Use: "guard", Short: "Put back what a killed Ruby process was last seen running",
		Long: `Watch over the processes of Ruby's Sidekiq, and when one vanishes without a goodbye
put the jobs back that it was last seen running. Each says in its history that it
may have run before.

A process of Ruby's says every 5 s (Sidekiq 6) or 10 s (7 and 8) what it runs; a
minute after the last time it counts as gone. A job that was younger is not known to
anybody and is lost; one that ended since then runs once more. Processes with a fetch
that keeps jobs, ebb's or that of Sidekiq Pro, need no guard and are left alone.

While it runs, jobs that are due are put into their queues by it, and not by Ruby's
scheduler, which loses the one that it has in its hands when it is killed.

Any number of guards may run, and any may be killed: what they know is in the store.
TERM or INT ends one at once. With --once it looks, waits at most 20 s for those that
may still come back, and ends: once a minute is enough.

With --gone it puts back at once what one process runs: you are the witness that it
has ended. If it has not, its jobs run twice.`,
		Example: example("ebb guard", "ebb guard --once -o jsonl   # as from cron", "ebb guard --gone host-1:7 --yes"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.writable(); err != nil {
				return err
			}
			settings, err := a.settings(config.Input{})
			if err != nil {
				return err
			}
			s, err := a.guardable(cmd.Context())
			if err != nil {
				return err
			}
			g := &guard.Guard{Store: s, Log: a.log(), By: store.NewIdentity(), Poison: int(settings.Poison), Pace: guard.Usual, DryRun: a.flags.dryRun}
			switch {
			case gone != "":
				return a.guardGone(cmd.Context(), g, gone)
			case once || a.flags.dryRun:
				return a.guardOnce(cmd.Context(), g)
			}
			ctx, forget := outlive(cmd.Context())
			defer forget()
			out := newLines(a.term.Err)
			defer out.close()
			g.Log, _ = a.workLog(settings, out)
			g.Log.Info("guard looks after Ruby's processes", "store", s.Describe().URL)
			var beside sync.WaitGroup
			beside.Go(func() { promoterOf(s, g).Run(ctx) })
			g.Run(ctx)
			beside.Wait()
			return nil
		},
	}
	a.listFlags(cmd)
	a.changeFlags(cmd)
	cmd.Flags().BoolVar(&once, "once", false, "look, put back what there is to put back, and end")
	cmd.Flags().StringVar(&gone, "gone", "", "the process whose end you have seen: its `ID`, or host:pid")
	return cmd
}

// promoterOf moves jobs that are due to their queues, as every process of ebb's does: in
// one step, where Ruby's own scheduler has two and can be killed in between. The dead set
// is Ruby's to trim.
func promoterOf(s store.Keeper, g *guard.Guard) *promote.Loop {
	failed := false
	return &promote.Loop{
		Keeper: s,
		What:   store.Promotion{By: g.By, DeadMax: math.MaxInt32, DeadAge: math.MaxInt64},
		Note: func(_ time.Time, err error) {
			if err != nil && !failed {
				g.Log.Error("due jobs are left to Ruby; trying on", "cause", err)
			}
			failed = err != nil
		},
	}
}

// rubyStore is a store that has Ruby's processes in it.
type rubyStore interface {
	store.Store
	store.RubyWatcher
}

// guardable opens the store, if Ruby may be there.
func (a *app) guardable(ctx context.Context) (rubyStore, error) {
	s, err := a.openExisting(ctx)
	if err != nil {
		return nil, err
	}
	if r, ok := s.(rubyStore); ok && s.Describe().RubyShares {
		return r, nil
	}
	return nil, code(exitUsage, store.WithHint(fmt.Errorf("there are no processes of Ruby's in %s to guard", s.Describe().URL),
		"name the Redis that Sidekiq uses, by --store or EBB_STORE; ebb's own processes need no guard"))
}

// guardOnce is one look, and what it comes to.
func (a *app) guardOnce(ctx context.Context, g *guard.Guard) error {
	seen, err := g.Settle(ctx)
	if err == nil && seen.Processes == 0 {
		return nothingToGuard(errors.New("there is no process of Ruby's to guard"))
	}
	return errors.Join(err, a.printGuarded(seen.Jobs))
}

func nothingToGuard(err error) error {
	return code(exitNothing, store.WithHint(err, "ebb processes ls shows who there is"))
}

// guardGone puts back what a process runs whose end a person has seen.
func (a *app) guardGone(ctx context.Context, g *guard.Guard, gone string) error {
	g.Pace.Known = true
	ids, err := rubyIDs(ctx, g)
	if err != nil {
		return err
	}
	var names []string
	for _, id := range ids {
		names = append(names, string(id))
	}
	id, err := matchID("process of Ruby's", names, gone, "ebb processes ls lists those that live")
	if err != nil {
		return err
	}
	ok, err := a.confirm(ctx, fmt.Sprintf("put back what %s was last seen running\nIf it still runs, its jobs run twice: are you sure that it does not?", id))
	if !ok {
		return err
	}
	var jobs []guard.Job
	err = a.noting(ctx, g.Store, store.Change{Verb: "guard", What: "process " + id}, func() (int64, error) {
		jobs, err = lookAtDead(ctx, g, store.Identity(id))
		return int64(len(jobs)), err
	})
	if err == nil && len(jobs) == 0 {
		return nothingToGuard(fmt.Errorf("nobody knows of a job that %s ran", id))
	}
	return errors.Join(err, a.printGuarded(jobs))
}

// rubyIDs are the processes of Ruby's that live, and those that are remembered.
func rubyIDs(ctx context.Context, g *guard.Guard) (ids []store.Identity, err error) {
	found, err := g.Store.WatchRuby(ctx, g.Pace.RubyWatch)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		if p.State != store.RubyLeft {
			ids = append(ids, p.Lost.ID)
		}
	}
	processes, err := g.Store.Processes(ctx)
	for _, p := range processes {
		if p.Lang == "ruby" && !slices.Contains(ids, p.ID) {
			ids = append(ids, p.ID)
		}
	}
	return ids, err
}

// lookAtDead puts back what a process ran that has ended, and returns that.
func lookAtDead(ctx context.Context, g *guard.Guard, id store.Identity) ([]guard.Job, error) {
	seen, err := g.Look(ctx, id)
	return slices.DeleteFunc(seen.Jobs, func(j guard.Job) bool { return j.From != id }), err
}

func guardedRows(jobs []guard.Job) []rescuedRow {
	rows := make([]rescuedRow, len(jobs))
	for i, j := range jobs {
		rows[i] = rescuedRow{j.Fate.JID, cmp.Or(j.Fate.Kind, "(cannot be read)"), j.Fate.Queue, string(j.From), string(j.Cause), j.Fate.Fate}
	}
	return rows
}

func (a *app) printGuarded(jobs []guard.Job) error {
	return (*rescuing)(nil).list().printAll(a, guardedRows(jobs))
}
