package sqlitestore

import (
	"fmt"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func testItem(jid string) store.Item {
	return store.Item{JID: jid, Queue: "q", Kind: "Test", Payload: fmt.Appendf(nil, `{"class":"Test","args":[],"queue":"q","jid":%q}`, jid)}
}

func mustPush(t testing.TB, s *Store, jids ...string) {
	t.Helper()
	items := make([]store.Item, len(jids))
	for i, jid := range jids {
		items[i] = testItem(jid)
	}
	if _, err := s.Push(t.Context(), store.Call{}, items...); err != nil {
		t.Fatal(err)
	}
}

// ready returns the payloads that wait in q.
func ready(t testing.TB, s *Store) (payloads []string) {
	t.Helper()
	for e, err := range s.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, string(e.Payload))
	}
	return payloads
}

// worker is a registered process.
type worker struct {
	*Store
	t   testing.TB
	id  store.Identity
	seq uint64
}

func register(t testing.TB, s *Store) *worker {
	t.Helper()
	w := &worker{Store: s, t: t, id: store.NewIdentity()}
	w.beat()
	return w
}

func (w *worker) beat() store.Orders {
	w.t.Helper()
	o, err := w.Beat(w.t.Context(), store.Presence{ID: w.id}, time.Minute)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *worker) call(lane int) store.Call {
	w.seq++
	return store.Call{By: w.id, Lane: lane, Seq: w.seq}
}

var planQ = store.Plan{Queues: []store.Share{{Queue: "q"}}}

func (w *worker) fetch(n int) []store.Held {
	w.t.Helper()
	jobs, _, err := w.Fetch(w.t.Context(), w.call(store.LaneFetch), planQ, n, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return jobs
}

func donesOf(jobs []store.Held) []store.Done {
	done := make([]store.Done, len(jobs))
	for i, j := range jobs {
		done[i].Token = j.Token
	}
	return done
}

func latersOf(jobs []store.Held) []store.Later {
	later := make([]store.Later, len(jobs))
	for i, j := range jobs {
		later[i].Token = j.Token
	}
	return later
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
