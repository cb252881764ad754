package web

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := now.Add(-5 * time.Minute)
	point := func(release string, r store.Runs) store.Point { return store.Point{At: at, Release: release, Runs: r} }
	t.Run("of nothing are a sentence", func(t *testing.T) {
		t.Parallel()
		body := seePage(t, open(t, Options{}), "/metrics", "Nothing ended in the last 1 h", "No process has stopped")
		if strings.Contains(body, `class="chart"`) {
			t.Error("it has axes of nothing")
		}
	})
	t.Run("tell kinds, queues and versions apart", func(t *testing.T) {
		t.Parallel()
		s := &pastStore{
			points: []store.Point{
				point("v1", runsOf("Mail", "low", 90, 9, 90*time.Millisecond, time.Second)),
				point("v2", runsOf(hostileName, "high", 10, 0, time.Hour, time.Second)),
				point("v2", store.Runs{Ended: 4}),
			},
			marks: []store.Mark{{At: at, Release: "v2"}},
			stops: []store.StopReport{
				{ID: "a:1:1", Ended: now, Jobs: []store.Fate{{JID: "a", Kind: "Report", Fate: "rescued", Wasted: 90 * time.Second}, {JID: "b", Kind: "Report", Fate: "handed back", Wasted: time.Second}, {JID: "c", Kind: "Mail", Fate: "finished"}}},
				{ID: "a:2:1", Ended: now.Add(-2 * time.Hour), Jobs: []store.Fate{{JID: "d", Kind: "TooOld", Fate: "rescued", Wasted: time.Hour}}},
			},
		}
		ui := openPast(t, s, Options{})
		body := seePage(t, ui, "/metrics", "10 %", "100 ms", "&gt; 335 s", "v2 began", "Two versions",
			`<bdi>Report</bdi></td><td class="num" data-label="jobs">2</td><td class="num" data-label="work done again">91 s`, "ebb_runs_failed_total", "(not known)")
		for _, bad := range []string{"<script>alert", "\u202e", "TooOld", "NaN"} {
			if strings.Contains(body, bad) {
				t.Errorf("%q stands in it", bad)
			}
		}
		seePage(t, ui, "/metrics?by=queue", `href="/queues/low"`, `href="/queues/high"`)
		seePage(t, ui, "/metrics?by=version&kind=Mail&range=1d", "Run times of Mail", "<bdi>v1</bdi>")
		seePage(t, ui, "/metrics?by=%00&kind=nobody&a=v9&b=v9&range=x", "Run times of Mail")
	})
	t.Run("of many names stay small", func(t *testing.T) {
		t.Parallel()
		s := &pastStore{}
		for i := range 72 {
			for kind := range 200 {
				r := runsOf(fmt.Sprintf("Kind%03d%s", kind, strings.Repeat("x", 100)), "q", int64(300-kind)%7+1, 1, time.Duration(i*kind)*time.Millisecond, time.Second)
				s.points = append(s.points, store.Point{At: now.Add(-time.Duration(i) * 20 * time.Minute), Release: fmt.Sprint("v", kind%3), Runs: r})
			}
		}
		body := seePage(t, openPast(t, s, Options{}), "/metrics?range=1d", "195 others", "150 others")
		if len(body) > 250_000 {
			t.Errorf("%d bytes", len(body))
		}
	})
}

// What is a part of a step counts for that part: the last bar of a chart does not drop.
func TestTheLastStepIsARateToo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 5, 0, 0, time.UTC)
	p := lastDay.until(now)
	p.Points = []store.Point{
		{At: now.Add(-time.Hour).Truncate(20 * time.Minute), Runs: store.Runs{Ended: 1200}},
		{At: now.Truncate(20 * time.Minute), Runs: store.Runs{Ended: 300}},
		{At: now.Add(-30 * 24 * time.Hour), Runs: store.Runs{Ended: 1e6}}, // before it all
	}
	c := p.doneAndFailed("k")
	values := c.Layers[0].Values
	if last, before := values[len(values)-1], values[len(values)-4]; math.Abs(last-before) > 1e-6 || last != 60 || c.Unit != "a minute" {
		t.Errorf("%v after %v %s", last, before, c.Unit)
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	if got := quoted(`a "b" \`); got != `"a \"b\" \\"` {
		t.Error(got)
	}
}
