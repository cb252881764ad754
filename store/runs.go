package store

import (
	"slices"
	"time"
)

// Runs says how runs of one kind have ended in one process since it began, as far as
// its verdicts are recorded. The numbers only rise: who has seen some of them knows
// from the next ones what came since, and a report that is repeated, or comes twice,
// makes no run count twice.
type Runs struct {
	Kind   string
	Ended  int64 // failures included, as [Stats] counts what was processed
	Failed int64
	// Of those that did not fail: the time of all of them, and how many took how long.
	Took   time.Duration
	Spread Spread
}

// Since is what came to r after it was as was.
func (r Runs) Since(was Runs) Runs {
	r.Ended -= was.Ended
	r.Failed -= was.Failed
	r.Took -= was.Took
	for i := range r.Spread {
		r.Spread[i] -= was.Spread[i]
	}
	return r
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
