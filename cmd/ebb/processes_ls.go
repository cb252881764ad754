package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

func newProcessesLs(a *app) *cobra.Command {
	var every time.Duration
	var chosen processFlags
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List processes",
		Long: `List the processes that run jobs, in Go and in Ruby.

A frozen process is alive but its beats are overdue: stopped, or starved. The lease
of a lapsed one has ended, and nobody has given back yet what it held.`,
		Example: example("ebb processes ls", "ebb processes ls -o json", "ebb processes ls --release v142"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.watch(cmd.Context(), every, func(ctx context.Context, s store.Store) error {
				processes, err := s.Processes(ctx)
				if err != nil {
					return err
				}
				var rows []processRow
				for _, p := range chosen.filter(processes) {
					rows = append(rows, newProcessRow(p))
				}
				return a.processList(rows).printAll(a, rows)
			})
		},
	}
	a.listFlags(cmd)
	chosen.flags(a, cmd)
	watchFlag(cmd, &every)
	return cmd
}

// processList names each process by host:pid, and by more where two in rows share
// that, as a container's successor does.
func (a *app) processList(rows []processRow) *list[processRow] {
	short := map[string]int{}
	for _, p := range rows {
		short[fleet.Short(store.Identity(p.ID))]++
	}
	name := func(p processRow) any {
		if s := fleet.Short(store.Identity(p.ID)); short[s] == 1 {
			return s
		}
		return p.ID
	}
	return &list[processRow]{
		columns: []column[processRow]{
			{"process", name, flex},
			{"id", func(p processRow) any { return p.ID }, wide},
			{"state", func(p processRow) any { return a.state(p.State) }, asIs},
			{"lang", func(p processRow) any { return p.Lang }, a.roomy(asIs, 110)},
			{"release", func(p processRow) any { return p.Release }, asIs},
			{"busy", func(p processRow) any { return a.busy(p) }, asIs},
			{"held", func(p processRow) any { return p.Held }, right | wide},
			{"queues", func(p processRow) any { return p.Queues }, flex},
			{"rss", func(p processRow) any {
				if p.RSS == 0 {
					return nil
				}
				return size(p.RSS)
			}, right | a.roomy(asIs, 90)},
			{"up", func(p processRow) any { return a.since(p.StartedAt) }, right | a.roomy(asIs, 90)},
			{"beat", func(p processRow) any { return p.BeatAt }, a.roomy(asIs, 72)},
			{"tag", func(p processRow) any { return p.Tag }, wide},
			{"version", func(p processRow) any { return p.Version }, wide},
		},
		name: func(p processRow) string { return p.ID },
		none: "no processes",
	}
}

// busy draws how many of a process's slots run a job.
func (a *app) busy(p processRow) any {
	count := fmt.Sprintf("%d/%d", p.Busy, p.Concurrency)
	return styled{count, func(s string) string {
		if !a.term.OutWatched || p.Concurrency == 0 || a.term.Width() < 72 {
			return s
		}
		return a.term.Bar(int64(p.Busy), int64(p.Concurrency), 6) + " " + s
	}}
}
