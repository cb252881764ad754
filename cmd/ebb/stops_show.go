package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// stopInfo is all about one stop.
type stopInfo struct {
	fleet.Stop
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
				ids = append(ids, fleet.Short(r.ID))
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
	stop := fleet.NewStop(r)
	info := &stopInfo{Stop: stop, Phases: []phaseRow{}, Jobs: stop.Jobs(), Notes: append([]string{}, r.Notes...)}
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
			parts = append(parts, prose.Count(fate.n)+" "+fate.word)
		}
	}
	return prose.Count(info.Touched) + " = " + strings.Join(parts, " + ")
}

// course says in a few words how the stop went.
func (info *stopInfo) course(a *app) any {
	if !info.Vanished() {
		return a.took(info.Stop)
	}
	said := info.Reason
	if said == "vanished" {
		said = "gone without a TERM"
	}
	if info.After > 0 {
		said += ", " + prose.Plural(int64(info.Touched), "job") + " given back after " + prose.Span(time.Duration(info.After*float64(time.Second)))
	}
	return said
}

func (info *stopInfo) text(p *page) {
	if !p.plain {
		p.line("%s  %s", lifeline(info.Line(), 40, p.a.term.Unicode), p.a.cell(info.course(p.a)))
		p.line("")
	}
	p.field("process", info.ID)
	p.field("release", info.Release)
	p.field("tag", info.Tag)
	p.field("reason", p.a.reason(info.Stop))
	p.field("rescued by", info.By)
	p.field("last beat", info.HeardAt)
	p.field("began", info.BeganAt)
	p.field("ended", info.EndedAt)
	if info.Grace > 0 {
		p.field("grace", time.Duration(info.Grace*float64(time.Second)))
	}
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
