package main

import (
	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/query"
)

func newQueuesClear(a *app) *cobra.Command {
	return a.queueChange(bulk.Clear, &cobra.Command{
		Use: "clear QUEUE", Short: "Delete the jobs that wait in a queue",
		Long: `Delete the jobs that wait in a queue. Those that run, and those that wait for a time or
for another try, stay. What comes while it goes on stays too: pause the queue's
producers, or clear it again.`,
		Example: example("ebb queues clear images --dry-run", "ebb queues clear images --yes", "ebb queues clear default --limit 1 --yes"),
	}, "QUEUE")
}

// queueChange is a command that changes all the jobs of a queue.
func (a *app) queueChange(verb bulk.Verb, cmd *cobra.Command, names ...string) *cobra.Command {
	var f bulkFlags
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if f.resume != "" {
			return noArgs(cmd, args)
		}
		return exactly(names...)(cmd, args)
	}
	cmd.ValidArgsFunction = a.completeQueues(len(names))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.writable(); err != nil {
			return err
		}
		if f.resume != "" {
			return a.resumeBulk(cmd.Context(), verb, &f)
		}
		s, err := a.openExisting(cmd.Context())
		if err != nil {
			return err
		}
		o := bulk.Order{Verb: verb, Query: query.InQueue(args[0]), Limit: f.limit, By: a.who()}
		if verb == bulk.Move {
			if o.Queue = args[1]; o.Queue == args[0] {
				return usage("a queue cannot be moved to itself")
			}
		}
		f.words = args
		return a.changeJobs(cmd.Context(), s, o, &f, 0)
	}
	f.flags(a, cmd)
	return cmd
}

func newQueuesMove(a *app) *cobra.Command {
	return a.queueChange(bulk.Move, &cobra.Command{
		Use: "move FROM TO", Short: "Move the jobs that wait in a queue to another",
		Long: `Move the jobs that wait in a queue to the back of another, in their order. Their
payloads name the new queue from then on, so that they come back to it. What comes
while it goes on stays.`,
		Example: example("ebb queues move images default --dry-run", "ebb queues move images slow --yes", "ebb queues move default slow --limit 1 --yes"),
	}, "FROM", "TO")
}
