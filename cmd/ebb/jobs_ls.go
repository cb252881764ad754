package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// jobsLs is what ebb jobs ls is told.
type jobsLs struct {
	selection
	limit int
	sort  string
	every time.Duration
}

// screenful is how many jobs a person is shown unless asked for more.
const screenful = 20

func newJobsLs(a *app) *cobra.Command {
	var l jobsLs
	cmd := &cobra.Command{
		Use: "ls [QUERY]", Aliases: []string{"list"}, Short: "List jobs",
		Long: `List the jobs that match a query, all without one: those that run, then queues from
their front, then what is scheduled, waits for another try, or is dead, by time.

A query is terms such as kind:InvoiceJob, error:CardError, after:-2h, try>3, args.0=42
or text; all must hold. ebb help queries tells them all. Quote it for your shell.`,
		Example: example("ebb jobs ls", "ebb jobs ls --state retry 'kind:InvoiceJob error:CardError'", "ebb jobs ls state:dead -o name | xargs ebb jobs retry --dry-run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"oldest", "newest"}, l.sort) {
				return code(exitUsage, store.WithHint(fmt.Errorf("jobs cannot be sorted by %q", l.sort), "it is oldest or newest"))
			}
			q, err := l.query(a, strings.Join(args, " "))
			if err != nil {
				return err
			}
			if a.term.OutWatched && !cmd.Flags().Changed("limit") && a.flags.output != formLines {
				l.limit = screenful
			}
			return a.watch(cmd.Context(), l.every, func(ctx context.Context, s store.Store) error {
				return l.print(ctx, a, s, q)
			})
		},
	}
	l.selection.flags(a, cmd)
	cmd.Flags().IntVarP(&l.limit, "limit", "n", 0, "at most so many; 0 is all (default: 20 on a terminal, else all)")
	cmd.Flags().StringVar(&l.sort, "sort", "oldest", "`ORDER` within a state: oldest or newest first")
	cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions([]string{"oldest", "newest"}, cobra.ShellCompDirectiveNoFileComp))
	a.listFlags(cmd)
	watchFlag(cmd, &l.every)
	return cmd
}

func (l *jobsLs) print(ctx context.Context, a *app, s store.Store, q *query.Query) error {
	n, err := a.jobList().print(a, limited(l.rows(ctx, a, s, q), l.limit))
	if err != nil || n < l.limit || l.limit == 0 || !a.term.ErrWatched {
		return err
	}
	return l.footer(ctx, a, s, q, int64(n))
}

// rows are the jobs that match, with the progress of the search on the line below.
func (l *jobsLs) rows(ctx context.Context, a *app, s store.Store, q *query.Query) iter.Seq2[jobRow, error] {
	return func(yield func(jobRow, error) bool) {
		search := query.Search{Newest: l.sort == "newest"}
		progress := a.searching(&search)
		defer progress.End()
		for e, err := range q.Find(ctx, s, search) {
			if err != nil {
				yield(jobRow{}, err)
				return
			}
			if !yield(newJobRow(e), nil) {
				return
			}
		}
	}
}

// countFor is how long a person waits for the number of rows that are not shown.
const countFor = 250 * time.Millisecond

// footer says how many there are and what to do with them.
func (l *jobsLs) footer(ctx context.Context, a *app, s store.Store, q *query.Query, shown int64) error {
	total, whole, err := countUpTo(ctx, s, q)
	if err != nil || total <= shown && whole {
		return err
	}
	of, limit := prose.Count(total), total
	if !whole {
		of, limit = "more than "+of, 0
	}
	text := q.String()
	more := fmt.Sprintf("ebb jobs ls --limit %d", limit)
	if text != "" {
		more += " " + quoted(text)
	}
	line := fmt.Sprintf("%s of %s shown · %s", prose.Count(shown), of, console.Code(more))
	if places := q.Places(); len(places) == 1 && places[0] == store.Retrying {
		line += " · retry them all: " + console.Code("ebb jobs retry "+quoted(text))
	}
	a.say("%s", line)
	return nil
}

// countUpTo counts the jobs that match, as far as that is quickly done.
func countUpTo(ctx context.Context, s store.Store, q *query.Query) (n int64, whole bool, err error) {
	if n, ok, err := q.Count(ctx, s); ok || err != nil {
		return n, ok, err
	}
	ctx, end := context.WithTimeout(ctx, countFor)
	defer end()
	for _, err := range q.Find(ctx, s, query.Search{}) {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return n, false, nil
		case err != nil:
			return n, false, err
		}
		n++
	}
	return n, true, nil
}
