package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/store/storetest"
	"github.com/ebbjobs/ebb/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testBeat = 750 * time.Millisecond
	testTTL  = 12 * time.Second
)

// world is a store in memory and what processes do with it. It lives in a bubble,
// so that hours take no time, and a goroutine that is left fails the test.
type world struct {
	*testing.T
	mem   *memstore.Store
	flaky *storetest.Flaky
	log   *logged
	seq   int
}

// inWorld runs test in a bubble of its own.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New(memstore.Options{})
		w := &world{T: t, mem: mem, flaky: storetest.NewFlaky(mem), log: &logged{}}
		test(w)
		w.checkBooks()
	})
}

// logged keeps what was logged.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// push puts a job into the queue "default" and returns its jid.
func (w *world) push(kind string, change ...func(*wire.New)) string {
	w.Helper()
	w.seq++
	n := wire.New{Kind: kind, JID: fmt.Sprintf("%024x", w.seq), Queue: "default", Args: []byte(`[9007199254740993]`)}
	for _, c := range change {
		c(&n)
	}
	item := store.Item{JID: n.JID, Queue: n.Queue, Kind: kind, Payload: n.Append(nil)}
	if _, err := w.mem.Push(w.Context(), store.Call{}, item); err != nil {
		w.Fatal(err)
	}
	return n.JID
}

// options are those of a process with ten slots for "default".
func (w *world) options(handlers map[string]func(context.Context, *wire.Job) error) Options {
	o := Options{
		Store: w.flaky, ID: store.NewIdentity(), Log: slog.New(slog.NewTextHandler(w.log, nil)),
		Groups:   []store.Group{{Name: "default", Strict: true, Concurrency: 10, Queues: []store.Share{{Queue: "default"}}}},
		Handlers: map[string]*Handler{},
		Stop:     lifecycle.Config{Grace: 30 * time.Second},
		Beat:     testBeat, TTL: testTTL, Poll: 5 * time.Second,
	}
	for kind, run := range handlers {
		o.Handlers[kind] = &Handler{Run: run}
	}
	return o
}

// process is a runner under way.
type process struct {
	*Runner
	w    *world
	stop context.CancelFunc
}

// start starts a process.
func (w *world) start(o Options) *process {
	w.Helper()
	r, err := New(o)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.Context())
	go r.Run(ctx)
	return &process{r, w, cancel}
}

// run starts a process with these handlers.
func (w *world) run(handlers map[string]func(context.Context, *wire.Job) error) *process {
	w.Helper()
	return w.start(w.options(handlers))
}

// end stops the process and waits until it has left.
func (p *process) end() store.StopReport {
	p.w.Helper()
	p.stop()
	<-p.Done()
	if err := p.Err(); err != nil {
		p.w.Errorf("Run returned %v", err)
	}
	return p.Report()
}

// entry finds the only job of this jid, and where it is.
func (w *world) entry(jid string) (*wire.Job, store.Place) {
	w.Helper()
	for place := store.Ready; place <= store.Dead; place++ {
		q := store.Query{Place: place, JID: jid}
		if place == store.Ready {
			q.Queue = "default"
		}
		for e, err := range w.mem.Jobs(w.Context(), q) {
			if err != nil {
				w.Fatal(err)
			}
			job, err := wire.Parse(e.Payload)
			if err != nil {
				w.Fatal(err)
			}
			return job, place
		}
	}
	return nil, -1
}

func (w *world) stats() store.Stats {
	w.Helper()
	stats, err := w.mem.Stats(context.WithoutCancel(w.Context()))
	if err != nil {
		w.Fatal(err)
	}
	return stats
}

func (w *world) book() store.Books {
	w.Helper()
	stats := w.stats()
	if len(stats.Books) == 0 {
		return store.Books{}
	}
	return stats.Books[0]
}

func (w *world) checkBooks() {
	w.Helper()
	for _, b := range w.stats().Books {
		if b.Custody() != 0 || b.Arrivals() != 0 {
			w.Errorf("the books do not balance: custody %d, arrivals %d: %+v", b.Custody(), b.Arrivals(), b)
		}
	}
}

// stopReport returns the only report there is, as people read it.
func (w *world) stopReport() store.StopReport {
	w.Helper()
	var parts []store.StopReport
	for report, err := range w.mem.Stops(w.Context()) {
		if err != nil {
			w.Fatal(err)
		}
		parts = append(parts, report)
	}
	if len(parts) != 1 {
		w.Fatalf("%d stop reports, want 1", len(parts))
	}
	return parts[0]
}

func fates(r store.StopReport) map[string][]string {
	byJID := map[string][]string{}
	for _, f := range r.Jobs {
		byJID[f.JID] = append(byJID[f.JID], f.Fate)
	}
	return byJID
}

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var errBoom = errors.New("boom")
