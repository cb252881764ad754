package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// Need is something that a person should look at.
type Need struct {
	Sign   string // ✕ for what went wrong, ▲ for what may
	What   string
	Detail string
	Kind   string // what it links to: books, stop, error, queue, process or store
	ID     string // of that: an identity, an error group's ID, a queue; empty: all
}

const (
	wrong   = "✕"
	warning = "▲"
)

const (
	// vanishing counts as news for so long.
	news = 24 * time.Hour
	// patience is how long the oldest job of a queue may wait before somebody should
	// know.
	patience = 5 * time.Minute
	// perRank bounds what one kind of trouble may fill.
	perRank = 5
)

// Needs are what people should look at, the worst first: jobs that are unaccounted for,
// processes that vanished, errors that are new since the last release, queues that
// nobody works or that wait long, what processes found wrong with where they run, and a
// store that may forget.
func (p *Picture) Needs() (needs []Need) {
	if b := p.Balance; !b.IsZero() {
		n := Need{wrong, prose.Plural(b.Missing, "job") + " unaccounted for", "the books do not balance", "books", ""}
		if b.Missing == 0 {
			n.What = prose.Plural(b.Surplus, "job") + " too many"
		}
		needs = append(needs, n)
	}
	for _, rank := range [][]Need{p.vanished(), p.newErrors(), p.slowQueues(), p.warnings()} {
		needs = append(needs, rank[:min(len(rank), perRank)]...)
	}
	for _, w := range p.Store.Warnings {
		needs = append(needs, Need{warning, "the store", w, "store", ""})
	}
	return needs
}

// vanished are the processes that vanished lately, those of one release for one reason
// together.
func (p *Picture) vanished() (needs []Need) {
	type why struct{ reason, release string }
	at := map[why]int{}
	count := map[why]int{}
	for _, r := range p.Stops {
		s := NewStop(r)
		if !s.Vanished() || p.At.Sub(s.EndedAt) > news {
			continue
		}
		w := why{r.Reason, r.Release}
		i, known := at[w]
		if !known {
			i = len(needs)
			at[w] = i
			detail := r.Reason
			if r.Reason == Vanished {
				detail = "gone without a TERM"
			}
			needs = append(needs, Need{wrong, Short(r.ID) + " vanished", prose.Plain(detail) + ", " + prose.When(s.EndedAt, p.At), "stop", s.ID})
		}
		if count[w]++; count[w] > 1 {
			needs[i].What = prose.Plural(count[w], "process") + " vanished"
			if r.Release != "" {
				needs[i].What = prose.Count(count[w]) + " of " + prose.Plain(r.Release) + " vanished"
			}
		}
	}
	return needs
}

// newErrors are errors that were first seen since the last release began.
func (p *Picture) newErrors() (needs []Need) {
	if len(p.Marks) == 0 {
		return nil
	}
	last := slices.MaxFunc(p.Marks, func(a, b store.Mark) int { return a.At.Compare(b.At) })
	for _, g := range p.Errors {
		if g.First.Before(last.At) {
			continue
		}
		needs = append(needs, Need{wrong, prose.Plain(g.Kind) + "  " + prose.Plain(g.Class),
			fmt.Sprintf("%s, since %s", g.Where(), prose.Plain(last.Release)), "error", g.ID})
	}
	return needs
}

func (p *Picture) slowQueues() (needs []Need) {
	for _, q := range p.Unserved() {
		needs = append(needs, Need{wrong, prose.Plain(q.Name), "nobody works this queue: " + waits(q.Waiting), "queue", q.Name})
	}
	unserved := len(needs)
	type slow struct {
		name string
		wait time.Duration
	}
	var late []slow
	for _, q := range p.Queues {
		known := slices.ContainsFunc(needs[:unserved], func(n Need) bool { return n.ID == q.Name })
		if wait := p.At.Sub(q.Oldest); !q.Paused && q.Waiting > 0 && !q.Oldest.IsZero() && wait > patience && !known {
			late = append(late, slow{q.Name, wait})
		}
	}
	slices.SortFunc(late, func(a, b slow) int { return cmp.Compare(b.wait, a.wait) })
	for _, q := range late {
		needs = append(needs, Need{warning, prose.Plain(q.name), "its oldest job has waited " + prose.Span(q.wait), "queue", q.name})
	}
	return needs
}

// warnings are what processes found, each finding once.
func (p *Picture) warnings() (needs []Need) {
	at, count := map[string]int{}, map[string]int{}
	for _, proc := range p.Alive() {
		for _, text := range proc.Warnings {
			if _, known := at[text]; !known {
				at[text] = len(needs)
				needs = append(needs, Need{warning, Short(proc.ID), prose.Plain(text), "process", string(proc.ID)})
			}
			if count[text]++; count[text] > 1 {
				needs[at[text]].What = prose.Plural(count[text], "process")
			}
		}
	}
	return needs
}
