package web

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// reach is how far back charts go.
type reach struct {
	Name  string // in addresses
	Words string
	Read  store.Step    // of the points that are read
	Step  time.Duration // of the charts, in which several of those may come together
	Count int           // of steps
	every time.Duration // how often it is read at most
}

// The reaches. None has more steps than a phone can show.
var (
	lastMinutes = reach{"5m", "5 min", store.Moment, 10 * time.Second, 30, 5 * time.Second}
	lastHour    = reach{"1h", "1 h", store.Minute, time.Minute, 60, 15 * time.Second}
	lastDay     = reach{"1d", "1 d", store.TenMinutes, 20 * time.Minute, 72, time.Minute}
	lastWeek    = reach{"7d", "7 d", store.Hour, 3 * time.Hour, 56, 2 * time.Minute}
	lastMonth   = reach{"30d", "30 d", store.Day, 24 * time.Hour, 30, 2 * time.Minute}
)

// reachOf returns the one of that name, the first of all without one.
func reachOf(name string, all []reach) reach {
	if i := slices.IndexFunc(all, func(r reach) bool { return r.Name == name }); i >= 0 {
		return all[i]
	}
	return all[0]
}

// past is what is known of the runs within a reach.
type past struct {
	reach
	From, To time.Time // of the drawing
	At       time.Time // when this was read: the last step may go on
	Points   []store.Point
	Marks    []store.Mark
}

// past reads the runs of one kind, or of all, and the releases that began.
func (ui *UI) past(ctx context.Context, r reach, kind string) (*past, error) {
	p := r.until(time.Now())
	var err error
	if p.Points, err = ui.store.Series(ctx, store.SeriesQuery{Step: r.Read, From: p.From, Kind: kind}); err != nil {
		return nil, err
	}
	p.Marks, err = ui.store.Marks(ctx, p.From)
	return p, err
}

// until is the past of a reach as of now, about which nothing is known yet. A step that
// is one point of the store is left out while it goes on; one of several is not: its rate
// is that of the part that is over.
func (r reach) until(now time.Time) *past {
	end := now.UTC().Truncate(r.Step)
	if r.Step > time.Duration(r.Read) || r.Read == store.Day {
		end = end.Add(r.Step)
	}
	return &past{reach: r, From: end.Add(-time.Duration(r.Count) * r.Step), To: end, At: now}
}

// index is the step that a moment is in; ok is false before the first and after the last.
func (p *past) index(t time.Time) (i int, ok bool) {
	d := t.Sub(p.From)
	return int(d / p.Step), d >= 0 && t.Before(p.To)
}

// long is how much of a step is over. Days are counted whole: what half a day has seen
// says little of the other half.
func (p *past) long(i int) time.Duration {
	if p.Read == store.Day {
		return p.Step
	}
	begin := p.From.Add(time.Duration(i) * p.Step)
	return min(p.Step, max(p.At.Sub(begin), p.Step/24))
}

// sums adds up, step by step, the points that which takes; nil takes all.
func (p *past) sums(which func(*store.Point) bool) []store.Runs {
	sums := make([]store.Runs, p.Count)
	for i := range p.Points {
		if at, ok := p.index(p.Points[i].At); ok && (which == nil || which(&p.Points[i])) {
			sums[at] = sums[at].Plus(p.Points[i].Runs)
		}
	}
	return sums
}

// total adds the points up that which takes.
func (p *past) total(which func(*store.Point) bool) (sum store.Runs) {
	for i := range p.Points {
		if _, ok := p.index(p.Points[i].At); ok && (which == nil || which(&p.Points[i])) {
			sum = sum.Plus(p.Points[i].Runs)
		}
	}
	return sum
}

// chart is an empty one of this time.
func (p *past) chart(key, title string) chart {
	return chart{Key: key, Title: title, From: p.From, Step: p.Step, Marks: p.Marks, None: "Nothing ended in the last " + p.Words + "."}
}

// paced is a chart of how often things happened. The layers have their numbers by step.
func (p *past) paced(key, title string, layers ...layer) *chart {
	c := p.chart(key, title)
	c.Stacked, c.Layers = true, layers
	for _, l := range layers {
		for i := range l.Values {
			l.Values[i] /= p.long(i).Seconds()
		}
	}
	u := unitOf(c.highest())
	for _, l := range layers {
		for i := range l.Values {
			l.Values[i] *= u.long.Seconds()
		}
	}
	c.Unit, c.Axis = u.name, upTo(c.highest())
	return &c
}

// layerOf is a layer of what count says of the sums of steps.
func layerOf(name, class string, sums []store.Runs, count func(*store.Runs) int64) layer {
	l := layer{Name: name, Class: class, Values: make([]float64, len(sums))}
	for i := range sums {
		l.Values[i] = float64(count(&sums[i]))
	}
	return l
}

func countDone(r *store.Runs) int64   { return r.Ended - r.Failed }
func countFailed(r *store.Runs) int64 { return r.Failed }

// doneAndFailed is the chart of all runs.
func (p *past) doneAndFailed(key string) *chart {
	sums := p.sums(nil)
	return p.paced(key, "Done and failed", layerOf("done", "c-done", sums, countDone), layerOf("failed", "c-failed", sums, countFailed))
}

// lengths is a chart of how long what which of the spreads counts took: half of it, 95 %
// and 99 %.
func (p *past) lengths(key, title string, which func(*store.Runs) *store.Spread) *chart {
	c := p.chart(key, title)
	c.None = "Nothing is known of how long that was in the last " + p.Words + "."
	sums := p.sums(nil)
	low, high := beyond, bound(0)
	for _, q := range []struct {
		name, class string
		part        float64
	}{{"half", "c-half", 0.5}, {"95 %", "c-most", 0.95}, {"99 %", "c-worst", 0.99}} {
		l := layer{Name: q.name, Class: q.class, Values: make([]float64, len(sums))}
		for i := range sums {
			b := quantile(which(&sums[i]), q.part)
			if l.Values[i] = b.value(); b.Known() {
				low, high = min(low, b), max(high, b)
			}
		}
		c.Layers = append(c.Layers, l)
	}
	c.Axis = bounded(low, high)
	return &c
}

func waitsOf(r *store.Runs) *store.Spread    { return &r.Waits }
func runTimesOf(r *store.Runs) *store.Spread { return &r.Spread }

// percentage is how much of a whole something is; a gap of nothing.
func percentage(part, whole int64) float64 {
	if whole == 0 {
		return gap
	}
	return 100 * float64(part) / float64(whole)
}

// percentText writes a percentage. What is not nothing is not written as 0.
func percentText(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v > 0 && v < 0.1:
		return "< 0.1 %"
	case v == math.Trunc(v) || v >= 10:
		return countText(math.Round(v)) + " %"
	}
	return countText(math.Round(v*10)/10) + " %"
}

// groups adds the points up by a name that each has. The names come in the order of how
// many runs there were, most first.
func (p *past) groups(by grouping) (names []string, sums map[string]*store.Runs) {
	sums = map[string]*store.Runs{}
	for i := range p.Points {
		if _, ok := p.index(p.Points[i].At); !ok {
			continue
		}
		name := by.of(&p.Points[i])
		if sums[name] == nil {
			sums[name] = &store.Runs{}
		}
		*sums[name] = sums[name].Plus(p.Points[i].Runs)
	}
	names = slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
		return cmp.Or(cmp.Compare(sums[b].Ended, sums[a].Ended), cmp.Compare(a, b))
	})
	return names, sums
}
