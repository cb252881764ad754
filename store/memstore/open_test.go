package memstore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

func open(t *testing.T, url string) store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func push(t *testing.T, st store.Store, queue string) {
	t.Helper()
	if _, err := st.Push(t.Context(), store.Call{}, store.Item{JID: "a", Queue: queue, Payload: []byte(`{"jid":"a"}`)}); err != nil {
		t.Fatal(err)
	}
}

func ready(t *testing.T, st store.Store) int64 {
	t.Helper()
	stats, err := st.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Ready
}

func TestOpen(t *testing.T) {
	t.Parallel()

	t.Run("without a name is a store of one's own", func(t *testing.T) {
		t.Parallel()
		a, b := open(t, "mem:"), open(t, "mem:")
		push(t, a, "q")
		if n := ready(t, b); n != 0 {
			t.Errorf("the other store has %d jobs", n)
		}
	})

	t.Run("with a name is shared until the last has closed it", func(t *testing.T) {
		t.Parallel()
		a, b, other := open(t, "mem:shared"), open(t, "mem:shared"), open(t, "mem:other")
		push(t, a, "q")
		if n := ready(t, b); n != 1 {
			t.Errorf("the same store has %d jobs, want 1", n)
		}
		if n := ready(t, other); n != 0 {
			t.Errorf("another name has %d jobs", n)
		}
		if url := b.Describe().URL; url != "mem:shared" {
			t.Errorf("described as %q", url)
		}
		a.Close()
		a.Close() // counts once
		if n := ready(t, open(t, "mem:shared")); n != 1 {
			t.Errorf("after one Close it has %d jobs, want 1", n)
		}
	})

	t.Run("after the last Close is empty", func(t *testing.T) {
		t.Parallel()
		a := open(t, "mem:again")
		push(t, a, "q")
		a.Close()
		if n := ready(t, open(t, "mem:again")); n != 0 {
			t.Errorf("%d jobs are still there", n)
		}
	})

	t.Run("of what is no name fails with a hint", func(t *testing.T) {
		t.Parallel()
		for _, url := range []string{"mem://", "mem:a?b=c", "mem:/a"} {
			if _, err := store.Open(t.Context(), url); err == nil || store.Hint(err) == "" {
				t.Errorf("%s: error %v with hint %q", url, err, store.Hint(err))
			}
		}
	})
}

// In a bubble the store's time is the bubble's, a Fetch that waits lets it go on,
// and nothing is left running.
func TestBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(memstore.Options{})
		defer st.Close()
		ctx, began := t.Context(), time.Now()
		id := store.NewIdentity()
		beat := func() store.Orders {
			o, err := st.Beat(ctx, store.Presence{ID: id}, 24*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		fetch := func(ctx context.Context, wait time.Duration) ([]store.Held, store.Woken, error) {
			return st.Fetch(ctx, store.Call{By: id}, store.Plan{Queues: []store.Share{{Queue: "q"}}}, 5, wait)
		}
		beat()

		if jobs, woken, err := fetch(ctx, time.Hour); err != nil || woken != store.Idle || len(jobs) != 0 {
			t.Errorf("idle fetch: %v, %v, %v", jobs, woken, err)
		}
		if took := time.Since(began); took != time.Hour {
			t.Errorf("waited %v, want 1h", took)
		}

		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if _, _, err := fetch(short, time.Hour); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Hour+time.Minute {
			t.Errorf("came back after %v, want with its context", took)
		}

		if _, err := st.Schedule(ctx, store.Call{}, store.Item{JID: "a", Queue: "q", Payload: []byte(`{}`), Delay: 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
		due := time.Now().Add(10 * time.Second)
		go func() {
			for {
				moved, next, err := st.Promote(ctx, store.Promotion{By: id})
				if err != nil || moved == 1 {
					return
				}
				time.Sleep(next)
			}
		}()
		jobs, woken, err := fetch(ctx, time.Hour)
		if err != nil || woken != store.Pushed || len(jobs) != 1 {
			t.Errorf("fetch of a due job: %v, %v, %v", jobs, woken, err)
		}
		if late := time.Since(due); late < 0 || late > time.Millisecond {
			t.Errorf("the job came %v after it was due", late)
		}

		time.Sleep(25 * time.Hour)
		if _, _, err := fetch(ctx, 0); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("fetch after the lease: %v", err)
		}
		if !beat().Renewed {
			t.Error("a lease that had ended was not renewed")
		}

		closed := make(chan error)
		go func() { _, _, err := fetch(ctx, time.Hour); closed <- err }()
		synctest.Wait()
		st.Close()
		if err := <-closed; !errors.Is(err, store.ErrClosed) {
			t.Errorf("fetch on a store that was closed: %v", err)
		}
	})
}

// A promoter that sleeps as long as it is told is never late, also for a job that
// was scheduled while it slept.
func TestPromoteComesAgainInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(memstore.Options{})
		defer st.Close()
		for _, c := range []struct {
			name  string
			delay time.Duration
			want  time.Duration
		}{
			{"far away", time.Hour, 50 * time.Millisecond},
			{"near", 7 * time.Millisecond, 7 * time.Millisecond},
		} {
			if _, err := st.Schedule(t.Context(), store.Call{}, store.Item{JID: c.name, Queue: "q", Payload: []byte(`{}`), Delay: c.delay}); err != nil {
				t.Fatal(err)
			}
			if _, next, err := st.Promote(t.Context(), store.Promotion{}); err != nil || next != c.want {
				t.Errorf("%s: next in %v, %v; want %v", c.name, next, err, c.want)
			}
		}
	})
}
