package web

import (
	"context"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

// pastStore is a store that remembers what a test says of the past, and has what a real one
// has of everything else.
type pastStore struct {
	*memstore.Store
	points []store.Point
	marks  []store.Mark
	stops  []store.StopReport
}

func (s *pastStore) Series(_ context.Context, q store.SeriesQuery) ([]store.Point, error) {
	var points []store.Point
	for _, p := range s.points {
		if q.Step.Start(p.At).Before(q.From) || q.Kind != "" && q.Kind != p.Kind {
			continue
		}
		p.At = q.Step.Start(p.At)
		if q.Step.Total() {
			p.Kind, p.Queue, p.Release = "", "", ""
		}
		points = append(points, p)
	}
	return points, nil
}

func (s *pastStore) Marks(_ context.Context, since time.Time) (marks []store.Mark, _ error) {
	for _, m := range s.marks {
		if !m.At.Before(since) {
			marks = append(marks, m)
		}
	}
	return marks, nil
}

func (s *pastStore) Stops(context.Context) iter.Seq2[store.StopReport, error] {
	return func(yield func(store.StopReport, error) bool) {
		for _, r := range s.stops {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// runsOf are n runs, of which some failed, that took and waited so long.
func runsOf(kind, queue string, n, failed int64, took, waited time.Duration) store.Runs {
	r := store.Runs{Kind: kind, Queue: queue, Ended: n, Failed: failed, Took: time.Duration(n) * took, Waited: time.Duration(n) * waited}
	for range n - failed {
		r.Spread.Add(took)
	}
	for range n {
		r.Waits.Add(waited)
	}
	return r
}

// openPast returns the pages of a store with such a past.
func openPast(t *testing.T, s *pastStore, opt Options) *UI {
	t.Helper()
	s.Store = memstore.New(memstore.Options{})
	t.Cleanup(func() { s.Close() })
	ui, err := New(ebb.NewClient(s), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ui.Close() })
	return ui
}

// seePage asks for a page and returns it. It reports whatever does not stand in it.
func seePage(t *testing.T, ui http.Handler, target string, want ...string) string {
	t.Helper()
	w := ask(ui, "GET", target)
	body := w.Body.String()
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", target, w.Code, body)
	}
	for _, text := range want {
		if !strings.Contains(body, text) {
			t.Errorf("%s lacks %q:\n%s", target, text, body)
		}
	}
	return body
}

// hostileName is a name that somebody gave a job to see what it does to a page.
const hostileName = `<script>alert(1)</script>"'&` + "\u202e\x1b[2J\xff"

func pushKind(t *testing.T, s store.Enqueuer, queue, kind string) {
	t.Helper()
	payload := `{"jid":"0123456789abcdef01234567","class":"` + kind + `","args":[],"queue":"` + queue + `"}`
	if _, err := s.Push(t.Context(), store.Call{}, store.Item{JID: "0123456789abcdef01234567", Queue: queue, Kind: kind, Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
}

func TestOverview(t *testing.T) {
	t.Parallel()
	now := time.Now()
	t.Run("of an empty store is how to begin", func(t *testing.T) {
		t.Parallel()
		body := seePage(t, open(t, Options{}), "/", "Nothing is here yet", "ebb enqueue", "ebb work")
		if strings.Contains(body, `class="chart"`) || strings.Contains(body, `class="cards"`) {
			t.Error("it has axes or cards of nothing")
		}
	})
	t.Run("begins with a sentence", func(t *testing.T) {
		t.Parallel()
		s := &pastStore{
			points: []store.Point{{At: now.Add(-30 * time.Second), Runs: runsOf("Mail", "default", 40, 1, time.Second, time.Millisecond)}},
			marks:  []store.Mark{{At: now.Add(-2 * time.Minute), Release: hostileName}},
			stops: []store.StopReport{{ID: "host-1:7:0123456789ab", Release: "v1", Reason: "SIGTERM", Began: now.Add(-time.Hour), Ended: now.Add(-time.Hour + time.Second),
				Phases: []store.Phase{{Name: "draining", InFlight: 2}}, Jobs: []store.Fate{{JID: "a", Fate: "finished"}}}},
		}
		ui := openPast(t, s, Options{})
		pushKind(t, s, "mail", "Mail")
		body := seePage(t, ui, "/", "<h1", "Nobody works: 1 job waits, no process lives", ">39<", "2.5 %", "host-1:7 stopped", `<a class="big bad-text" href="/stops">1</a>`, `aria-current="true">5 min`)
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "\u202e") {
			t.Error("a name does what it wants")
		}
		if strings.Count(body, "<h1") != 1 {
			t.Error("not one h1")
		}
	})
	t.Run("says that only days are counted", func(t *testing.T) {
		t.Parallel()
		s := &daysOnly{pastStore{points: []store.Point{{At: now, Runs: store.Runs{Ended: 10, Failed: 2}}}}}
		s.Store = memstore.New(memstore.Options{})
		t.Cleanup(func() { s.Close() })
		ui, err := New(ebb.NewClient(s), Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ui.Close() })
		seePage(t, ui, "/?range=1h", "only whole days are counted", "a day", "done 8, failed 2 a day")
	})
	t.Run("of every reach", func(t *testing.T) {
		t.Parallel()
		s := &pastStore{points: []store.Point{{At: now.Add(-90 * time.Second), Runs: runsOf("Mail", "default", 3000, 0, time.Second, time.Second)}}}
		ui := openPast(t, s, Options{})
		for _, r := range overviewReaches {
			body := seePage(t, ui, "/?range="+r.Name, `aria-current="true">`+r.Words, "done")
			if len(body) > 60_000 {
				t.Errorf("%s: %d bytes", r.Name, len(body))
			}
		}
		seePage(t, ui, "/?range=nonsense", `aria-current="true">5 min`)
	})
}

// daysOnly is a store in which only days are counted.
type daysOnly struct{ pastStore }

func (s *daysOnly) Series(ctx context.Context, q store.SeriesQuery) ([]store.Point, error) {
	if q.Step != store.Day {
		return nil, nil
	}
	return s.pastStore.Series(ctx, q)
}

func TestLookout(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := &lookout{}
	for i := range 100 {
		at := now.Add(time.Duration(i-99) * time.Second * 10)
		w.sample(sample{at: at, processed: int64(10 * i), failed: int64(i), ready: int64(i)})
		w.sample(sample{at: at.Add(time.Second), processed: 1e6}) // too early
	}
	if len(w.samples) != lastMinutes.Count+1 {
		t.Errorf("%d samples are kept", len(w.samples))
	}
	p := w.filled(lastMinutes.until(now))
	if n := p.total(nil); n.Ended != 29*10 && n.Ended != 30*10 {
		t.Errorf("%d ended", n.Ended)
	}
	if values := w.waiting(now); values[len(values)-1] != 99 {
		t.Errorf("waiting: %v", values)
	}
	w.samples = append(w.samples[:0], sample{at: now.Add(-4 * time.Minute)}, sample{at: now, processed: 500})
	if n := w.filled(lastMinutes.until(now.Add(apart))).total(nil); n.Ended != 0 {
		t.Errorf("%d ended while nobody looked", n.Ended)
	}
	counted := lastMinutes.until(now)
	counted.Points = []store.Point{{At: now.Add(-time.Minute), Runs: store.Runs{Ended: 7}}}
	if n := w.filled(counted).total(nil); n.Ended != 7 {
		t.Errorf("%d: what the store counts is the truth", n.Ended)
	}
}

func TestWay(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"queue": "/queues/a%2Fb%3F", "process": "/processes/a%2Fb%3F", "stop": "/stops/a%2Fb%3F", "store": "/doctor", "books": "/queues",
		"error": "/jobs?group=a%2Fb%3F&state=retry",
	} {
		if got := new(summary).Way(fleet.Need{Kind: kind, ID: "a/b?"}); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}
