package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// waiting starts a Fetch that waits, and returns once the server blocks it.
func (b *boot) waiting(ctx context.Context, server *redistest.Server, n int) (result func() ([]store.Held, store.Woken)) {
	b.t.Helper()
	type found struct {
		jobs  []store.Held
		woken store.Woken
		err   error
	}
	c := make(chan found, 1)
	call := b.call(store.LaneFetch)
	go func() {
		jobs, woken, err := b.Fetch(ctx, call, b.plan(), n, time.Minute)
		c <- found{jobs, woken, err}
	}()
	eventually(b.t, "blocking", func() bool { return blocked(server) >= len(b.queues) })
	return func() ([]store.Held, store.Woken) {
		b.t.Helper()
		select {
		case f := <-c:
			b.must(f.err)
			return f.jobs, f.woken
		case <-time.After(soon):
			b.t.Fatal("still waiting")
			return nil, 0
		}
	}
}

func blocked(server *redistest.Server) (n int) {
	fmt.Sscanf(field(server.Do("INFO", "clients"), "blocked_clients"), "%d", &n)
	return n
}

func TestWaitIsEndedAtOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func(t *testing.T, server *redistest.Server, b *boot, cancel func())
		jobs int
	}{
		{"by a push", func(t *testing.T, server *redistest.Server, b *boot, _ func()) {
			start(t, server.URL()).push("b", "1")
		}, 1},
		{"by Ruby's push", func(t *testing.T, server *redistest.Server, b *boot, _ func()) {
			server.Do("LPUSH", "queue:c", `{"class":"T","args":[]}`)
		}, 1},
		{"by the end of its context", func(_ *testing.T, _ *redistest.Server, _ *boot, cancel func()) { cancel() }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			b := start(t, server.URL(), "a", "b", "c")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := b.waiting(ctx, server, 10)
			began := time.Now()
			tt.end(t, server, b, cancel)
			jobs, _ := result()
			// It would look by itself only after two seconds.
			if took := time.Since(began); took > time.Second || len(jobs) != tt.jobs {
				t.Errorf("%d jobs after %v", len(jobs), took)
			}
			if n := blocked(server); n != 0 {
				t.Errorf("%d clients still block", n)
			}
		})
	}
}

func TestCloseEndsTheWait(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "a")
	done := make(chan error, 1)
	call := b.call(store.LaneFetch)
	go func() {
		_, _, err := b.Fetch(t.Context(), call, b.plan(), 1, time.Minute)
		done <- err
	}()
	eventually(t, "blocking", func() bool { return blocked(server) == 1 })
	b.must(b.Close())
	if err := <-done; err == nil {
		t.Error("a Fetch of a closed store succeeded")
	}
}

// One job wakes one of those who wait, and each of several jobs wakes another one.
func TestOneJobWakesOne(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	pusher := start(t, server.URL())
	const n = 3
	got := make(chan int, n)
	var wg sync.WaitGroup
	for range n {
		b := start(t, server.URL(), "a")
		call := b.call(store.LaneFetch)
		wg.Go(func() {
			jobs, _, err := b.Fetch(t.Context(), call, b.plan(), 1, time.Minute)
			if err != nil {
				t.Error(err)
			}
			got <- len(jobs)
		})
	}
	eventually(t, "blocking", func() bool { return blocked(server) == n })
	for i := range n {
		pusher.push("a", fmt.Sprint(i))
		if jobs := <-got; jobs != 1 {
			t.Errorf("woken for %d jobs", jobs)
		}
		if left := blocked(server); left != n-1-i {
			t.Errorf("%d still wait after %d jobs", left, i+1)
		}
	}
	wg.Wait()
}

