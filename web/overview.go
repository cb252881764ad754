package web

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// overviewReaches are those that the overview offers.
var overviewReaches = []reach{lastMinutes, lastHour, lastDay, lastWeek, lastMonth}

func (ui *UI) overviewRoutes() {
	w := &lookout{ui: ui}
	for _, part := range []string{"summary", "attention"} { // what stands above the chart, and below it
		ui.topics[part] = topic{page: "overview", every: lookEvery, read: w.summary}
	}
	for _, r := range overviewReaches {
		ui.topics["pace-"+r.Name] = topic{page: "overview", every: r.every, read: func(ctx context.Context, _ string) (any, error) {
			return w.pace(ctx, r)
		}}
	}
	ui.get("GET /{$}", ui.overview)
}

func (ui *UI) overview(w http.ResponseWriter, r *request) error {
	ui.render(w, r, page{Title: "Overview", Tab: "/", Template: "overview", Data: reachOf(r.FormValue("range"), overviewReaches).Name})
	return nil
}

// lookout is what an overview remembers from one look to the next.
type lookout struct {
	ui *UI

	mu      sync.Mutex
	samples []sample // of the last five minutes, the oldest first
	errors  []fleet.Group
	sampled time.Time // when errors were looked for
	last    *summary  // of the last look
}

// sample is what stood in the store at a moment.
type sample struct {
	at                       time.Time
	processed, failed, ready int64
}

const (
	// apart are samples at least, as the steps of the shortest reach are.
	apart = 10 * time.Second
	// lookEvery is how often the store is looked at.
	lookEvery = 2 * time.Second
	// errorsEvery is how often errors are looked for: that reads up to 2,000 jobs.
	errorsEvery = 15 * time.Second
)

// summary is what an overview shows but for its chart.
type summary struct {
	*fleet.Picture
	Needs []fleet.Need
	Last  []fleet.Rollout // of the last five

	Waiting    sparkline
	Busy       int
	Slots      int
	OldestWait time.Duration
	OldestIn   string
	Done       string // a minute
	DoneLine   sparkline
	Failing    string
	FailLine   sparkline
	Lost       int
	LostOf     string
}

// summary looks at the whole store, once for all parts of the page.
func (w *lookout) summary(ctx context.Context, _ string) (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last != nil && time.Since(w.last.At) < lookEvery/2 {
		return w.last, nil
	}
	p, err := fleet.Look(ctx, w.ui.store)
	if err != nil {
		return nil, err
	}
	recent, err := w.ui.past(ctx, lastMinutes, "")
	if err != nil {
		return nil, err
	}
	w.sample(sample{p.At, p.Stats.Processed, p.Stats.Failed, p.Stats.Ready})
	if p.At.Sub(w.sampled) >= errorsEvery {
		if w.errors, err = fleet.SampleErrors(ctx, w.ui.store, p.Marks); err != nil {
			return nil, err
		}
		w.sampled = p.At
	}
	p.Errors = w.errors
	s := &summary{Picture: p, Needs: p.Needs(), LostOf: "lost, 30 days"}
	s.Busy, s.Slots = p.Slots()
	s.OldestWait, s.OldestIn = p.Oldest()
	s.Waiting.Values = w.waiting(p.At)
	s.rates(w.filled(recent))
	rollouts := p.Rollouts()
	s.Last = rollouts[:min(5, len(rollouts))]
	for _, r := range rollouts {
		s.Lost += r.Lost
	}
	if len(p.Stops) == fleet.MaxStops {
		s.LostOf = "lost, last " + prose.Plural(fleet.MaxStops, "stop")
	}
	w.last = s
	return s, nil
}

// rates fills in what the last five minutes say.
func (s *summary) rates(p *past) {
	sums := p.sums(nil)
	done := layerOf("", "", sums, countDone)
	s.DoneLine.Values = done.Values
	all := p.total(nil)
	s.Done, s.Failing = "–", percentText(percentage(all.Failed, all.Ended))
	if all.Ended > 0 {
		minute := 0.0
		for _, n := range done.Values[len(done.Values)-int(time.Minute/p.Step):] {
			minute += n
		}
		s.Done = countText(minute)
	}
	for i := range sums {
		s.FailLine.Values = append(s.FailLine.Values, percentage(sums[i].Failed, sums[i].Ended))
	}
}

