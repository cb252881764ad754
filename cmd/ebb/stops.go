package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// stopRow is how a process ended, as it is printed.
type stopRow struct {
	ID      string    `json:"id"`
	Release string    `json:"release,omitempty"`
	Tag     string    `json:"tag,omitempty"`
	Reason  string    `json:"reason"`
	By      string    `json:"by,omitempty"`    // who rescued what it held
	Cause   string    `json:"cause,omitempty"` // why the rescuer took it for gone
	BeganAt time.Time `json:"began_at,omitzero"`
	EndedAt time.Time `json:"ended_at,omitzero"`
	Took    float64   `json:"took_seconds"`
	Grace   float64   `json:"grace_seconds,omitempty"`
	Touched int       `json:"touched"`
	Fates   fateCount `json:"fates"`
	Lost    int       `json:"lost"` // ran when the stop began, and nobody has said what became of them

	report store.StopReport
}

// fateCount counts what became of the jobs that a stop touched.
type fateCount struct {
	Finished     int `json:"finished"`
	Failed       int `json:"failed"`
	Checkpointed int `json:"checkpointed"`
	HandedBack   int `json:"handed_back"`
	Rescued      int `json:"rescued"`
	Deaf         int `json:"deaf"`
	Other        int `json:"other"` // buried, lost lease, …
}

// stopInfo is all about one stop.
type stopInfo struct {
	stopRow
	Phases []phaseRow   `json:"phases"`
	Jobs   []store.Fate `json:"jobs"`
	Notes  []string     `json:"notes"`
}

// phaseRow is one step of a stop.
type phaseRow struct {
	Name     string  `json:"name"`
	Took     float64 `json:"took_seconds"`
	InFlight int     `json:"in_flight"` // jobs that ran when it began
}

func newStopRow(r store.StopReport) stopRow {
	row := stopRow{
		ID: string(r.ID), Release: r.Release, Tag: r.Tag, Reason: r.Reason, By: string(r.By), Cause: string(r.Cause),
		BeganAt: r.Began.UTC(), EndedAt: r.Ended.UTC(), Grace: r.Grace.Seconds(), report: r,
	}
	if vanished(r) {
		row.Grace = 0 // nobody told it to stop
	} else {
		row.Took = max(0, r.Ended.Sub(r.Began).Seconds())
	}
	jobs := fates(r)
	row.Touched = len(jobs)
	for _, f := range jobs {
		*row.Fates.of(f.Fate)++
	}
	if len(r.Phases) > 0 {
		row.Lost = max(0, r.Phases[0].InFlight-row.Touched)
	}
	return row
}

// vanished reports whether a process ended without a stop of its own.
func vanished(r store.StopReport) bool { return r.Began.IsZero() }

// fates are what became of each job, by the last word on it: a job that was deaf is
// rescued later.
func fates(r store.StopReport) []store.Fate {
	jobs := []store.Fate{}
	at := map[string]int{}
	for _, f := range r.Jobs {
		if i, known := at[f.JID]; known && f.JID != "" {
			jobs[i] = f
			continue
		}
		at[f.JID] = len(jobs)
		jobs = append(jobs, f)
	}
	return jobs
}

func (c *fateCount) of(fate string) *int {
	switch fate {
	case "finished":
		return &c.Finished
	case "failed":
		return &c.Failed
	case "checkpointed":
		return &c.Checkpointed
	case "handed back":
		return &c.HandedBack
	case "rescued":
		return &c.Rescued
	case "deaf":
		return &c.Deaf
	}
	return &c.Other
}

func newStops(a *app) *cobra.Command {
	cmd := noun("stops", "See how processes ended, and what became of their jobs", newStopsLs(a), newStopsShow(a))
	cmd.Aliases = []string{"stop"}
	cmd.Example = example("ebb stops ls", "ebb stops ls --since -1d", "ebb stops show host-1:7")
	return cmd
}

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
				t, err := query.ParseMoment(since, a.now())
				if err != nil {
					return code(exitUsage, fmt.Errorf("--since: %w", err))
				}
				from = t
			}
			return a.watch(cmd.Context(), every, func(ctx context.Context) error {
				s, err := a.openExisting(ctx)
				if err != nil {
					return err
				}
				_, err = a.stopList().print(a, stopRows(s.Stops(ctx), from, release, limit))
				return err
			})
		},
	}
	a.listFlags(cmd)
	cmd.Flags().StringVar(&since, "since", "", "only those that ended after `WHEN`: -1d, -2h, 14:00, 2026-11-21")
	cmd.Flags().StringVar(&release, "release", "", "only those of `RELEASE`")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many (default: all)")
	watchFlag(cmd, &every)
	return cmd
}

