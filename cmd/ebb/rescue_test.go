package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

const lostID = store.Identity("host-3:7:0123456789ab")

// locking is a store whose leases prove that their process lives, as on SQLite.
type locking struct{ store.Store }

func (l locking) Describe() store.Description {
	d := l.Store.Describe()
	d.LeaseIsLock = true
	return d
}

// loseJobs makes a store in which a process took n jobs and was not heard of again.
func loseJobs(t *testing.T, n int) store.Store {
	t.Helper()
	ctx, s := t.Context(), memstore.New(memstore.Options{})
	beat(ctx, t, s, store.Presence{ID: lostID, Host: "host-3", State: "running"})
	for batch := range slices.Chunk(make([]int, n), store.MaxBatch) {
		var items []store.Item
		for range batch {
			items = append(items, store.Item{JID: "j", Queue: "q", Kind: "K", Payload: []byte(`{"class":"K","args":[],"jid":"j","queue":"q"}`)})
		}
		if _, err := s.Push(ctx, store.Call{}, items...); err != nil {
			t.Fatal(err)
		}
	}
	for seq := uint64(1); n > 0; seq++ {
		jobs, _, err := s.Fetch(ctx, store.Call{By: lostID, Lane: store.LaneFetch, Seq: seq}, store.Plan{Queues: []store.Share{{Queue: "q"}}}, n, 0)
		if err != nil || len(jobs) == 0 {
			t.Fatalf("fetched %d jobs, %v", len(jobs), err)
		}
		n -= len(jobs)
	}
	return s
}

func rescuingOn(s store.Store) *rescuing {
	a, _, _ := appOn(s)
	a.flags.yes = true
	return &rescuing{app: a, s: s, judge: rescue.Judge{By: "me:1:0123456789ab"}}
}

func TestRescueGivesBackAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 2*store.MaxBatch + 5
		s := loseJobs(t, n)
		r := rescuingOn(s)
		time.Sleep(2 * time.Minute)
		began := time.Now()
		if err := r.lapsed(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < settle || took > settle+time.Second {
			t.Errorf("it watched for %v, want %v", took, settle)
		}
		if len(r.rows) != n {
			t.Errorf("%d jobs are said to be given back, want %d", len(r.rows), n)
		}
		back := 0
		for entry, err := range s.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
			if err != nil {
				t.Fatal(err)
			}
			job, err := wire.Parse(entry.Payload)
			if err != nil || job.History.Interruptions != 1 || job.Count != -1 {
				t.Fatalf("%s: %v", entry.Payload, err)
			}
			back++
		}
		if back != n {
			t.Errorf("%d jobs are back, want %d", back, n)
		}
		if err := rescuingOn(s).lapsed(t.Context()); exitOf(err) != exitNothing {
			t.Errorf("a second rescue: %v", err)
		}
	})
}

func TestRescueIsQuickWhereALeaseIsALock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := rescuingOn(locking{loseJobs(t, 1)})
		time.Sleep(2 * time.Minute)
		began := time.Now()
		if err := r.lapsed(t.Context()); err != nil || len(r.rows) != 1 || time.Since(began) > 0 {
			t.Errorf("%v, %v, after %v", r.rows, err, time.Since(began))
		}
	})
}

func TestRescueSparesWhoComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := loseJobs(t, 1)
		r := rescuingOn(s)
		time.Sleep(2 * time.Minute)
		time.AfterFunc(settle/2, func() { beat(context.Background(), t, s, store.Presence{ID: lostID, State: "running"}) })
		if err := r.lapsed(t.Context()); exitOf(err) != exitNothing {
			t.Errorf("got %v", err)
		}
		if len(r.rows) > 0 {
			t.Error("the job of a living process was given back")
		}
	})
}

func TestRescueOfWhoLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := loseJobs(t, 1)
		if err := rescuingOn(locking{s}).witnessed(t.Context(), "host-3", nil); exitOf(err) != exitRefused {
			t.Errorf("where a lease is a lock: %v", err)
		}
		r := rescuingOn(s)
		if err := r.witnessed(t.Context(), "host-3", nil); err != nil || len(r.rows) != 1 || r.rows[0].Cause != "witnessed" {
			t.Errorf("elsewhere the witness counts: %v, %v", r.rows, err)
		}
	})
}

// A witness that knows how a suspect's process ended has the last word on it.
func TestRescueByAWitnessOfTheCause(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ fate, said string }{
		"":        {"delayed", "0 jobs given back to the front of the queue, 1 delayed"},
		"exit:2":  {"delayed", "0 jobs given back to the front of the queue, 1 delayed"},
		"SIGTERM": {"rescued", "1 job given back to the front of the queue"},
		"oom":     {"buried", "0 jobs given back to the front of the queue, 1 buried"},
		"SIGSEGV": {"buried", "0 jobs given back to the front of the queue, 1 buried"},
	} {
		t.Run("died of "+text, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, s := t.Context(), loseJobs(t, 1)
				for _, next := range []store.Identity{"host-4:8:0123456789ab", "host-5:9:0123456789ab"} {
					time.Sleep(20 * time.Minute)
					if err := rescuingOn(s).lapsed(ctx); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
					if _, _, err := s.Promote(ctx, store.Promotion{By: "me:1:0123456789ab"}); err != nil {
						t.Fatal(err)
					}
					beat(ctx, t, s, store.Presence{ID: next, Host: next.Host(), PID: next.PID(), State: "running"})
					call := store.Call{By: next, Lane: store.LaneFetch, Seq: 1}
					if jobs, _, err := s.Fetch(ctx, call, store.Plan{Queues: []store.Share{{Queue: "q"}}}, 1, 0); err != nil || len(jobs) != 1 {
						t.Fatalf("fetched %d jobs, %v", len(jobs), err)
					}
				}
				a, _, said := appOn(s)
				a.flags.yes = true
				died, err := death("host-5", text)
				if err != nil {
					t.Fatal(err)
				}
				r := &rescuing{app: a, s: s, judge: rescue.Judge{By: "me:1:0123456789ab"}}
				if err := r.witnessed(ctx, "host-5", died); err != nil || len(r.rows) != 1 || r.rows[0].Fate != want.fate {
					t.Errorf("%+v, %v", r.rows, err)
				}
				if !strings.Contains(said.String(), want.said+"\n") {
					t.Errorf("it said %q", said)
				}
			})
		})
	}
}

// breaking is a store that goes away after a rescue.
type breaking struct {
	store.Store
	left int
}

func (b *breaking) Rescue(ctx context.Context, g store.Salvage) (int, error) {
	if b.left--; b.left < 0 {
		return 0, store.ErrUnreachable
	}
	return b.Store.Rescue(ctx, g)
}

func TestRescueSaysWhatItDidBeforeItFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := loseJobs(t, store.MaxBatch+1)
		time.Sleep(2 * time.Minute)
		r := rescuingOn(&breaking{s, 1})
		if err := r.lapsed(t.Context()); !errors.Is(err, store.ErrUnreachable) {
			t.Errorf("got %v", err)
		}
		if len(r.rows) != store.MaxBatch {
			t.Errorf("%d jobs are said to be given back", len(r.rows))
		}
		for c, err := range s.Changes(t.Context()) {
			if err != nil || c.Verb != "rescue" || !c.Ended.IsZero() || !strings.HasPrefix(c.What, "lost processes: host-3:7") {
				t.Errorf("the audit trail says %+v, %v", c, err)
			}
		}
	})
}
