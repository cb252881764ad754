package memstore

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Fetch moves at most n jobs into the keeping of call.By, and waits when there are
// none.
func (s *Store) Fetch(ctx context.Context, call store.Call, plan store.Plan, n int, wait time.Duration) ([]store.Held, store.Woken, error) {
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	woken := store.Got
	for again := false; ctx.Err() == nil; again = true {
		jobs, wake, err := s.look(call, plan, n, again)
		switch {
		case err != nil:
			return nil, store.Idle, wrap("fetch", err)
		case len(jobs) > 0:
			return jobs, woken, nil
		case wake == nil:
			return nil, store.Idle, nil
		}
		select {
		case <-wake:
			woken = store.Pushed
		case <-ctx.Done():
		case <-timer.C:
			return nil, store.Idle, nil
		}
	}
	return nil, store.Idle, nil
}

// look takes what is there. When there is nothing it returns the channel that is
// closed when looking again may help; nil: never.
func (s *Store) look(call store.Call, plan store.Plan, n int, again bool) ([]store.Held, <-chan struct{}, error) {
	if err := s.lock(); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	if s.left[call.By] {
		return nil, nil, store.ErrLeft
	}
	// A wait that a later call has overtaken was given up by its caller.
	asked := s.lanes[lane{call.By, call.Lane}].seq
	repeated := call.Seq != 0 && (call.Seq < asked || call.Seq == asked && !again)
	if call.Seq != 0 && !repeated {
		s.lanes[lane{call.By, call.Lane}] = answer{seq: call.Seq} // whatever the answer
	}
	if p := s.processes[call.By]; p == nil || !s.clock().Before(p.until) {
		return nil, nil, store.ErrLeaseLost
	}
	if repeated {
		return s.taken(call), nil, nil
	}
	if n <= 0 {
		return nil, nil, nil
	}
	if jobs := s.take(call, plan, min(n, store.MaxBatch)); len(jobs) > 0 {
		return jobs, nil, nil
	}
	if s.wake == nil {
		s.wake = make(chan struct{})
	}
	return nil, s.wake, nil
}

// taken returns what an earlier Fetch of the same Call took and is still held.
func (s *state) taken(call store.Call) []store.Held {
	var jobs []store.Held
	for _, j := range s.allHeldBy(call.By) {
		if j.fetch == call {
			jobs = append(jobs, held(j))
		}
	}
	return jobs
}

func (s *state) take(call store.Call, plan store.Plan, n int) []store.Held {
	var jobs []store.Held
	from := func(queue string, most int) {
		if s.paused[queue] || s.ready[queue] == nil {
			return
		}
		for l := s.ready[queue]; most > 0 && len(*l) > 0 && len(jobs) < n; most-- {
			j := (*l)[0]
			s.lift(j)
			j.fetch = call
			s.put(j, store.Keeping, 0, j.at)
			s.book(queue).Fetched++
			jobs = append(jobs, held(j))
		}
	}
	queues := plan.Queues
	if !plan.Strict {
		draws, drawn := share(plan.Queues, n)
		for i, q := range drawn {
			from(q.Queue, draws[i])
		}
		queues = drawn
	}
	for _, q := range queues {
		from(q.Queue, n)
	}
	return jobs
}

// share draws n times among queues by weight, and returns the queues in the order in
// which they were first drawn, those never drawn last, with the draws of each.
func share(queues []store.Share, n int) (draws []int, drawn []store.Share) {
	var total int
	for _, q := range queues {
		total += max(q.Weight, 1)
	}
	where := map[int]int{} // index in queues → index in drawn
	draw := func(i int) int {
		at, ok := where[i]
		if !ok {
			at = len(drawn)
			where[i] = at
			drawn, draws = append(drawn, queues[i]), append(draws, 0)
		}
		return at
	}
	for ; n > 0 && total > 0; n-- {
		ball := rand.IntN(total)
		for i, q := range queues {
			if ball -= max(q.Weight, 1); ball < 0 {
				draws[draw(i)]++
				break
			}
		}
	}
	for _, i := range rand.Perm(len(queues)) {
		draw(i)
	}
	return draws, drawn
}
