package main

import (
	"context"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
)

// changeRow is a change by hand as it is printed.
type changeRow struct {
	ID        string    `json:"id"`
	BeganAt   time.Time `json:"began_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"` // absent: it runs, or did not come to its end
	By        string    `json:"by"`
	Verb      string    `json:"verb"`
	What      string    `json:"what"`
	Why       string    `json:"why,omitempty"`
	Wanted    int64     `json:"wanted"`
	Done      int64     `json:"done"`
	Missed    int64     `json:"missed"`
	UndoUntil time.Time `json:"undo_until,omitzero"` // absent: it cannot be undone
	UndoneAt  time.Time `json:"undone_at,omitzero"`
	Status    string    `json:"status"` // done, unfinished, undone, or undoable
}

func newChangeRow(c store.Change, now time.Time) changeRow {
	row := changeRow{
		ID: c.ID, BeganAt: c.Began.UTC(), EndedAt: c.Ended.UTC(), By: c.By, Verb: c.Verb, What: c.What, Why: c.Why,
		Wanted: c.Wanted, Done: c.Done, Missed: c.Missed, UndoUntil: c.Until.UTC(), UndoneAt: c.Undone.UTC(), Status: "done",
	}
	switch {
	case !c.Undone.IsZero():
		row.Status = "undone"
	case c.Ended.IsZero():
		row.Status = "unfinished"
	case bulk.Undoable(&c, now) == nil:
		row.Status = "undoable"
	}
	return row
}

func newAudit(a *app) *cobra.Command {
	var limit int
	var every time.Duration
	cmd := &cobra.Command{
		Use: "audit", Short: "List what people changed",
		Long: `List the changes that people made to jobs, queues and processes, by the command or in
the UI, the latest first. A change is remembered for 30 days, and the last 1,000 of them.
One that is unfinished still runs, or was stopped: --resume ID goes on with it.`,
		Example: example("ebb audit", "ebb audit --limit 5", "ebb audit -o json"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.watch(cmd.Context(), every, func(ctx context.Context, s store.Store) error {
				_, err := a.changeList().print(a, limited(a.changes(ctx, s), limit))
				return err
			})
		},
	}
	a.listFlags(cmd)
	limitFlag(cmd, &limit)
	watchFlag(cmd, &every)
	return cmd
}

// changes are the changes by hand, the latest first.
func (a *app) changes(ctx context.Context, s store.Inspector) iter.Seq2[changeRow, error] {
	return func(yield func(changeRow, error) bool) {
		for c, err := range s.Changes(ctx) {
			if !yield(newChangeRow(c, a.now()), err) || err != nil {
				return
			}
		}
	}
}

func (a *app) changeList() *list[changeRow] {
	return &list[changeRow]{
		columns: []column[changeRow]{
			{"id", func(r changeRow) any { return r.ID }, asIs},
			{"began", func(r changeRow) any { return r.BeganAt }, asIs},
			{"by", func(r changeRow) any { return r.By }, flex},
			{"verb", func(r changeRow) any { return r.Verb }, asIs},
			{"what", func(r changeRow) any { return r.What }, flex},
			{"done", func(r changeRow) any { return r.Done }, right},
			{"missed", func(r changeRow) any { return r.Missed }, right},
			{"status", func(r changeRow) any { return a.changeStatus(r.Status) }, asIs},
			{"why", func(r changeRow) any { return r.Why }, wide | flex},
			{"wanted", func(r changeRow) any { return r.Wanted }, wide | right},
		},
		name: func(r changeRow) string { return r.ID },
		none: "nobody has changed anything yet",
	}
}

func (a *app) changeStatus(status string) any {
	switch status {
	case "unfinished":
		return styled{status, console.Warn}
	case "undoable":
		return styled{status, console.Good}
	}
	return status
}
