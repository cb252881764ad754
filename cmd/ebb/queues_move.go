package main

import (
	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/bulk"
)

func newQueuesMove(a *app) *cobra.Command {
	return a.queueChange(bulk.Move, &cobra.Command{
		Use: "move FROM TO", Short: "Move the jobs that wait in a queue to another",
		Long: `Move the jobs that wait in a queue to the back of another, in their order. Their
payloads name the new queue from then on, so that they come back to it. What comes
while it goes on stays.`,
		Example: example("ebb queues move images default --dry-run", "ebb queues move images slow --yes", "ebb queues move default slow --limit 1 --yes"),
	}, "FROM", "TO")
}
