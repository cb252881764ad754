package web

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func schedule(t *testing.T, s store.Enqueuer, n int, kind string, in time.Duration) {
	t.Helper()
	items := make([]store.Item, n)
	for i := range items {
		jid := fmt.Sprintf("%024x", i)
		items[i] = store.Item{JID: jid, Queue: "q", Kind: kind, Delay: in, Payload: fmt.Appendf(nil, `{"jid":%q,"class":%q,"args":[],"queue":"q"}`, jid, kind)}
	}
	if _, err := s.Schedule(t.Context(), store.Call{}, items...); err != nil {
		t.Fatal(err)
	}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	ui := open(t, Options{})
	seePage(t, ui, "/schedule", "Nothing is scheduled")

	ui = open(t, Options{})
	schedule(t, ui.store, 3, "Mail<b>", 10*time.Minute)
	if _, err := ui.store.Schedule(t.Context(), store.Call{}, store.Item{JID: "x", Queue: "q", Delay: time.Minute, Payload: []byte("\xffno JSON")}); err != nil {
		t.Fatal(err)
	}
	body := seePage(t, ui, "/schedule", "4 jobs scheduled", "Mail&lt;b&gt;", `href="/jobs/000000000000000000000002"`, "(cannot be read)", "Due in the next hour", "scheduled 3, retry 0 in 2 min")
	if strings.Contains(body, "at least") {
		t.Error("all of it was counted")
	}

	ui = open(t, Options{})
	schedule(t, ui.store, maxDue, "Mail", 10*time.Minute)
	schedule(t, ui.store, 5, "Later", 20*time.Minute)
	body = seePage(t, ui, "/schedule", "1,005 jobs scheduled", "at least as much as is drawn")
	if n := strings.Count(body, `data-label="kind"`); n != maxNext {
		t.Errorf("%d rows", n)
	}
	if len(body) > 60_000 {
		t.Errorf("%d bytes", len(body))
	}
}

// Behind the last job that was counted nothing is drawn as if it were nothing.
func TestWhatWasNotCountedIsAGap(t *testing.T) {
	t.Parallel()
	d := &due{Until: midday.Add(5 * time.Minute)}
	entries := []store.Entry{{At: midday.Add(-time.Hour)}, {At: midday.Add(time.Minute)}, {At: midday.Add(5 * time.Minute)}, {At: midday.Add(time.Hour)}}
	c := d.chart("k", "t", midday, 2*time.Minute, 5, [2][]store.Entry{entries, nil})
	if v := c.Layers[0].Values; v[0] != 2 || v[1] != 0 || v[2] != 1 || !math.IsNaN(v[3]) || !math.IsNaN(v[4]) {
		t.Errorf("%v", v)
	}
	if v := c.Layers[1].Values; v[1] != 0 || !math.IsNaN(v[2]) {
		t.Errorf("retry: %v", v)
	}
}
