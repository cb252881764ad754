package rescue

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

const ttl = 10 * time.Second

// hold lets a process fetch jobs with these payloads, which runs none of them.
func hold(t *testing.T, s *memstore.Store, id store.Identity, state string, payloads ...string) {
	t.Helper()
	if _, err := s.Beat(t.Context(), store.Presence{ID: id, State: state}, ttl); err != nil {
		t.Fatal(err)
	}
	for _, p := range payloads {
		if _, err := s.Push(t.Context(), store.Call{}, store.Item{JID: "1", Queue: "q", Kind: "K", Payload: []byte(p)}); err != nil {
			t.Fatal(err)
		}
	}
	call := store.Call{By: id, Lane: store.LaneFetch, Seq: 1}
	held, _, err := s.Fetch(t.Context(), call, store.Plan{Queues: []store.Share{{Queue: "q"}}}, len(payloads), 0)
	if err != nil || len(held) != len(payloads) {
		t.Fatalf("fetched %d, %v", len(held), err)
	}
}

// ready are the payloads in the queue, from its front.
func ready(t *testing.T, s *memstore.Store) (payloads []string) {
	t.Helper()
	for e, err := range s.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, string(e.Payload))
	}
	return payloads
}

// rescuing runs a loop until the test ends.
func rescuing(t *testing.T, s *memstore.Store, by store.Identity, steady bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	l := &Loop{
		Keeper: s, Stops: s.Stops, Log: slog.New(slog.DiscardHandler), By: by, Steady: func() bool { return steady },
		Note: func(_ time.Time, err error) {
			if err != nil {
				t.Error(err)
			}
		},
	}
	go func() { defer close(done); l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func TestRescue(t *testing.T) {
	t.Parallel()
	const plain = `{"class":"K","args":[12345678901234567890],"jid":"1","custom":{"b": 1 , "a":2}}`
	for name, tt := range map[string]struct {
		payload string
		leave   bool
		by      store.Identity
		steady  bool
		want    wire.History // less the moments; zero with intact or held
		intact  bool
		held    bool
	}{
		"lapsed":           {payload: plain, steady: true, want: wire.History{Interruptions: 1, Crashes: 1, Events: []wire.Event{{What: "rescued", Cause: "crash", By: "by:1:x", Note: "dead:1:x"}}}},
		"left":             {payload: plain, leave: true, want: wire.History{Interruptions: 1, Events: []wire.Event{{What: "rescued", Cause: "deploy", By: "by:1:x", Note: "dead:1:x"}}}},
		"lapsed, in doubt": {payload: plain, held: true},
		"its own":          {payload: plain, by: "dead:1:x", steady: true, held: true},
		"unreadable":       {payload: `not json`, steady: true, intact: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New(memstore.Options{})
				hold(t, s, "dead:1:x", "running", tt.payload)
				if tt.leave {
					orders, err := s.Beat(t.Context(), store.Presence{ID: "dead:1:x"}, ttl)
					if err != nil || len(orders.Unknown) != 1 {
						t.Fatalf("%+v, %v", orders, err)
					}
					f := store.Farewell{ID: "dead:1:x", Deaf: []store.Token{orders.Unknown[0].Token}}
					if err := s.Leave(t.Context(), store.Call{By: "dead:1:x", Seq: 1}, f); err != nil {
						t.Fatal(err)
					}
				}
				by := tt.by
				if by == "" {
					by = "by:1:x"
				}
				rescuing(t, s, by, tt.steady)
				if time.Sleep(2 * time.Second); !tt.leave && len(ready(t, s)) > 0 {
					t.Error("rescued while the lease went on")
				}
				time.Sleep(ttl)
				got := ready(t, s)
				if tt.held {
					if len(got) > 0 {
						t.Errorf("rescued %v", got)
					}
					return
				}
				if len(got) != 1 {
					t.Fatalf("%d jobs in the queue, want 1", len(got))
				}
				if tt.intact {
					if got[0] != tt.payload {
						t.Errorf("payload is now %s", got[0])
					}
					return
				}
				job, err := wire.Parse([]byte(got[0]))
				if err != nil {
					t.Fatal(err)
				}
				for i := range job.History.Events {
					job.History.Events[i].At = time.Time{}
				}
				if diff := cmp.Diff(tt.want, job.History); diff != "" {
					t.Errorf("history (-want +got):\n%s", diff)
				}
				var p wire.Patch
				p.Delete("ebb")
				p.Delete("enqueued_at")
				if rest := string(job.With(&p)); rest != plain {
					t.Errorf("other bytes changed: %s", rest)
				}
			})
		})
	}
}

func TestAWaveIsRescuedWithoutPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		const lost = 5 * most
		for i := range lost {
			hold(t, s, store.Identity("dead:"+string(rune('A'+i))+":x"), "running", `{"class":"K","args":[],"jid":"1"}`)
		}
		time.Sleep(ttl)
		began := time.Now()
		rescuing(t, s, "by:1:x", true)
		synctest.Wait()
		if n := len(ready(t, s)); n != lost || time.Since(began) != 0 {
			t.Errorf("%d rescued after %v, want %d at once", n, time.Since(began), lost)
		}
	})
}