// More queues than connections are worth: one connection is told of all.
func TestManyQueues(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var queues []string
	for i := range 20 {
		queues = append(queues, fmt.Sprint("q", i))
	}
	b, pusher := start(t, server.URL(), queues...), start(t, server.URL())
	for _, q := range []string{"q0", "q19", "q0"} {
		done := make(chan []store.Held, 1)
		go func() { done <- b.fetch(1) }()
		eventually(t, "tracking", func() bool { return field(server.Do("INFO", "clients"), "tracking_clients") == "1" })
		began := time.Now()
		pusher.push(q, "a")
		jobs := <-done
		// It would look by itself only after two seconds.
		if took := time.Since(began); jobs[0].Queue != q || took > time.Second {
			t.Errorf("fetched from %s, %v after a push to %s", jobs[0].Queue, took, q)
		}
	}
	if n := blocked(server); n != 0 {
		t.Errorf("%d clients block", n)
	}
	// Its context ends the wait as well.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if jobs, _, err := b.Fetch(ctx, b.call(store.LaneFetch), b.plan(), 1, time.Minute); err != nil || len(jobs) != 0 || time.Since(began) > time.Second {
		t.Errorf("%d jobs, %v, after %v", len(jobs), err, time.Since(began))
	}
}

// A job that was carried into an inbox, whose carrier then died, is fetched by
// whoever looks next, and is nowhere hidden when nobody of ebb is left.
func TestInboxOfTheDead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		then    func(t *testing.T, url string, b *boot)
		waiting bool // it is in the queue afterwards
	}{
		{"is emptied by the next fetch", func(t *testing.T, _ string, b *boot) { b.fetch(1) }, false},
		{"is emptied by Open", func(t *testing.T, url string, _ *boot) { open(t, url) }, true},
		{"is emptied by Leave", func(t *testing.T, _ string, b *boot) {
			b.must(b.Leave(t.Context(), b.call(store.LaneVerdict), store.Farewell{ID: b.id, Report: store.StopReport{ID: b.id}}))
		}, true},
		{"is emptied by a rescue", func(t *testing.T, url string, b *boot) {
			dead := start(t, url, "q")
			lost, err := b.Orphans(t.Context(), 10, dead.id)
			b.must(err)
			_, err = b.Rescue(t.Context(), store.Salvage{ID: dead.id, Cause: lost[0].Cause, Seen: lost[0].Seen})
			b.must(err)
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			b := start(t, server.URL(), "q")
			b.push("q", "first", "second")
			server.Do("LMOVE", "queue:q", "ebb:{queue:q}:inbox", "RIGHT", "LEFT")
			queues, err := b.Queues(t.Context())
			b.must(err)
			if queues[0].Waiting != 2 {
				t.Errorf("%d wait; the inbox counts", queues[0].Waiting)
			}
			tt.then(t, server.URL(), b)
			if got := server.Do("LLEN", "ebb:{queue:q}:inbox"); got != "0" {
				t.Errorf("%s in the inbox", got)
			}
			if tt.waiting {
				if got := server.Do("LRANGE", "queue:q", "-1", "-1"); got != string(items("q", "first")[0].Payload) {
					t.Errorf("in front is %s", got)
				}
			}
			b.balanced()
		})
	}
}

// Due jobs are in a waiting process's hands soon, also those that Ruby scheduled.
func TestPromotionIsPrompt(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b, promoter := start(t, server.URL(), "q"), start(t, server.URL())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for ctx.Err() == nil {
			_, next, err := promoter.Promote(ctx, store.Promotion{By: promoter.id})
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			select {
			case <-time.After(next):
			case <-ctx.Done():
			}
		}
	})
	for i := range 3 {
		result := b.waiting(t.Context(), server, 1)
		due := time.Now().Add(200 * time.Millisecond)
		score := fmt.Sprintf("%.6f", float64(due.UnixMicro())/1e6)
		server.Do("ZADD", "schedule", score, fmt.Sprintf(`{"class":"T","args":[%d],"queue":"q","jid":"%d"}`, i, i))
		jobs, _ := result()
		late := time.Since(due)
		t.Logf("in hand %v after it was due", late)
		if len(jobs) != 1 || late < 0 || late > 2*time.Second { // 0.1 s on an idle machine
			t.Errorf("%d jobs %v after they were due", len(jobs), late)
		}
	}
}
