package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

const (
	// maxDue is how many jobs of each set are looked at, those that are due first first.
	maxDue = 1000
	// maxNext is how many of them are listed.
	maxNext = 50
)

func (ui *UI) scheduleRoutes() {
	ui.topics["due"] = topic{page: "schedule", every: 5 * time.Second, read: ui.due}
	ui.get("GET /schedule", ui.schedule)
}

func (ui *UI) schedule(w http.ResponseWriter, r *request) error {
	ui.render(w, r, page{Title: "Schedule", Tab: "/schedule", Template: "schedule"})
	return nil
}

// due is what is to run later.
type due struct {
	Scheduled, Retrying int64 // all of them
	Overdue             int   // of those that were looked at
	Until               time.Time
	Hour, Day           *chart
	Next                []dueJob
}

// dueJob is one of those that are due next.
type dueJob struct {
	JID, Kind, Queue string
	Place            store.Place
	At               time.Time
}

// Link is the path of the job; empty if nothing says which one it is.
func (j dueJob) Link() string {
	if j.JID == "" {
		return ""
	}
	return "/jobs/" + url.PathEscape(j.JID)
}

// due looks at the front of the scheduled and of the retry set. What lies behind the
// last job of a set that was looked at is not known: Until is where that begins.
func (ui *UI) due(ctx context.Context, _ string) (any, error) {
	now := time.Now()
	stats, err := ui.recent.Stats(ctx)
	if err != nil {
		return nil, err
	}
	d := &due{Scheduled: stats.Scheduled, Retrying: stats.Retrying}
	var sets [2][]store.Entry
	for i, place := range []store.Place{store.Scheduled, store.Retrying} {
		for e, err := range ui.store.Jobs(ctx, store.Query{Place: place, Limit: maxDue}) {
			if err != nil {
				return nil, err
			}
			if e.At.Before(now) {
				d.Overdue++
			}
			sets[i] = append(sets[i], e)
		}
		if n := len(sets[i]); n == maxDue {
			if last := sets[i][n-1].At; d.Until.IsZero() || last.Before(d.Until) {
				d.Until = last
			}
		}
	}
	d.Hour = d.chart("hour", "Due in the next hour", now.Truncate(time.Minute), 2*time.Minute, 30, sets)
	d.Day = d.chart("day", "Due in the next day", now.Truncate(30*time.Minute), 30*time.Minute, 48, sets)
	d.list(sets)
	return d, nil
}

// chart counts the jobs that are due in each step from then on; those that were due
// before count for the first. Steps of which not all are known are gaps.
func (d *due) chart(key, title string, from time.Time, step time.Duration, count int, sets [2][]store.Entry) *chart {
	c := &chart{Key: key, Title: title, From: from.UTC(), Step: step, Stacked: true, Unit: "in " + prose.Span(step),
		None: "Nothing is due until " + from.Add(step*time.Duration(count)).UTC().Format("15:04") + " UTC."}
	for i, name := range []string{"scheduled", "retry"} {
		l := layer{Name: name, Class: []string{"c-0", "c-3"}[i], Values: make([]float64, count)}
		for _, e := range sets[i] {
			if at := max(0, e.At.Sub(c.From)/step); at < time.Duration(count) {
				l.Values[at]++
			}
		}
		for at := range l.Values {
			if end := c.From.Add(step * time.Duration(at+1)); !d.Until.IsZero() && end.After(d.Until) && l.Values[at] == 0 {
				l.Values[at] = gap
			}
		}
		c.Layers = append(c.Layers, l)
	}
	c.Axis = upTo(c.highest())
	return c
}

// list merges the sets by time.
func (d *due) list(sets [2][]store.Entry) {
	front := slices.Concat(sets[0][:min(maxNext, len(sets[0]))], sets[1][:min(maxNext, len(sets[1]))])
	slices.SortStableFunc(front, func(a, b store.Entry) int { return a.At.Compare(b.At) })
	for _, e := range front[:min(maxNext, len(front))] {
		j := dueJob{Kind: "(cannot be read)", Queue: nameOf(e.Queue), Place: e.Place, At: e.At}
		if job, err := wire.Parse(e.Payload); err == nil {
			j.JID, j.Kind = job.JID, nameOf(job.Name())
		}
		d.Next = append(d.Next, j)
	}
}
