package main

import (
	"context"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
)

func newStopsLs(a *app) *cobra.Command {
	var since, release string
	var limit int
	var every time.Duration
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List stops, the latest first",
		Long: `List how processes ended, the latest first: told to stop, or vanished.

Touched counts the jobs that a stop met. Each is finished, failed, checkpointed,
handed back, rescued or deaf; lost must be 0.`,
		Example: example("ebb stops ls", "ebb stops ls --since -1d --release v142", "ebb stops ls -o jsonl"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from := time.Time{}
			if since != "" {
				var err error
				if from, err = a.moment("since", since); err != nil {
					return err
				}
			}
			return a.watch(cmd.Context(), every, func(ctx context.Context, s store.Store) error {
				_, err := a.stopList().print(a, limited(stopRows(s.Stops(ctx), from, release), limit))
				return err
			})
		},
	}
	a.listFlags(cmd)
	cmd.Flags().StringVar(&since, "since", "", "only those that ended after `WHEN`: -1d, -2h, 14:00, 2026-11-21")
	cmd.Flags().StringVar(&release, "release", "", "only those of `RELEASE`")
	limitFlag(cmd, &limit)
	watchFlag(cmd, &every)
	return cmd
}

// stopRows are the reports that are asked for, the latest first.
func stopRows(reports iter.Seq2[store.StopReport, error], from time.Time, release string) iter.Seq2[stopRow, error] {
	return func(yield func(stopRow, error) bool) {
		for r, err := range reports {
			switch {
			case err != nil:
				yield(stopRow{}, err)
				return
			case r.Ended.Before(from):
				return
			case release != "" && r.Release != release:
				continue
			}
			if !yield(newStopRow(r), nil) {
				return
			}
		}
	}
}

func (a *app) stopList() *list[stopRow] {
	count := func(name string, of func(*fateCount) int, l look) column[stopRow] {
		return column[stopRow]{name, func(r stopRow) any { return of(&r.Fates) }, right | l}
	}
	return &list[stopRow]{
		columns: []column[stopRow]{
			{"process", func(r stopRow) any { return shortID(store.Identity(r.ID)) }, flex},
			{"id", func(r stopRow) any { return r.ID }, wide},
			{"release", func(r stopRow) any { return r.Release }, asIs},
			{"ended", func(r stopRow) any { return r.EndedAt }, asIs},
			{"reason", func(r stopRow) any { return a.reason(r) }, flex},
			{"took", func(r stopRow) any { return a.took(r) }, a.roomy(asIs, 72)},
			{"touched", func(r stopRow) any { return r.Touched }, right},
			count("finished", func(c *fateCount) int { return c.Finished }, a.roomy(asIs, 100)),
			count("failed", func(c *fateCount) int { return c.Failed }, wide),
			count("saved", func(c *fateCount) int { return c.Checkpointed }, wide),
			count("back", func(c *fateCount) int { return c.HandedBack + c.Checkpointed }, a.roomy(asIs, 100)),
			count("rescued", func(c *fateCount) int { return c.Rescued }, a.roomy(asIs, 100)),
			count("deaf", func(c *fateCount) int { return c.Deaf }, wide),
			{"lost", func(r stopRow) any { return a.difference(new(int64(r.Lost))) }, right},
		},
		name: func(r stopRow) string { return r.ID },
		none: "no stops",
	}
}

func (a *app) reason(r stopRow) any {
	if vanished(r.report) && a.term.OutWatched {
		return styled{r.Reason, console.Bad}
	}
	return r.Reason
}

// took says how long a stop took, and of how long it had; where there was none, how
// soon the jobs were back.
func (a *app) took(r stopRow) any {
	took := time.Duration(r.Took * float64(time.Second))
	switch {
	case vanished(r.report) && r.After > 0 && a.term.OutWatched:
		return "back in " + console.Span(time.Duration(r.After*float64(time.Second)))
	case vanished(r.report):
		return nil
	case !a.term.OutWatched || r.Grace == 0:
		return took
	}
	return console.Span(took) + " of " + console.Span(time.Duration(r.Grace*float64(time.Second)))
}
