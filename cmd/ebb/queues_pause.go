package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/nearest"
	"github.com/ebbjobs/ebb/store"
)

func newQueuesPause(a *app) *cobra.Command {
	return a.pauseCommand(true, &cobra.Command{
		Use: "pause QUEUE…", Short: "Let nobody take jobs from queues",
		Long: `Let nobody take jobs from queues until they are resumed. What runs goes on, and new
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
		var names []string
		for _, q := range queues {
			names = append(names, q.Name)
		}
		maybe := ""
		if near := nearest.To(name, names); near != "" {
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

// atLeast wants one argument or more.
func atLeast(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return exactly(name)(cmd, args)
		}
		return nil
	}
}

// completeWithin is how long completion may take. A shell that waits for it is
// worse than one that completes nothing.
const completeWithin = 150 * time.Millisecond

// complete offers what find finds in the store, and nothing where the store cannot
// be reached. At most so many arguments are completed; 0 is no limit.
func (a *app) complete(most int, find func(context.Context, store.Store) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const only = cobra.ShellCompDirectiveNoFileComp
		if most > 0 && len(args) >= most {
			return nil, only
		}
		ctx, end := context.WithTimeout(cmd.Context(), completeWithin)
		defer end()
		s, err := a.openExisting(ctx)
		if err != nil {
			return nil, only
		}
		found, err := find(ctx, s)
		if err != nil {
			return nil, only
		}
		return slices.DeleteFunc(found, func(word string) bool { return slices.Contains(args, word) }), only
	}
}

// completeQueues offers the names of queues.
func (a *app) completeQueues(most int) cobra.CompletionFunc {
	return a.complete(most, func(ctx context.Context, s store.Store) (names []string, err error) {
		queues, err := s.Queues(ctx)
		for _, q := range queues {
			names = append(names, q.Name)
		}
		return names, err
	})
}
