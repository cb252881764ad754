package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
)

// bookRow is the books of a queue as they are printed.
type bookRow struct {
	store.Books
	// What is missing, negative if there is too much. Arrivals cannot be counted
	// where others push or pop.
	CustodyMissing  int64  `json:"custody_missing"`
	ArrivalsMissing *int64 `json:"arrivals_missing,omitempty"`
}

// newBookRow compares the books of a queue. Those of a queue from which Ruby takes
// jobs are shared, which a store sees only where Ruby pushes.
func newBookRow(b store.Books, processes []store.Process) bookRow {
	b.Shared = b.Shared || slices.ContainsFunc(processes, func(p store.Process) bool {
		return p.Lang == "ruby" && slices.Contains(queuesOf(p), b.Queue)
	})
	row := bookRow{Books: b, CustodyMissing: b.Custody()}
	if !b.Shared {
		row.ArrivalsMissing = new(b.Arrivals())
	}
	return row
}

func (b bookRow) balances() bool {
	return b.CustodyMissing == 0 && (b.ArrivalsMissing == nil || *b.ArrivalsMissing == 0)
}

// verdict says in words whether the books balance.
func (b bookRow) verdict() styled {
	switch {
	case b.CustodyMissing != 0:
		return styled{fmt.Sprintf("custody does not balance: %s", missing(b.CustodyMissing)), console.Bad}
	case b.ArrivalsMissing == nil:
		return styled{"custody balances; others push or pop here too, so that arrivals cannot be counted", console.Good}
	case *b.ArrivalsMissing != 0:
		return styled{fmt.Sprintf("arrivals do not balance: %s", missing(*b.ArrivalsMissing)), console.Bad}
	}
	return styled{"balance", console.Good}
}

func missing(n int64) string {
	if n < 0 {
		return console.Plural(-n, "job") + " too many"
	}
	return console.Plural(n, "job") + " unaccounted for"
}

func newBooks(a *app) *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use: "books", Short: "Check that every job is accounted for",
		Long: `Check, for each queue, that every job is accounted for.

Custody: what was fetched has ended, gone elsewhere, been given back, or is held.
Arrivals: what was accepted has ended, was deleted or moved, or is somewhere. Where
Ruby pushes or pops too, arrivals cannot be counted from outside, and the list says
so.

Exit 1 if the books of any queue do not balance. They count jobs and do not name
them: what the jobs were is in the stops and the audit trail of that time.`,
		Example: example("ebb books", "ebb books -o json", "ebb books -o wide"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			balanced := true
			err := a.watch(cmd.Context(), every, func(ctx context.Context, s store.Store) (err error) {
				balanced, err = a.books(ctx, s)
				return err
			})
			if err == nil && !balanced {
				return quietly(exitFailed)
			}
			return err
		},
	}
	a.listFlags(cmd)
	watchFlag(cmd, &every)
	return cmd
}

// books prints the books, what does not balance before all else, and reports
// whether everything does.
func (a *app) books(ctx context.Context, s store.Inspector) (balanced bool, err error) {
	processes, err := s.Processes(ctx)
	if err != nil {
		return false, err
	}
	_, rows, err := settledBooks(ctx, s, processes)
	if err != nil {
		return false, err
	}
	balanced = true
	for _, b := range rows {
		if !b.balances() {
			balanced = false
			a.say("%s", console.Bad(fmt.Sprintf("queue %s: %s", console.Plain(b.Queue), b.verdict().text)))
		}
	}
	if !balanced {
		a.say("%s ebb stops ls and ebb audit say what happened to jobs at that time", console.Dim("hint:"))
	}
	err = a.bookList().printAll(a, rows)
	if a.term.OutWatched && slices.ContainsFunc(rows, func(b bookRow) bool { return b.Shared }) {
		a.say("%s", console.Dim("shared: others push or pop there too, so that arrivals cannot be counted"))
	}
	return balanced, err
}

// The books of a busy store may be read while a job is half way between two of
// their counts. What is missing for good is missing at every look.
const (
	looks     = 5
	lookPause = 50 * time.Millisecond
)

// settledBooks reads the numbers of a store until each book was seen to balance, or
// often enough.
func settledBooks(ctx context.Context, s store.Inspector, processes []store.Process) (stats store.Stats, rows []bookRow, err error) {
	for look := range looks {
		if stats, err = s.Stats(ctx); err != nil {
			return stats, nil, err
		}
		before := rows
		rows = nil
		for _, books := range stats.Books {
			row := newBookRow(books, processes)
			i := slices.IndexFunc(before, func(b bookRow) bool { return b.Queue == row.Queue })
			if i >= 0 && before[i].balances() {
				row = before[i]
			}
			rows = append(rows, row)
		}
		if look == looks-1 || !slices.ContainsFunc(rows, func(b bookRow) bool { return !b.balances() }) {
			break
		}
		if err := sleep(ctx, lookPause); err != nil {
			return stats, nil, err
		}
	}
	slices.SortFunc(rows, func(a, b bookRow) int { return cmp.Compare(a.Queue, b.Queue) })
	return stats, rows, nil
}

func (a *app) bookList() *list[bookRow] {
	number := func(name string, of func(bookRow) int64, l look) column[bookRow] {
		return column[bookRow]{name, func(b bookRow) any { return of(b) }, right | l}
	}
	return &list[bookRow]{
		columns: []column[bookRow]{
			{"queue", func(b bookRow) any { return b.Queue }, flex},
			number("accepted", func(b bookRow) int64 { return b.Accepted }, asIs),
			number("done", func(b bookRow) int64 { return b.Done }, asIs),
			number("discarded", func(b bookRow) int64 { return b.Discarded }, wide),
			number("expired", func(b bookRow) int64 { return b.Expired }, wide),
			number("deleted", func(b bookRow) int64 { return b.Deleted }, wide),
			number("trimmed", func(b bookRow) int64 { return b.Trimmed }, wide),
			number("moved", func(b bookRow) int64 { return b.Moved }, wide),
			number("present", func(b bookRow) int64 { return b.Waiting + b.Held + b.Scheduled + b.Retrying + b.Dead }, asIs),
			number("fetched", func(b bookRow) int64 { return b.Fetched }, a.roomy(asIs, 72)),
			number("retried", func(b bookRow) int64 { return b.Retried }, wide),
			number("buried", func(b bookRow) int64 { return b.Buried }, wide),
			number("requeued", func(b bookRow) int64 { return b.Requeued }, wide),
			number("rescued", func(b bookRow) int64 { return b.Rescued }, a.roomy(asIs, 90)),
			number("held", func(b bookRow) int64 { return b.Held }, a.roomy(asIs, 72)),
			{"custody", func(b bookRow) any { return a.difference(&b.CustodyMissing) }, right},
			{"arrivals", func(b bookRow) any { return a.difference(b.ArrivalsMissing) }, right},
		},
		name: func(b bookRow) string { return b.Queue },
		none: "no books yet: the first job opens them",
	}
}
