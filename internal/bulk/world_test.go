package bulk

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// world is a store with jobs in it.
type world struct {
	testing.TB
	store.Store
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st := memstore.New(memstore.Options{})
	t.Cleanup(func() { st.Close() })
	return &world{t, st}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) query(text string) *query.Query {
	w.Helper()
	q, err := query.Parse(text, time.Now())
	w.must(err)
	return q
}

func (w *world) payload(kind, jid, queue string) []byte {
	job := wire.New{Kind: kind, JID: jid, Queue: queue, CreatedAt: time.Now(), EnqueuedAt: time.Now(), Retry: wire.RetryTrue}
	return job.Append(nil)
}

// push puts jobs into a queue.
func (w *world) push(kind, queue string, jids ...string) {
	w.Helper()
	for batch := range slices.Chunk(jids, store.MaxBatch) {
		var items []store.Item
		for _, jid := range batch {
			items = append(items, store.Item{JID: jid, Queue: queue, Kind: kind, Payload: w.payload(kind, jid, queue)})
		}
		_, err := w.Push(w.Context(), store.Call{}, items...)
		w.must(err)
	}
}

// put puts jobs of one kind into a place; those of a set that waits have an hour
// between them.
func (w *world) put(place store.Place, kind, queue string, jids ...string) {
	w.Helper()
	w.push(kind, "limbo", jids...)
	var picks []store.Pick
	for e, err := range w.Jobs(w.Context(), store.Query{Place: store.Ready, Queue: "limbo"}) {
		w.must(err)
		jid, _ := wire.JIDOf(e.Payload)
		payload := w.payload(kind, jid, queue)
		if place == store.Retrying || place == store.Dead {
			job, err := wire.Parse(payload)
			w.must(err)
			payload = job.Failed(wire.Failure{Class: "CardError", Message: "declined", At: time.Now()})
		}
		pick := store.Pick{Key: e.Key, Payload: payload, Queue: queue}
		if place != store.Dead {
			pick.Delay = time.Duration(len(picks)+1) * time.Hour
		}
		picks = append(picks, pick)
	}
	for batch := range slices.Chunk(picks, store.MaxBatch) {
		_, err := w.Move(w.Context(), store.Undoable{}, place, batch...)
		w.must(err)
	}
}

// jids makes n jids.
func jids(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%06d", prefix, i)
	}
	return list
}

// all is every job, by place, queue, hour and bytes, in the order of each place.
func (w *world) all() (list []string) {
	w.Helper()
	for e, err := range (&query.Query{}).Find(w.Context(), w.Store, query.Search{}) {
		w.must(err)
		list = append(list, fmt.Sprintf("%v %s %s %s", e.Place, e.Queue, e.At.Format(time.RFC3339Nano), e.Payload))
	}
	return list
}

// count counts what a query matches.
func (w *world) count(text string) (n int64) {
	w.Helper()
	for _, err := range w.query(text).Find(w.Context(), w.Store, query.Search{}) {
		w.must(err)
		n++
	}
	return n
}

func (w *world) freeze(o Order) *Frozen {
	w.Helper()
	f, err := Freeze(w.Context(), w.Store, o, nil)
	w.must(err)
	return f
}

func (w *world) run(o Order) store.Change {
	w.Helper()
	c, err := w.freeze(o).Run(w.Context(), Options{})
	w.must(err)
	return c
}

// change reads what is recorded.
func (w *world) change(id string) store.Change {
	w.Helper()
	c, err := Lookup(w.Context(), w.Store, id)
	w.must(err)
	return c
}

// hold makes a process take n jobs of a queue.
func (w *world) hold(queue string, n int) store.Identity {
	w.Helper()
	id := store.NewIdentity()
	_, err := w.Beat(w.Context(), store.Presence{ID: id}, time.Hour)
	w.must(err)
	jobs, _, err := w.Fetch(w.Context(), store.Call{By: id, Lane: store.LaneFetch, Seq: 1}, store.Plan{Queues: []store.Share{{Queue: queue}}}, n, 0)
	w.must(err)
	if len(jobs) != n {
		w.Fatalf("took %d jobs of %d", len(jobs), n)
	}
	return id
}

// shifting is a store whose queues are walked by place in the line, so that taking
// jobs out of one makes a walk under way miss others.
type shifting struct{ store.Store }

func (s *shifting) Jobs(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	if q.Place != store.Ready {
		return s.Store.Jobs(ctx, q)
	}
	const page = 100
	return func(yield func(store.Entry, error) bool) {
		for from := 0; ; from += page {
			at, ended := 0, true
			var entries []store.Entry
			for e, err := range s.Store.Jobs(ctx, q) {
				if err != nil {
					yield(e, err)
					return
				}
				if at++; at > from+page {
					ended = false
					break
				} else if at > from {
					entries = append(entries, e)
				}
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if ended {
				return
			}
		}
	}
}
