package main

import (
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

// sparkFor is how far back the line of what was done goes.
const sparkFor = 20 * time.Minute

// rates are how fast runs ended between the view's own looks.
type rates struct {
	at                time.Time // of the last look
	processed, failed int64     // as it stood then
	done, failing     float64   // a second
	known             bool
	steps             []float64 // what was done in each step, the last one first
	step              time.Time // when the last one began
}

// add takes in a look. A counter that was set back begins anew.
func (r *rates) add(pic *fleet.Picture) {
	s := pic.Stats
	took := pic.At.Sub(r.at).Seconds()
	if took < 0.05 {
		return // a moment shows no rate
	}
	if !r.at.IsZero() && took > 0 && s.Processed >= r.processed && s.Failed >= r.failed {
		runs, failed := float64(s.Processed-r.processed), float64(s.Failed-r.failed)
		r.done, r.failing, r.known = max(0, runs-failed)/took, failed/took, true
		r.count(pic.At, max(0, runs-failed))
	}
	r.at, r.processed, r.failed = pic.At, s.Processed, s.Failed
}

func (r *rates) count(at time.Time, done float64) {
	begin := store.Moment.Start(at)
	for r.step.IsZero() || r.step.Before(begin) {
		if r.step.IsZero() || begin.Sub(r.step) > sparkFor {
			r.step, r.steps = begin, nil
		} else {
			r.step = r.step.Add(time.Duration(store.Moment))
		}
		r.steps = append([]float64{0}, r.steps[:min(len(r.steps), int(sparkFor/time.Duration(store.Moment)))]...)
	}
	r.steps[0] += done
}

// done is what was done a second in each of so many steps, the last of them the one that
// pic was taken in: what the store remembers, else what the view has seen itself.
func (t *top) done(steps int) []float64 {
	out := make([]float64, steps)
	last := store.Moment.Start(t.seen.pic.At)
	each := time.Duration(store.Moment)
	for _, p := range t.seen.points {
		if i := steps - 1 - int(last.Sub(p.At)/each); i >= 0 && i < steps {
			out[i] += float64(p.Ended-p.Failed) / each.Seconds()
		}
	}
	if len(t.seen.points) > 0 {
		return out
	}
	for i, n := range t.rates.steps {
		if at := steps - 1 - i - int(last.Sub(t.rates.step)/each); at >= 0 && at < steps {
			out[at] = n / each.Seconds()
		}
	}
	return out
}

var levels = [2]string{"▁▂▃▄▅▆▇█", "_.:-=+*#"}

// spark draws what was done in so many cells, with a mark where a release began, and
// names the last of these.
func (t *top) spark(cells int) string {
	form, bar := 0, "┆"
	if !t.term.Unicode {
		form, bar = 1, "|"
	}
	label, marked := "", map[int]bool{}
	last := store.Moment.Start(t.seen.pic.At)
	where := func(steps int, at time.Time) int {
		return steps - 1 - int(last.Sub(store.Moment.Start(at))/time.Duration(store.Moment))
	}
	if n := len(t.seen.pic.Marks); n > 0 {
		if m := t.seen.pic.Marks[n-1]; where(cells, m.At) >= 0 {
			label = bar + m.Release
			cells -= len([]rune(label)) + 2
		}
	}
	for _, m := range t.seen.pic.Marks {
		marked[where(cells, m.At)] = true
	}
	rates := t.done(max(0, cells))
	most := 0.0
	for _, r := range rates {
		most = max(most, r)
	}
	ramp := []rune(levels[form])
	var b strings.Builder
	for i, r := range rates {
		switch {
		case marked[i]:
			b.WriteString(console.Warn(bar))
		case most == 0 || r == 0:
			b.WriteString(console.Dim(string(ramp[0])))
		default:
			b.WriteString(console.Good(string(ramp[min(len(ramp)-1, int(r/most*float64(len(ramp))))])))
		}
	}
	if label != "" {
		b.WriteString("  " + console.Warn(label))
	}
	return b.String()
}
