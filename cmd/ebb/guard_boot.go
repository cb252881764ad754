package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ebbjobs/ebb/internal/guard"
	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/store"
)

// childEnded puts back what the child of an init was last seen running, if it was Ruby's
// and EBB_GUARD asks for that. held is how it went with jobs in ebb's keeping. Ruby names
// its processes by host and number, which init tells in EBB_CHILD.
func (r *rescuing) childEnded(ctx context.Context, died *rescue.Death, held error) error {
	s, ok := r.s.(rubyStore)
	child := r.getenv("EBB_CHILD")
	if !ok || child == "" || r.getenv("EBB_GUARD") != "1" || !s.Describe().RubyShares {
		return held
	}
	g := &guard.Guard{Store: s, Log: r.log(), By: r.judge.By, Poison: r.judge.Poison, Pace: guard.Usual, DryRun: r.flags.dryRun}
	g.Pace.Known = true
	ids, err := rubyIDs(ctx, g)
	if err != nil {
		return errors.Join(held, err)
	}
	host, _ := os.Hostname()
	name := cmp.Or(r.getenv("DYNO"), host) + ":" + child // as Sidekiq calls itself
	ids = slices.DeleteFunc(ids, func(id store.Identity) bool { return !strings.HasPrefix(string(id), name+":") })
	switch len(ids) {
	case 0:
		return held
	case 1:
	default: // in containers that share a name
		r.say("%d processes are called %s, and nobody knows which one has ended: ebb guard will see", len(ids), name)
		return held
	}
	if died != nil {
		g.Died = map[store.Identity]rescue.Death{ids[0]: *died}
	}
	if ok, err := r.confirm(ctx, fmt.Sprintf("put back what %s was last seen running", ids[0])); !ok {
		return errors.Join(held, err)
	}
	err = r.noting(ctx, r.s, store.Change{Verb: "guard", What: "process " + string(ids[0])}, func() (int64, error) {
		jobs, err := lookAtDead(ctx, g, ids[0])
		r.rows = append(r.rows, guardedRows(jobs)...)
		return int64(len(jobs)), err
	})
	if exitOf(held) == exitNothing {
		held = nil
	}
	return errors.Join(held, err)
}
