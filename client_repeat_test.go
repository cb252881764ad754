package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

func TestALostReplyMakesNoSecondCopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		c, m := meddled(WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))
		m.after = first(3, errLost)
		job := Define[mail]("WelcomeJob")
		ref, err := job.Enqueue(t.Context(), c, mail{UserID: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := waiting(t, c, "default"); len(got) != 1 || !strings.Contains(got[0], ref.JID) {
			t.Errorf("waiting: %v", got)
		}
		if call := m.calls[0]; len(m.calls) != 4 || call != m.calls[3] {
			t.Errorf("calls %v, want four that are the same", m.calls)
		}
		if !strings.Contains(logged.String(), `msg="push repeated" attempt=4 jobs=1 jid=`+ref.JID) {
			t.Errorf("logged %q", &logged)
		}

		// The same where the store is away for a moment, and in a batch.
		m.before, m.after = first(5, store.ErrUnreachable), first(7, errLost)
		if _, err := job.EnqueueMany(t.Context(), c, make([]mail, 3), In(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := waiting(t, c, ""); len(got) != 3 {
			t.Errorf("%d scheduled, want 3", len(got))
		}
	})
}

func TestALateCopyOfAPushIsStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, m := meddled()
		job := Define[mail]("WelcomeJob")
		m.before = func(int) error { return errLost } // on its way, for long
		if _, err := job.Enqueue(t.Context(), c, mail{UserID: 1}); !errors.Is(err, ErrUncertain) {
			t.Fatalf("got error %v, want %v", err, ErrUncertain)
		}
		m.before = nil
		if _, err := job.Enqueue(t.Context(), c, mail{UserID: 2}); err != nil {
			t.Fatal(err)
		}
		_, err := m.Store.Push(t.Context(), m.calls[0], store.Item{JID: "late", Queue: "default", Kind: "WelcomeJob", Payload: []byte(`{}`)})
		if !errors.Is(err, store.ErrStale) {
			t.Errorf("a late copy got %v, want %v", err, store.ErrStale)
		}
		if got := waiting(t, c, "default"); len(got) != 1 || !strings.Contains(got[0], `"args":[2]`) {
			t.Errorf("waiting: %v", got)
		}
	})
}

func TestHowAFailedPushEnds(t *testing.T) {
	t.Parallel()
	always := func(err error) func(int) error { return func(int) error { return err } }
	for _, test := range []struct {
		name          string
		before, after func(int) error
		limit         time.Duration // of the context; 0 none
		want          error
		uncertain     bool
		took          [2]time.Duration
	}{
		{"out of reach", always(store.ErrUnreachable), nil, 0, store.ErrUnreachable, true, [2]time.Duration{2 * time.Second, pushBudget}},
		{"every reply lost", nil, always(errLost), 0, errLost, true, [2]time.Duration{2 * time.Second, pushBudget}},
		{"context ends first", always(errLost), nil, time.Second, context.DeadlineExceeded, true, [2]time.Duration{time.Second, time.Second}},
		{"context ends in the call", always(fmt.Errorf("sqlitestore: push: %w", context.DeadlineExceeded)), nil, time.Nanosecond,
			context.DeadlineExceeded, true, [2]time.Duration{time.Nanosecond, time.Nanosecond}},
		{"full", always(fmt.Errorf("redisstore: push: %w", store.ErrFull)), nil, 0, ErrFull, false, [2]time.Duration{}},
		{"read-only", always(store.ErrReadOnly), nil, 0, store.ErrReadOnly, false, [2]time.Duration{}},
		{"closed", always(store.ErrClosed), nil, 0, store.ErrClosed, true, [2]time.Duration{}},
		{"full after a lost reply", func(n int) error {
			if n > 1 {
				return store.ErrFull
			}
			return errLost
		}, nil, 0, ErrFull, true, [2]time.Duration{0, firstPause}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, m := meddled()
				m.before, m.after = test.before, test.after
				ctx := t.Context()
				if test.limit > 0 {
					limited, cancel := context.WithTimeout(ctx, test.limit)
					defer cancel()
					ctx = limited
				}
				begun := time.Now()
				ref, err := Define[mail]("WelcomeJob").Enqueue(ctx, c, mail{})
				took := time.Since(begun)
				if !errors.Is(err, test.want) || errors.Is(err, ErrUncertain) != test.uncertain {
					t.Errorf("got error %v, want %v, uncertain %v", err, test.want, test.uncertain)
				}
				if (ref.JID != "") != test.uncertain {
					t.Errorf("ref %+v with error %v", ref, err)
				}
				if took < test.took[0] || took > test.took[1] {
					t.Errorf("took %v, want %v", took, test.took)
				}
				if len(waiting(t, c, "default")) > 1 {
					t.Error("there is a second copy")
				}
			})
		})
	}
}

func TestEachCallUnderWayHasALane(t *testing.T) {
	t.Parallel()
	c, m := meddled()
	job := Define[int]("Count")
	for range 3 {
		if _, err := job.Enqueue(t.Context(), c, 1); err != nil {
			t.Fatal(err)
		}
	}
	id := m.calls[0].By
	want := []store.Call{{By: id, Lane: store.LanePush, Seq: 1}, {By: id, Lane: store.LanePush, Seq: 2}, {By: id, Lane: store.LanePush, Seq: 3}}
	if diff := cmp.Diff(want, m.calls); diff != "" {
		t.Errorf("one after the other (-want +got):\n%s", diff)
	}

	const callers = 8
	m.before = func(int) error { runtime.Gosched(); return nil }
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range 50 {
				if _, err := job.Enqueue(t.Context(), c, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[store.Call]bool{}
	for _, call := range m.calls {
		if seen[call] || call.Lane < store.LanePush || call.Lane >= store.LanePush+callers {
			t.Errorf("call %+v was made before, or its lane is one too many", call)
		}
		seen[call] = true
	}
	if got := len(waiting(t, c, "default")); got != 3+callers*50 {
		t.Errorf("%d jobs wait, want %d", got, 3+callers*50)
	}
}