// sample remembers what was seen, if that is news.
func (w *lookout) sample(s sample) {
	if n := len(w.samples); n > 0 && s.at.Sub(w.samples[n-1].at) < apart {
		return
	}
	w.samples = append(w.samples, s)
	w.samples = w.samples[max(0, len(w.samples)-lastMinutes.Count-1):]
}

// waiting is how many jobs waited, in steps of the shortest reach; a gap while nobody
// looked.
func (w *lookout) waiting(now time.Time) []float64 {
	p := lastMinutes.until(now.Add(apart))
	values := make([]float64, p.Count)
	for i := range values {
		values[i] = gap
	}
	for _, s := range w.samples {
		if i, ok := p.index(s.at); ok {
			values[i] = float64(s.ready)
		}
	}
	return values
}

// filled is p as it is, or, if the store counts no moments, with what was seen here while
// somebody looked. Ruby counts none.
func (w *lookout) filled(p *past) *past {
	if p.Read != store.Moment || len(p.Points) > 0 {
		return p
	}
	for i := 1; i < len(w.samples); i++ {
		was, is := w.samples[i-1], w.samples[i]
		if is.at.Sub(was.at) > 3*apart { // nobody looked: when it happened is not known
			continue
		}
		p.Points = append(p.Points, store.Point{At: is.at, Runs: store.Runs{
			Ended: max(0, is.processed-was.processed), Failed: max(0, is.failed-was.failed)}})
	}
	return p
}

// overviewPace is the chart of an overview.
type overviewPace struct {
	reach
	Chart *chart
	All   []reach
	Days  bool // only whole days are counted
	Never bool // nothing has ever run
}

// pace reads how runs went. Where no more than days are counted, as by Ruby before
// Sidekiq 7, the chart is one of days.
func (w *lookout) pace(ctx context.Context, r reach) (any, error) {
	p, err := w.ui.past(ctx, r, "")
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	p = w.filled(p)
	w.mu.Unlock()
	shown := &overviewPace{reach: r, All: overviewReaches}
	if len(p.Points) == 0 && r.Read != store.Day {
		days, err := w.ui.past(ctx, lastMonth, "")
		if err != nil {
			return nil, err
		}
		shown.Never = len(days.Points) == 0
		if shown.Days, err = w.onlyDays(ctx, days); err != nil {
			return nil, err
		}
		if shown.Days {
			p = days
		}
	}
	shown.Chart = p.doneAndFailed("pace")
	shown.Chart.Query = "sum(rate(ebb_runs_total[1m])) - sum(rate(ebb_runs_failed_total[1m]))\nsum(rate(ebb_runs_failed_total[1m]))"
	return shown, nil
}

// onlyDays reports whether runs were counted today, and in none of its hours.
func (w *lookout) onlyDays(ctx context.Context, days *past) (bool, error) {
	today := store.Day.Start(days.At)
	n := days.total(func(p *store.Point) bool { return !p.At.Before(today) }).Ended
	if n == 0 {
		return false, nil
	}
	hours, err := w.ui.store.Series(ctx, store.SeriesQuery{Step: store.Hour, From: today})
	return len(hours) == 0, err
}

// Slowest is the queue in which a job waits longest.
func (s *summary) Slowest() fleet.Need { return fleet.Need{Kind: "queue", ID: s.OldestIn} }

// Way is the path to what a need is about.
func (*summary) Way(n fleet.Need) string {
	switch n.Kind {
	case "stop":
		return "/stops/" + url.PathEscape(n.ID)
	case "error":
		return "/jobs?" + url.Values{"state": {"retry"}, "group": {n.ID}}.Encode()
	case "queue":
		return "/queues/" + url.PathEscape(n.ID)
	case "process":
		return "/processes/" + url.PathEscape(n.ID)
	case "books":
		return "/queues"
	}
	return "/doctor"
}

// Known reports whether a line has anything to draw.
func (s sparkline) Known() bool {
	for _, v := range s.Values {
		if !math.IsNaN(v) && v > 0 {
			return true
		}
	}
	return false
}
