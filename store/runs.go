package store

import (
	"math"
	"slices"
	"time"
)

// Runs says how runs of one kind from one queue have ended in one process since it began, as far as
// its verdicts are recorded. The numbers only rise: who has seen some of them knows
// from the next ones what came since, and a report that is repeated, or comes twice,
// makes no run count twice.
type Runs struct {
	Kind   string
	Queue  string
	Ended  int64 // failures included, as [Stats] counts what was processed
	Failed int64
	// Of those that did not fail: the time of all of them, and how many took how long.
	Took   time.Duration
	Spread Spread
	// Of those of which it is known: how long they had waited in their queue.
	Waited time.Duration
	Waits  Spread
}

// Since is what came to r after it was as was.
func (r Runs) Since(was Runs) Runs {
	r.Ended -= was.Ended
	r.Failed -= was.Failed
	r.Took -= was.Took
	r.Waited -= was.Waited
	for i := range r.Spread {
		r.Spread[i] -= was.Spread[i]
		r.Waits[i] -= was.Waits[i]
	}
	return r
}

// Plus is r and more together.
func (r Runs) Plus(more Runs) Runs {
	r.Ended += more.Ended
	r.Failed += more.Failed
	r.Took += more.Took
	r.Waited += more.Waited
	for i := range r.Spread {
		r.Spread[i] += more.Spread[i]
		r.Waits[i] += more.Waits[i]
	}
	return r
}

// Quantile is a length of time that the fraction q of those counted does not exceed: the
// bound above it, since no more is known. Of those above all bounds it is the last bound.
// ok is false if nothing was counted.
func (s *Spread) Quantile(q float64) (d time.Duration, ok bool) {
	all := int64(0)
	for _, n := range s {
		all += n
	}
	if all == 0 {
		return 0, false
	}
	below, rank := int64(0), max(1, int64(math.Ceil(q*float64(all))))
	for i, n := range s {
		if below += n; below >= rank {
			return SpreadBounds[min(i, len(SpreadBounds)-1)], true
		}
	}
	return SpreadBounds[len(SpreadBounds)-1], true
}

// SpreadBounds are the limits between the counters of a Spread. They are those of
// Sidekiq's job metrics, 7 and 8.
var SpreadBounds = [...]time.Duration{
	20e6, 30e6, 45e6, 65e6, 100e6, 150e6, 225e6, 335e6, 500e6, 750e6,
	1100e6, 1700e6, 2500e6, 3800e6, 5750e6, 8500e6, 13e9, 20e9, 30e9, 45e9,
	65e9, 100e9, 150e9, 225e9, 335e9,
}

// Spread counts lengths of time: each counter those below its bound that none before
// it counts, and the last one all others.
type Spread [len(SpreadBounds) + 1]int64

// Add counts a length of time.
func (s *Spread) Add(d time.Duration) {
	i, at := slices.BinarySearch(SpreadBounds[:], d)
	if at {
		i++ // a bound is not below itself
	}
	s[i]++
}
