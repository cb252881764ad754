package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
)

func newQueuesLs(a *app) *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List queues",
		Long: `List queues with what waits in them and what runs.

Oldest is when the next job of a queue was put there. Processes counts those that
take jobs from it now: not the quiet, the frozen and the lost.`,
		Example: example("ebb queues ls", "ebb queues ls -o json", "ebb queues ls --fields name,waiting"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.watch(cmd.Context(), every, func(ctx context.Context, s store.Store) error {
				queues, err := s.Queues(ctx)
				if err != nil {
					return err
				}
				processes, err := s.Processes(ctx)
				if err != nil {
					return err
				}
				var rows []queueRow
				for _, q := range queues {
					rows = append(rows, a.queueRow(q, processes))
				}
				return a.queueList().printAll(a, rows)
			})
		},
	}
	a.listFlags(cmd)
	watchFlag(cmd, &every)
	return cmd
}

func (a *app) queueList() *list[queueRow] {
	return &list[queueRow]{
		columns: []column[queueRow]{
			{"name", func(q queueRow) any { return q.Name }, flex},
			{"waiting", func(q queueRow) any { return q.Waiting }, right},
			{"held", func(q queueRow) any { return q.Held }, right},
			{"oldest", func(q queueRow) any { return q.OldestAt }, asIs},
			{"paused", func(q queueRow) any { return a.mark(q.Paused, "paused", console.Warn) }, asIs},
			{"processes", func(q queueRow) any {
				if q.Processes == 0 && a.term.OutWatched {
					return styled{"nobody", console.Warn}
				}
				return q.Processes
			}, right},
		},
		name: func(q queueRow) string { return q.Name },
		none: "no queues yet: the first job makes one",
	}
}
