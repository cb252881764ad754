package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/nearest"
	"github.com/ebbjobs/ebb/store"
)

func newQueuesPause(a *app) *cobra.Command {
	return a.pauseCommand(true, &cobra.Command{
		Use: "pause QUEUE…", Short: "Let no process take jobs from queues",
		Long: `Let no process take jobs from queues until they are resumed. What runs goes on, and new
jobs still come in. A queue that is paused already stays so, and one that does not
exist yet is paused from its first job on.

Ruby's Sidekiq does not know pauses: its processes go on taking jobs.`,
		Example: example("ebb queues pause mailers", "ebb queues pause images reports", "ebb queues pause default --dry-run"),
	})
}

func newQueuesResume(a *app) *cobra.Command {
	return a.pauseCommand(false, &cobra.Command{
		Use: "resume QUEUE…", Short: "Let processes take jobs from queues again",
		Long:    "Let processes take jobs from queues again. One that is not paused stays as it is.",
		Example: example("ebb queues resume mailers", "ebb queues resume images reports", "ebb queues resume default --dry-run"),
	})
}

func (a *app) pauseCommand(pause bool, cmd *cobra.Command) *cobra.Command {
	cmd.Args = atLeast("QUEUE")
	cmd.ValidArgsFunction = a.completeQueues(0)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.writable(); err != nil {
			return err
		}
		s, err := a.openExisting(cmd.Context())
		if err != nil {
			return err
		}
		queues, err := s.Queues(cmd.Context())
		if err != nil {
			return err
		}
		slices.Sort(args)
		for _, name := range slices.Compact(args) {
			if err := a.pause(cmd.Context(), s, queues, name, pause); err != nil {
				return err
			}
		}
		return nil
	}
	a.changeFlags(cmd)
	return cmd
}

// pause brings one queue to where it should be, and says what it was.
func (a *app) pause(ctx context.Context, s store.Store, queues []store.Queue, name string, pause bool) error {
	verb, now := "resume", "is not paused"
	if pause {
		verb, now = "pause", "is paused"
	}
	i := slices.IndexFunc(queues, func(q store.Queue) bool { return q.Name == name })
	switch {
	case i >= 0 && queues[i].Paused == pause:
		a.say("%s %s already", name, now)
		return nil
	case i < 0:
		maybe := ""
		if near := nearest.To(name, queueNames(queues)); near != "" {
			maybe = ": did you mean " + near + "?"
		}
		a.say("there is no queue %q yet%s", name, maybe)
		if !pause {
			return nil
		}
	}
	if a.flags.dryRun {
		a.say("would %s %s (nothing is changed: --dry-run)", verb, name)
		return nil
	}
	err := a.noting(ctx, s, store.Change{Verb: verb, What: "queue " + name}, func() (int64, error) {
		return 0, s.Pause(ctx, name, pause)
	})
	if err == nil {
		a.say("%s %s", name, now)
	}
	return err
}
