package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/notes"
)

// What the producer notes of a job.
const (
	asked    = "asked"    // about to be enqueued
	accepted = "accepted" // Enqueue has returned nil
	refused  = "refused"  // it has not, so that the job may be there or not
)

// What a worker notes of one.
const (
	begun = "begun" // a run begins, with what the number says is done already
	saved = "saved" // the checkpoint of that number is acknowledged
	again = "again" // the run ends, and the handler asked for another
	taken = "taken" // it ends, since the process holds the job no longer
	ended = "ended" // it ends, and the job is done
)

// ledger is what became of every job, as producer and workers noted it.
type ledger struct {
	jobs  map[string]*entry
	boots map[string]*boot // by the name of their notes
	busy  map[string]int   // runs under way, by the same
}

// entry is one job.
type entry struct {
	accepted, done bool
	runs           []run
	saves          []save
}

type run struct {
	by           string // whose notes
	from         int64  // where it went on
	began, ended time.Time
	outcome      string // again, taken or ended; empty: cut off, or under way
}

type save struct {
	step int64
	at   time.Time
}

// boot is one process in one place of the fleet, and what was done to it.
type boot struct {
	name           string
	started, ended time.Time // ended is zero while it lives
	deeds          []*deed
}

// deed is a fault that was done, to a process or to the store.
type deed struct {
	fault    Fault
	lasts    time.Duration // as planned
	at, over time.Time     // over is zero while it lasts
}

func (d *deed) touches(from, to time.Time) bool {
	return d.at.Before(to) && (d.over.IsZero() || d.over.After(from))
}

func newLedger() *ledger {
	return &ledger{jobs: map[string]*entry{}, boots: map[string]*boot{}, busy: map[string]int{}}
}

func (l *ledger) note(n notes.Note) {
	e := l.jobs[n.Job]
	if e == nil {
		e = &entry{}
		l.jobs[n.Job] = e
	}
	switch n.What {
	case accepted:
		e.accepted = true
	case begun:
		e.runs = append(e.runs, run{by: n.By, from: n.N, began: n.At})
		l.busy[n.By]++
	case saved:
		e.saves = append(e.saves, save{n.N, n.At})
	case again, taken, ended:
		for i := range e.runs {
			if r := &e.runs[i]; r.by == n.By && r.outcome == "" {
				r.ended, r.outcome = n.At, n.What
				l.busy[n.By]--
			}
		}
		if n.What == ended { // whoever did it, it was there
			e.done, e.accepted = true, true
		}
	}
}

// Tally is what a ledger adds up to.
type Tally struct {
	// Accepted are jobs whose Enqueue returned nil, or that ran all the same. Unsure
	// are those whose Enqueue did not, and that were never seen.
	Accepted int `json:"accepted"`
	Unsure   int `json:"unsure"`
	Done     int `json:"done"`
	// Twice are jobs that ran again although no run had asked for it. Explained are
	// those of them whose holder was killed, frozen or cut off each time.
	Twice     int `json:"twice"`
	Explained int `json:"explained"`
	// Cut are runs that the end of their process cut off, Recovery how long it took
	// from that end until their job ran again. Held is the same of jobs that somebody
	// had vanished with before: they are suspects, and wait longer each time.
	Cut      int      `json:"cut"`
	Recovery Recovery `json:"recovery"`
	Held     Recovery `json:"held_back"`
	// Lost are jobs that were accepted and not done, in the end. Backward are runs that
	// began behind a checkpoint that was acknowledged.
	Lost     int `json:"lost"`
	Backward int `json:"backward"`

	lost, odd []string // jobs: lost ones, and those twice without an explanation or backward
}

// Recovery is how long it took until jobs ran again, in seconds.
type Recovery struct {
	Samples int     `json:"samples"`
	P50     float64 `json:"p50_seconds"`
	P99     float64 `json:"p99_seconds"`
	Max     float64 `json:"max_seconds"`
}

