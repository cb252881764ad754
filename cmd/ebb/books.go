package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// bookRow is the books of a queue as they are printed.
type bookRow struct {
	store.Books
	// What is missing, negative if there is too much. Arrivals cannot be counted
	// where others push or pop.
	CustodyMissing  int64  `json:"custody_missing"`
	ArrivalsMissing *int64 `json:"arrivals_missing,omitempty"`
	// What was found of what does not balance; only ebb books looks.
	Differences []difference `json:"differences,omitempty"`
}

func newBookRow(b store.Books) bookRow {
	row := bookRow{Books: b, CustodyMissing: b.Custody()}
	if !b.Shared {
		row.ArrivalsMissing = new(b.Arrivals())
	}
	return row
}

func (b bookRow) balances() bool {
	return b.CustodyMissing == 0 && (b.ArrivalsMissing == nil || *b.ArrivalsMissing == 0) && len(b.Differences) == 0
}

// verdict says in words whether the books balance.
func (b bookRow) verdict() styled {
	switch {
	case b.CustodyMissing != 0:
		return styled{fmt.Sprintf("custody does not balance: %s", missing(b.CustodyMissing)), console.Bad}
	case b.ArrivalsMissing != nil && *b.ArrivalsMissing != 0:
		return styled{fmt.Sprintf("arrivals do not balance: %s", missing(*b.ArrivalsMissing)), console.Bad}
	case len(b.Differences) > 0:
		return styled{"the books balance, but not with what is there", console.Bad}
	case b.ArrivalsMissing == nil:
		return styled{"custody balances; others push or pop here too, so that arrivals cannot be counted", console.Good}
	}
	return styled{"balance", console.Good}
}

func missing(n int64) string {
	if n < 0 {
		return prose.Plural(-n, "job") + " too many"
	}
	return prose.Plural(n, "job") + " unaccounted for"
}

func newBooks(a *app) *cobra.Command {
	var every time.Duration
	var find bool
	cmd := &cobra.Command{
		Use: "books", Short: "Check that every job is accounted for",
		Long: `Check, for each queue, that every job is accounted for.

Custody: what was fetched has ended, gone elsewhere, been given back, or is held.
Arrivals: what was accepted has ended, was deleted or moved, or is somewhere. Where
Ruby pushes or pops too, arrivals cannot be counted from outside, and the list says
so.

That takes no longer where there are more jobs. Where books do not balance, and with
--find always, it then looks at every job and names what it can: jobs that are held
by nobody, places that have more or fewer than the books say, queues of which there
are none. Exit 5 if it found any difference.`,
		Example: example("ebb books", "ebb books -o json", "ebb books --find   # as long as looking at every job takes"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			balanced := true
			err := a.watch(cmd.Context(), every, func(ctx context.Context, s store.Store) (err error) {
				balanced, err = a.books(ctx, s, find)
				return err
			})
			if err == nil && !balanced {
				return quietly(exitFindings)
			}
			return err
		},
	}
	a.listFlags(cmd)
	watchFlag(cmd, &every)
	cmd.Flags().BoolVar(&find, "find", false, "compare the books with every job that there is")
	return cmd
}

// books prints the books, what does not balance before all else, and reports
// whether everything does.
func (a *app) books(ctx context.Context, s store.Store, find bool) (balanced bool, err error) {
	stats, rows, err := settledBooks(ctx, s)
	if err != nil {
		return false, err
	}
	lost := emptied(stats)
	if find || len(lost) > 0 || !allBalance(rows) {
		if rows, err = a.find(ctx, s, rows); err != nil {
			return false, err
		}
	}
	balanced = len(lost) == 0 && allBalance(rows)
	for _, b := range rows {
		if !b.balances() {
			a.say("%s", console.Bad(fmt.Sprintf("queue %s: %s", prose.Plain(b.Queue), b.verdict().text)))
			a.sayDifferences(b)
		}
	}
	for _, set := range lost {
		a.say("%s", console.Bad(fmt.Sprintf("%s: %s", set, missing(-stats.Uncounted(set)))))
	}
	if !balanced {
		a.say("%s %s", console.Dim("hint:"), remedy(rows))
	}
	err = a.bookList().printAll(a, rows)
	if a.term.OutWatched {
		a.sayShared(stats, rows)
	}
	return balanced, err
}

func allBalance(rows []bookRow) bool {
	return !slices.ContainsFunc(rows, func(b bookRow) bool { return !b.balances() })
}

var sets = []store.Place{store.Scheduled, store.Retrying, store.Dead}

// emptied are the sets that have fewer jobs than the books count, where nobody else
// takes any.
func emptied(stats store.Stats) (lost []store.Place) {
	if slices.ContainsFunc(stats.Books, func(b store.Books) bool { return b.Shared }) {
		return nil
	}
	for _, set := range sets {
		if stats.Uncounted(set) < 0 {
			lost = append(lost, set)
		}
	}
	return lost
}

// sayShared tells what others have a part in.
func (a *app) sayShared(stats store.Stats, rows []bookRow) {
	if slices.ContainsFunc(rows, func(b bookRow) bool { return b.Shared }) {
		a.say("%s", console.Dim("shared: others push or pop there too, so that arrivals cannot be counted"))
	}
	for _, set := range sets {
		if n := stats.Uncounted(set); n > 0 {
			a.say("%s", console.Dim(fmt.Sprintf("%s: %s that no books count; others put them there", set, prose.Plural(n, "job"))))
		}
	}
}

// The books of a busy store may be read while a job is half way between two of
// their counts. What is missing for good is missing at every look.
const (
	looks     = 5
	lookPause = 50 * time.Millisecond
)

// settledBooks reads the numbers of a store until each book was seen to balance, or
// often enough.
func settledBooks(ctx context.Context, s store.Inspector) (stats store.Stats, rows []bookRow, err error) {
	for look := range looks {
		if stats, err = s.Stats(ctx); err != nil {
			return stats, nil, err
		}
		before := rows
		rows = nil
		for _, books := range stats.Books {
			row := newBookRow(books)
			i := slices.IndexFunc(before, func(b bookRow) bool { return b.Queue == row.Queue })
			if i >= 0 && before[i].balances() {
				row = before[i]
			}
			rows = append(rows, row)
		}
		if look == looks-1 || allBalance(rows) && len(emptied(stats)) == 0 {
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
