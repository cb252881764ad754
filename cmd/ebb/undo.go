package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// undoResult is what an undo came to.
type undoResult struct {
	ID       string `json:"id"`
	Verb     string `json:"verb"`              // of what is undone
	Back     int64  `json:"back"`              // jobs that are where they were
	Passed   int64  `json:"moved_on"`          // jobs that have moved on since, or run
	Finished bool   `json:"finished"`          // false: it was stopped half way
	DryRun   bool   `json:"dry_run,omitempty"` // nothing was changed
}

func newUndo(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "undo [ID]", Short: "Take back the last change to jobs",
		Long: `Take back a retry, reschedule, bury, delete, move or clear within ten minutes of it:
each job is again where it was, to the byte, in a queue at its front. Without ID it is
the last change that can be undone. A job that has moved on since, or runs, is left as
it is, and counted.`,
		Example: example("ebb undo", "ebb undo a7f3c2 --yes", "ebb undo --dry-run"),
		Args:    optional("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.writable(); err != nil {
				return err
			}
			s, err := a.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			id := ""
			if len(args) > 0 {
				id = args[0]
			}
			return a.undo(cmd.Context(), s, id)
		},
		ValidArgsFunction: a.complete(1, func(ctx context.Context, s store.Store) (ids []string, err error) {
			for c, err := range s.Changes(ctx) {
				if err != nil {
					return nil, err
				}
				if bulk.Undoable(&c, a.now()) == nil {
					ids = append(ids, c.ID+"\t"+c.Verb+" "+c.What)
				}
			}
			return ids, nil
		}),
	}
	a.changeFlags(cmd)
	a.showFlags(cmd)
	return cmd
}

func (a *app) undo(ctx context.Context, s store.Store, id string) error {
	find := bulk.LastUndoable
	if id != "" {
		find = func(ctx context.Context, s store.Inspector) (store.Change, error) { return bulk.Lookup(ctx, s, id) }
	}
	c, err := find(ctx, s)
	if err == nil {
		err = bulk.Undoable(&c, a.now())
	}
	if err != nil {
		return noChange(err)
	}
	what := fmt.Sprintf("%s %s %s, of %s, %s by %s.", console.Code(c.ID), c.Verb, prose.Plain(c.What), prose.Plural(c.Done, "job"), a.cell(c.Began), prose.Plain(c.By))
	ok, err := a.confirm(ctx, what+"\nTake it back?")
	if err != nil {
		return err
	}
	if !ok {
		if a.flags.dryRun && a.flags.output == formJSON {
			return a.show(undoResult{ID: c.ID, Verb: c.Verb, DryRun: true}, nil)
		}
		return nil
	}
	progress := a.term.Progress("undo", c.Done)
	sum, err := bulk.Undo(ctx, s, c, func(n, _ int64) { progress.Set(n, "") })
	progress.End()
	if a.flags.output == formJSON {
		if shown := a.show(undoResult{c.ID, c.Verb, sum.Back, sum.Passed, err == nil, false}, nil); shown != nil {
			return errors.Join(err, shown)
		}
	}
	line := prose.Plural(sum.Back, "job") + " back"
	if sum.Passed > 0 {
		line += fmt.Sprintf(", %s moved on and left as they are", prose.Count(sum.Passed))
	}
	switch {
	case err == nil:
		a.say("%s %s", console.Good("undone:"), line)
		return nil
	case errors.Is(err, errInterrupted):
		a.say("%s %s\ngo on: %s", console.Warn("stopped:"), line, console.Code("ebb undo "+c.ID))
		return quietly(exitInterrupted)
	}
	a.say("%s %s", console.Warn("stopped:"), line)
	return store.WithHint(err, "%s", hintOr(err, "ebb undo "+c.ID+" goes on with it, until "+c.Until.Format(time.TimeOnly)))
}