// stopRows are the reports that are asked for, the latest first.
func stopRows(reports iter.Seq2[store.StopReport, error], from time.Time, release string, limit int) iter.Seq2[stopRow, error] {
	return func(yield func(stopRow, error) bool) {
		n := 0
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
			if n++; n == limit {
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

// took says how long a stop took, and of how long it had.
func (a *app) took(r stopRow) any {
	took := time.Duration(r.Took * float64(time.Second))
	switch {
	case vanished(r.report):
		return nil
	case !a.term.OutWatched || r.Grace == 0:
		return took
	}
	return console.Span(took) + " of " + console.Span(time.Duration(r.Grace*float64(time.Second)))
}

func newStopsShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a stop: its phases, and each job's fate",
		Long: `Show how a process ended: the phases of its stop on a line, and what became of each
job that it touched.

ID is a whole identity, host:pid, or any part of either that only one stop has.`,
		Example: example("ebb stops show host-1:7", "ebb stops show host-1:7 -o json", "ebb stops show 0123456789ab"),
		Args:    exactly("ID"),
		ValidArgsFunction: a.complete(1, func(ctx context.Context, s store.Store) (ids []string, err error) {
			for r, err := range s.Stops(ctx) {
				if err != nil || len(ids) == 100 {
					return ids, err
				}
				ids = append(ids, shortID(r.ID))
			}
			return ids, nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			info, err := findStop(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			return a.show(info, info.text)
		},
	}
	a.showFlags(cmd)
	return cmd
}

func findStop(ctx context.Context, s store.Inspector, arg string) (*stopInfo, error) {
	var ids []string
	var reports []store.StopReport
	for r, err := range s.Stops(ctx) {
		if err != nil {
			return nil, err
		}
		ids, reports = append(ids, string(r.ID)), append(reports, r)
	}
	id, err := matchID("stop", ids, arg, "ebb stops ls lists them")
	if err != nil {
		return nil, err
	}
	r := reports[slices.Index(ids, id)]
	info := &stopInfo{stopRow: newStopRow(r), Phases: []phaseRow{}, Jobs: fates(r), Notes: append([]string{}, r.Notes...)}
	for _, p := range r.Phases {
		info.Phases = append(info.Phases, phaseRow{p.Name, p.Took.Seconds(), p.InFlight})
	}
	return info, nil
}

// sum is how many jobs the stop touched and, for people, how that adds up.
func (info *stopInfo) sum(plain bool) any {
	if plain || info.Touched == 0 {
		return info.Touched
	}
	var parts []string
	for _, fate := range []struct {
		n    int
		word string
	}{
		{info.Fates.Finished, "finished"}, {info.Fates.Failed, "failed"}, {info.Fates.Checkpointed, "checkpointed"},
		{info.Fates.HandedBack, "handed back"}, {info.Fates.Rescued, "rescued"}, {info.Fates.Deaf, "deaf"}, {info.Fates.Other, "other"},
	} {
		if fate.n > 0 {
			parts = append(parts, console.Count(fate.n)+" "+fate.word)
		}
	}
	return console.Count(info.Touched) + " = " + strings.Join(parts, " + ")
}

func (info *stopInfo) text(p *page) {
	if !p.plain {
		p.line("%s  %s", lifeline(info.report, 40, p.a.term.Unicode), p.a.cell(p.a.took(info.stopRow)))
		p.line("")
	}
	p.field("process", info.ID)
	p.field("release", info.Release)
	p.field("tag", info.Tag)
	p.field("reason", p.a.reason(info.stopRow))
	p.field("rescued by", info.By)
	p.field("began", info.BeganAt)
	p.field("ended", info.EndedAt)
	p.field("touched", info.sum(p.plain))
	p.field("lost", p.a.difference(new(int64(info.Lost))))
	for _, note := range info.Notes {
		p.field("note", note)
	}
	if len(info.Phases) > 0 {
		p.line("")
		within(p, &list[phaseRow]{columns: []column[phaseRow]{
			{"phase", func(r phaseRow) any { return r.Name }, asIs},
			{"took", func(r phaseRow) any { return time.Duration(r.Took * float64(time.Second)) }, right},
			{"in_flight", func(r phaseRow) any { return r.InFlight }, right},
		}}, info.Phases)
	}
	if len(info.Jobs) > 0 {
		p.line("")
		within(p, &list[store.Fate]{columns: []column[store.Fate]{
			{"jid", func(f store.Fate) any { return f.JID }, asIs},
			{"kind", func(f store.Fate) any { return f.Kind }, flex},
			{"queue", func(f store.Fate) any { return f.Queue }, asIs},
			{"fate", func(f store.Fate) any { return f.Fate }, asIs},
			{"note", func(f store.Fate) any { return f.Note }, flex},
		}}, info.Jobs)
	}
}
