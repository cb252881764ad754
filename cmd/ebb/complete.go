package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// completeWithin is how long completion may take. A shell that waits for it is
// worse than one that completes nothing. Only tests change it, before anything runs.
var completeWithin = 150 * time.Millisecond

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
	return a.complete(most, func(ctx context.Context, s store.Store) ([]string, error) {
		queues, err := s.Queues(ctx)
		return queueNames(queues), err
	})
}

// completeProcesses offers host:pid of processes.
func (a *app) completeProcesses(most int) cobra.CompletionFunc {
	return a.complete(most, wordsOf(func(p store.Process) string { return fleet.Short(p.ID) }))
}

// completeOf offers what processes have of something, as the value of a flag.
func (a *app) completeOf(word func(store.Process) string) cobra.CompletionFunc {
	return a.complete(0, wordsOf(word))
}

func wordsOf(word func(store.Process) string) func(context.Context, store.Store) ([]string, error) {
	return func(ctx context.Context, s store.Store) (words []string, err error) {
		processes, err := s.Processes(ctx)
		for _, p := range processes {
			words = append(words, word(p))
		}
		slices.Sort(words)
		return slices.DeleteFunc(slices.Compact(words), func(word string) bool { return word == "" }), err
	}
}

// completeJobs offers what some jobs have of something: those that a person looks for
// stand in front.
func (a *app) completeJobs(most int, word func(store.Entry) string) cobra.CompletionFunc {
	return a.complete(most, func(ctx context.Context, s store.Store) (words []string, err error) {
		const few = 100 // of each place
		for _, place := range []store.Place{store.Retrying, store.Dead, store.Scheduled} {
			for e, err := range s.Jobs(ctx, store.Query{Place: place, Limit: few}) {
				if err != nil {
					return nil, err
				}
				words = append(words, word(e))
			}
		}
		queues, err := s.Queues(ctx)
		for _, q := range queues {
			for e, err := range s.Jobs(ctx, store.Query{Place: store.Ready, Queue: q.Name, Limit: few}) {
				if err != nil {
					return nil, err
				}
				words = append(words, word(e))
			}
		}
		words = slices.DeleteFunc(words, func(word string) bool { return word == "" || prose.Plain(word) != word })
		slices.Sort(words)
		return slices.Compact(words), err
	})
}

func jidOf(e store.Entry) string {
	job, _ := wire.Parse(e.Payload) // of one that cannot be read, what can be
	return job.JID
}

func kindOf(e store.Entry) string {
	job, _ := wire.Parse(e.Payload)
	return job.Kind
}