// tally adds up. The store's deeds explain why one that stopped meanwhile could not
// say what it had done.
func (l *ledger) tally(store []*deed) (t Tally) {
	var back, held []time.Duration
	for jid, e := range l.jobs {
		slices.SortStableFunc(e.runs, func(a, b run) int { return a.began.Compare(b.began) })
		switch {
		case e.done:
			t.Accepted++
			t.Done++
		case e.accepted:
			t.Accepted++
			t.lost = append(t.lost, jid)
		default:
			t.Unsure++
		}
		vanished := false // somebody has, with this job
		for i, r := range e.runs {
			if r.outcome == again {
				continue
			}
			gone := l.endOf(r)
			if r.outcome == "" && !gone.IsZero() {
				t.Cut++
				if i+1 < len(e.runs) && e.runs[i+1].began.After(gone) {
					times := &back
					if vanished {
						times = &held
					}
					*times = append(*times, e.runs[i+1].began.Sub(gone))
				}
			}
			vanished = true
		}
		twice, explained := l.repeated(e.runs, store)
		if twice {
			t.Twice++
		}
		if twice && explained {
			t.Explained++
		}
		backward := e.backward()
		t.Backward += backward
		if twice && !explained || backward > 0 {
			t.odd = append(t.odd, jid)
		}
	}
	t.Lost = len(t.lost)
	slices.Sort(t.lost)
	slices.Sort(t.odd)
	t.Recovery, t.Held = spread(back), spread(held)
	return t
}

// endOf is when the process of a run ended, zero if it lives. A KILL counts from its
// sending: others may have seen that end before we did.
func (l *ledger) endOf(r run) time.Time {
	b := l.boots[r.by]
	if b == nil || b.ended.IsZero() {
		return time.Time{}
	}
	for _, d := range b.deeds {
		if d.fault == Kill && d.at.Before(b.ended) {
			return d.at
		}
	}
	return b.ended
}

// repeated reports whether a job ran again unasked, and whether all of that is
// explained by what was done to those who held it before.
func (l *ledger) repeated(runs []run, store []*deed) (twice, explained bool) {
	explained = true
	for i, r := range runs {
		if i+1 == len(runs) || r.outcome == again {
			continue
		}
		twice = true
		explained = explained && l.explains(r, runs[i+1].began, store)
	}
	return twice, explained
}

// explains reports whether something was done to the holder of a run before the next
// one began that may make it lose the job, or its verdict.
func (l *ledger) explains(r run, next time.Time, store []*deed) bool {
	b := l.boots[r.by]
	if b == nil {
		return false
	}
	until := next
	if !b.ended.IsZero() && b.ended.Before(until) {
		until = b.ended.Add(time.Nanosecond) // the end itself included
	}
	for _, d := range b.deeds {
		if d.fault != Delay && d.fault != Stop && d.touches(r.began, until) {
			return true
		}
	}
	// One that ended could not hand over while it, or the store, was out of reach.
	if b.ended.IsZero() || b.ended.After(next) {
		return false
	}
	return slices.ContainsFunc(store, func(d *deed) bool { return d.touches(r.began, until) })
}

// backward counts runs that went on from less than a checkpoint that had been
// acknowledged when they began.
func (e *entry) backward() (n int) {
	for _, r := range e.runs {
		if slices.ContainsFunc(e.saves, func(s save) bool { return s.step > r.from && s.at.Before(r.began) }) {
			n++
		}
	}
	return n
}

// story tells all runs of a job.
func (l *ledger) story(jid string) string {
	var parts []string
	for _, r := range l.jobs[jid].runs {
		outcome := cmp.Or(r.outcome, "cut off")
		if !r.ended.IsZero() {
			outcome += " " + r.ended.Format("05.000")
		}
		parts = append(parts, fmt.Sprintf("%s in %s from %d, %s", r.began.Format("15:04:05.000"), r.by, r.from, outcome))
	}
	return cmp.Or(strings.Join(parts, "; "), "never begun")
}

func spread(all []time.Duration) Recovery {
	if len(all) == 0 {
		return Recovery{}
	}
	slices.Sort(all)
	at := func(percent int) float64 { return all[(len(all)*percent+99)/100-1].Seconds() }
	return Recovery{Samples: len(all), P50: at(50), P99: at(99), Max: at(100)}
}
