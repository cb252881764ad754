package web

import (
	"math"
	"strconv"
	"time"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// upTo is the axis of what is counted, from nothing to a round number that is not below
// top. It has three ticks, which are whole numbers.
func upTo(top float64) axis {
	high := 2.0
	for power := 1.0; ; power *= 10 {
		for _, n := range []float64{2, 4, 6, 8, 10} {
			if high = n * power; high >= top {
				return axis{High: high, Ticks: []string{countText(high), countText(high / 2), "0"}, Text: countText}
			}
		}
	}
}

// countText writes a number exactly if it is whole, and with three digits if not.
func countText(v float64) string {
	if v == math.Trunc(v) || v >= 100 {
		return prose.Count(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// unit is a length of time in which what happened is counted.
type unit struct {
	long time.Duration
	name string
}

var units = []unit{{time.Second, "a second"}, {time.Minute, "a minute"}, {time.Hour, "an hour"}, {24 * time.Hour, "a day"}}

// unitOf is the shortest in which at least two things happen at a rate, so that numbers
// are whole or nearly so.
func unitOf(perSecond float64) unit {
	for _, u := range units {
		if perSecond*u.long.Seconds() >= 2 {
			return u
		}
	}
	return units[len(units)-1]
}

// bound is a length of time as far as a spread tells: the place of the bound above it
// counted from one, which is where it stands on an axis. Beyond all bounds it is one more
// than there are, and 0 if nothing was counted.
type bound int

const beyond = bound(len(store.SpreadBounds) + 1)

// quantile is what the fraction q of those counted does not exceed. Unlike
// [store.Spread.Quantile] it tells what lies beyond all bounds from what does not.
func quantile(s *store.Spread, q float64) bound {
	all := int64(0)
	for _, n := range s {
		all += n
	}
	below, rank := int64(0), max(1, int64(math.Ceil(q*float64(all))))
	for i, n := range s {
		if below += n; all > 0 && below >= rank {
			return bound(i + 1)
		}
	}
	return 0
}

// Known reports whether anything was counted.
func (b bound) Known() bool { return b > 0 }

// value is where it stands on an axis; a gap if it is not known.
func (b bound) value() float64 {
	if b == 0 {
		return gap
	}
	return float64(b)
}

func (b bound) String() string {
	switch {
	case b <= 0:
		return ""
	case b >= beyond:
		return "more than " + boundText(store.SpreadBounds[len(store.SpreadBounds)-1])
	}
	return "at most " + boundText(store.SpreadBounds[b-1])
}

// Short leaves out that it is at most so long, for where that is said once.
func (b bound) Short() string {
	switch {
	case b <= 0:
		return ""
	case b >= beyond:
		return "> " + boundText(store.SpreadBounds[len(store.SpreadBounds)-1])
	}
	return boundText(store.SpreadBounds[b-1])
}

// boundText writes a bound exactly.
func boundText(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " s"
}

// bounded is the axis of lengths of time between two bounds. Each bound is as far from
// the next as all are, though it is about one and a half times as long.
func bounded(low, high bound) axis {
	low = max(0, low-1)
	if (high-low)%2 == 1 { // the middle is a bound, too
		if high < beyond {
			high++
		} else {
			low = max(0, low-1)
		}
	}
	if high-low < 2 {
		high = low + 2
	}
	a := axis{Low: float64(low), High: float64(high), Text: func(v float64) string { return bound(v).String() }}
	for _, b := range []bound{high, (low + high) / 2, low} {
		text := b.Short()
		if b == 0 {
			text = "0"
		}
		a.Ticks = append(a.Ticks, text)
	}
	return a
}
