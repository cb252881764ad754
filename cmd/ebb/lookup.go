package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/nearest"
)

// lookUp shows what a word names that is no command: a job, a process, a stop or a
// queue, in this order. It reports false if it is none, or nobody can tell.
func (a *app) lookUp(ctx context.Context, root *cobra.Command, word string) (found bool, err error) {
	const shortest = 4 // of what can be told from a slip
	if len(word) < shortest || nearest.To(word, commandNames(root)) != "" {
		return false, nil
	}
	if _, err := a.openExisting(ctx); err != nil {
		return false, nil
	}
	for _, noun := range []string{"jobs", "processes", "stops", "queues"} {
		if _, ok := jidsOf([]string{word}); noun == "jobs" && !ok {
			continue
		}
		show, _, err := root.Find([]string{noun, "show"})
		if err != nil {
			return false, err
		}
		show.SetContext(ctx)
		if err := show.RunE(show, []string{word}); exitOf(err) != exitNothing {
			return true, err
		}
	}
	return false, nil
}
