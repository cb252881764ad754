package faulttest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

// visit is a job that takes a moment, in whichever queue it is put.
var visit = ebb.Define[time.Duration]("Visit")

// visits is what a process ran, by queue and in order.
type visits struct {
	mu      sync.Mutex
	order   []string
	running map[string]int
	most    map[string]int // of running
}

func (v *visits) handle(p *ebb.Process) {
	v.running, v.most = map[string]int{}, map[string]int{}
	visit.Handle(p, func(ctx context.Context, d time.Duration) error {
		queue := ebb.Info(ctx).Queue
		v.mu.Lock()
		v.order = append(v.order, queue)
		v.running[queue]++
		v.most[queue] = max(v.most[queue], v.running[queue])
		v.mu.Unlock()
		stopping, _ := ebb.Stopping(ctx)
		select {
		case <-time.After(d):
		case <-stopping:
		}
		v.mu.Lock()
		v.running[queue]--
		v.mu.Unlock()
		return nil
	})
}

func (v *visits) begun(queue string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, q := range v.order {
		if q == queue {
			n++
		}
	}
	return n
}

func (s *site) visit(queue string, n int, d time.Duration) {
	s.Helper()
	_, err := visit.EnqueueMany(s.Context(), s.client, slices.Repeat([]time.Duration{d}, n), ebb.Queue(queue))
	s.must(err)
}

func TestStrictQueuesGoInOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(s *site) {
		for _, queue := range []string{"low", "middle", "high"} {
			s.visit(queue, 15, 0)
		}
		var v visits
		s.worker(ebb.Config{Concurrency: 1, Queues: []string{"high", "middle", "low"}}, v.handle)
		s.rest()
		want := strings.Repeat("high ", 15) + strings.Repeat("middle ", 15) + strings.Repeat("low ", 15)
		if got := strings.Join(v.order, " ") + " "; got != want {
			t.Errorf("ran %s", got)
		}
	})
}

func TestWeightsShareOut(t *testing.T) {
	t.Parallel()
	onEach(t, func(s *site) {
		const each, look = 120, 100
		for _, queue := range []string{"one", "three"} {
			s.visit(queue, each, 0)
		}
		var v visits
		s.worker(ebb.Config{Concurrency: 1, Queues: []string{"one", "three"}, Weights: map[string]int{"three": 3}}, v.handle)
		s.rest()
		threes := 0
		for _, queue := range v.order[:look] {
			if queue == "three" {
				threes++
			}
		}
		// 75 are likely, and more than five standard deviations off are not.
		if threes < 52 || threes > 98 {
			t.Errorf("%d of the first %d came from the queue of weight 3 of 4", threes, look)
		}
		if len(v.order) != 2*each {
			t.Errorf("%d runs", len(v.order))
		}
	})
}

func TestGroupsDoNotTakeEachOthersSlots(t *testing.T) {
	t.Parallel()
	onEach(t, func(s *site) {
		var v visits
		s.worker(ebb.Config{
			Queues: []string{"web"}, Concurrency: 3,
			Groups: []ebb.Group{{Queues: []string{"reports", "exports"}, Concurrency: 2}},
		}, v.handle)
		s.visit("reports", 2, time.Minute)
		s.await("reports", func() bool { return v.begun("reports") == 2 })
		s.visit("exports", 1, 0)
		s.visit("web", 30, 5*time.Millisecond)
		s.await("web", func() bool { return v.begun("web") == 30 })
		v.mu.Lock()
		defer v.mu.Unlock()
		if slices.Contains(v.order, "exports") {
			t.Error("a job began although both slots of its group were taken")
		}
		if v.most["web"] != 3 {
			t.Errorf("at most %d jobs of web ran at once, of 3", v.most["web"])
		}
	})
}

func TestAPausedQueueStops(t *testing.T) {
	t.Parallel()
	onEach(t, func(s *site) {
		const beat = 500 * time.Millisecond
		var v visits
		s.worker(ebb.Config{
			Concurrency: 2, Queues: []string{"paused", "other"},
			Lease: ebb.LeaseConfig{TTL: lease, Beat: beat},
		}, v.handle)
		const many = 150
		s.visit("paused", many, 10*time.Millisecond)
		s.await("some jobs", func() bool { return v.begun("paused") >= 5 })
		pause := func(paused bool) { s.must(s.client.Store().Pause(s.Context(), "paused", paused)) }
		pause(true)
		<-time.After(beat)
		stopped := v.begun("paused")
		s.visit("paused", 1, 0)
		s.visit("other", 20, 10*time.Millisecond) // takes longer than a few beats, and goes on
		s.await("other jobs", func() bool { return v.begun("other") == 20 })
		if n := v.begun("paused"); n != stopped || n >= many {
			t.Errorf("%d jobs of %d began before a beat after the pause, %d by now", stopped, many, n)
		}
		s.await("last verdicts", func() bool { return s.stats().Held == 0 })
		if st := s.stats(); st.Ready != int64(many+1-stopped) {
			t.Errorf("%d of %d began, and %d wait", stopped, many+1, st.Ready)
		}
		queues, err := s.client.Store().Queues(s.Context())
		s.must(err)
		if i := slices.IndexFunc(queues, func(q store.Queue) bool { return q.Name == "paused" }); i < 0 || !queues[i].Paused {
			t.Errorf("the queue does not look paused: %+v", queues)
		}
		pause(false)
		s.rest()
		if n := v.begun("paused"); n != many+1 {
			t.Errorf("%d jobs ran", n)
		}
	})
}
