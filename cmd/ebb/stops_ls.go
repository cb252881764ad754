package main

import (
	"context"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
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
func stopRows(reports iter.Seq2[store.StopReport, error], from time.Time, release string) iter.Seq2[fleet.Stop, error] {
	return func(yield func(fleet.Stop, error) bool) {
		for r, err := range reports {
			switch {
			case err != nil:
				yield(fleet.Stop{}, err)
				return
			case r.Ended.Before(from):
				return
			case release != "" && r.Release != release:
				continue
			}
			if !yield(fleet.NewStop(r), nil) {
				return
			}
		}
	}
}

func (a *app) stopList() *list[fleet.Stop] {
	count := func(name string, of func(*fleet.Fates) int, l look) column[fleet.Stop] {
		return column[fleet.Stop]{name, func(r fleet.Stop) any { return of(&r.Fates) }, right | l}
	}
	return &list[fleet.Stop]{
		columns: []column[fleet.Stop]{
			{"process", func(r fleet.Stop) any { return fleet.Short(store.Identity(r.ID)) }, flex},
			{"id", func(r fleet.Stop) any { return r.ID }, wide},
			{"release", func(r fleet.Stop) any { return r.Release }, asIs},
			{"ended", func(r fleet.Stop) any { return r.EndedAt }, asIs},
			{"reason", func(r fleet.Stop) any { return a.reason(r) }, flex},
			{"took", func(r fleet.Stop) any { return a.took(r) }, a.roomy(asIs, 72)},
			{"touched", func(r fleet.Stop) any { return r.Touched }, right},
			count("finished", func(c *fleet.Fates) int { return c.Finished }, a.roomy(asIs, 100)),
			count("failed", func(c *fleet.Fates) int { return c.Failed }, wide),
			count("saved", func(c *fleet.Fates) int { return c.Checkpointed }, wide),
			count("back", func(c *fleet.Fates) int { return c.HandedBack + c.Checkpointed }, a.roomy(asIs, 100)),
			count("rescued", func(c *fleet.Fates) int { return c.Rescued }, a.roomy(asIs, 100)),
			count("deaf", func(c *fleet.Fates) int { return c.Deaf }, wide),
			{"lost", func(r fleet.Stop) any { return a.difference(new(int64(r.Lost))) }, right},
		},
		name: func(r fleet.Stop) string { return r.ID },
		none: "no stops",
	}
}

func (a *app) reason(r fleet.Stop) any {
	if r.Vanished() && a.term.OutWatched {
		return styled{r.Reason, console.Bad}
	}
	return r.Reason
}

// took says how long a stop took, and of how long it had; where there was none, how
// soon the jobs were back.
func (a *app) took(r fleet.Stop) any {
	took := time.Duration(r.Took * float64(time.Second))
	switch {
	case r.Vanished() && r.After > 0 && a.term.OutWatched:
		return "back in " + prose.Span(time.Duration(r.After*float64(time.Second)))
	case r.Vanished():
		return nil
	case !a.term.OutWatched || r.Grace == 0:
		return took
	}
	return prose.Span(took) + " of " + prose.Span(time.Duration(r.Grace*float64(time.Second)))
}
