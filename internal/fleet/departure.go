package fleet

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// departure is a process that has ended or is about to.
type departure struct {
	id           store.Identity
	release, tag string
	at, until    time.Time
	vague        bool // nobody knows when it began
	stop         *Stop
	process      *store.Process
}

// departures are all who leave, in the order in which they began to.
func departures(stops []store.StopReport, living []store.Process, now time.Time) []departure {
	var all []departure
	reported := map[store.Identity]bool{}
	for _, r := range stops {
		s := NewStop(r)
		reported[r.ID] = true
		at := s.BeganAt
		if at.IsZero() {
			at = s.HeardAt
		}
		if at.IsZero() {
			at = s.EndedAt
		}
		all = append(all, departure{id: r.ID, release: r.Release, tag: r.Tag, at: at, until: s.EndedAt, stop: &s})
	}
	for i := range living {
		p := &living[i]
		if !Leaving(p) || reported[p.ID] {
			continue
		}
		d := departure{id: p.ID, release: p.Release, tag: p.Tag, process: p}
		if d.at, d.vague = leftAt(p); d.at.After(now) {
			d.at = now
		}
		d.until = d.at
		if p.State == lifecycle.Draining.String() && !p.Lapsed {
			d.until = now // the next one may wait for its end
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b departure) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(string(a.id), string(b.id)))
	})
	return all
}

// leftAt is when a process began to leave. Ruby does not tell.
func leftAt(p *store.Process) (at time.Time, vague bool) {
	for _, turn := range p.Turns {
		if turn.State != lifecycle.Running.String() {
			return turn.At.UTC(), false
		}
	}
	switch {
	case p.Lapsed:
		return p.Beat.UTC(), false
	case !p.KillAt.IsZero() && p.Grace > 0:
		return p.KillAt.Add(-p.Grace).UTC(), false
	}
	return p.Beat.UTC(), true
}
