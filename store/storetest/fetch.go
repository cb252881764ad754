package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// ask is a Fetch of call that does not wait.
func (p *process) ask(call store.Call, n int, queues ...string) []store.Held {
	p.s.Helper()
	jobs, _, err := p.Fetch(p.s.Context(), call, strict(queues...), n, 0)
	p.s.must(err)
	return jobs
}

var fetchTests = []test{
	{"takes no more than asked for", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		s.equal(jids(p.fetch(2, "q")), []string{"a", "b"})
		s.equal(jids(p.fetch(2, "q")), []string{"c"})
		s.equal(len(p.fetch(2, "q")), 0)
		s.want(store.Keeping, "", "a", "b", "c")
	}},
	{"takes at most MaxBatch", func(s *suite) {
		p := s.process()
		s.push("q", numbered("a", store.MaxBatch)...)
		s.push("q", "b")
		jobs := p.fetch(store.MaxBatch+1, "q")
		if len(jobs) > store.MaxBatch {
			s.Fatalf("took %d", len(jobs))
		}
		p.take(store.MaxBatch+1-len(jobs), "q")
	}},
	{"of none takes none", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		s.equal(len(p.fetch(0, "q")), 0)
		s.want(store.Ready, "q", "a")
	}},
	{"without queues takes none", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		for _, plan := range []store.Plan{{}, {Strict: true}} {
			jobs, woken, err := p.Fetch(s.Context(), p.call(store.LaneFetch), plan, 5, moment)
			s.must(err)
			s.equal(len(jobs), 0)
			s.equal(woken, store.Idle)
		}
	}},
	{"tells how it came to its jobs", func(s *suite) {
		p := s.process()
		_, woken, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("q"), 1, 0)
		s.must(err)
		s.equal(woken, store.Idle)
		s.push("q", "a")
		jobs, woken, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("q"), 1, patience)
		s.must(err)
		s.equal(len(jobs), 1)
		if woken == store.Idle {
			s.Errorf("woken %v with a job", woken)
		}
	}},
	{"strict takes from a later queue only when those before are empty", func(s *suite) {
		p := s.process()
		s.push("low", "l1", "l2")
		s.push("high", "h1", "h2")
		s.equal(jids(p.fetch(1, "high", "low")), []string{"h1"})
		s.equal(jids(p.fetch(2, "high", "low")), []string{"h2", "l1"})
		s.push("high", "h3")
		s.equal(jids(p.fetch(5, "high", "low")), []string{"h3", "l2"})
	}},
	{"weighted shares by weight", func(s *suite) {
		p := s.process()
		s.push("heavy", numbered("h", 600)...)
		s.push("light", numbered("l", 600)...)
		plan := store.Plan{Queues: []store.Share{{Queue: "light"}, {Queue: "heavy", Weight: 3}}}
		var heavy, all int
		for range 60 {
			jobs, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), plan, 10, 0)
			s.must(err)
			s.equal(len(jobs), 10)
			for _, j := range jobs {
				if all++; j.Queue == "heavy" {
					heavy++
				}
			}
		}
		// Three quarters of 600 draws have a standard deviation of 11.
		if heavy < 450-66 || heavy > 450+66 {
			s.Errorf("%d of %d jobs came from a queue with three quarters of the weight", heavy, all)
		}
	}},
	{"weighted of one starves no queue", func(s *suite) {
		p := s.process()
		s.push("heavy", numbered("h", 300)...)
		s.push("light", numbered("l", 300)...)
		plan := store.Plan{Queues: []store.Share{{Queue: "heavy", Weight: 9}, {Queue: "light", Weight: 1}}}
		var light int
		for range 300 {
			jobs, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), plan, 1, 0)
			s.must(err)
			s.equal(len(jobs), 1)
			if jobs[0].Queue == "light" {
				light++
			}
		}
		if light < 5 || light > 75 { // a tenth of 300, with a standard deviation of 5
			s.Errorf("%d of 300 jobs came from a queue with a tenth of the weight", light)
		}
	}},
	{"weighted gives the others what a queue lacks", func(s *suite) {
		p := s.process()
		s.push("light", numbered("l", 9)...)
		s.push("heavy", "h")
		plan := store.Plan{Queues: []store.Share{{Queue: "heavy", Weight: 50}, {Queue: "empty", Weight: 50}, {Queue: "light", Weight: 1}}}
		jobs, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), plan, 8, 0)
		s.must(err)
		s.equal(len(jobs), 8)
		var light []string
		for _, j := range jobs {
			if j.Queue == "light" {
				light = append(light, jidOf(j.Payload))
			}
		}
		s.equal(light, numbered("l", 9)[:len(light)]) // in their order
	}},
	{"repeated returns the same and takes nothing", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		call := p.call(store.LaneFetch)
		first := p.ask(call, 2, "q")
		s.equal(jids(first), []string{"a", "b"})
		s.equal(p.ask(call, 2, "q"), first)
		s.want(store.Ready, "q", "c")
	}},
	{"repeated returns only what is still held", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		call := p.call(store.LaneFetch)
		first := p.ask(call, 2, "q")
		p.ack(first[0])
		s.equal(p.ask(call, 2, "q"), first[1:])
		p.ack(first[1])
		s.equal(len(p.ask(call, 2, "q")), 0)
		s.want(store.Ready, "q", "c")
	}},
	{"repeated when it had found nothing takes nothing", func(s *suite) {
		p := s.process()
		call := p.call(store.LaneFetch)
		s.equal(len(p.ask(call, 2, "q")), 0)
		s.push("q", "a")
		s.equal(len(p.ask(call, 2, "q")), 0)
		s.want(store.Ready, "q", "a")
		s.equal(jids(p.fetch(2, "q")), []string{"a"})
	}},
	{"late copy of an older call takes nothing", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		older := p.call(store.LaneFetch)
		a := p.ask(older, 1, "q")
		s.equal(jids(p.fetch(1, "q")), []string{"b"})
		s.equal(p.ask(older, 1, "q"), a)
		p.ack(a...)
		s.equal(len(p.ask(older, 1, "q")), 0)
		s.want(store.Ready, "q", "c")
	}},
	{"skipped numbers are never given jobs", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		skipped := p.call(store.LaneFetch) // given up before it was sent
		s.equal(jids(p.fetch(1, "q")), []string{"a"})
		s.equal(len(p.ask(skipped, 1, "q")), 0)
		s.want(store.Ready, "q", "b")
	}},
	{"of one lane knows nothing of another's numbers", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c", "d")
		ask := func(lane int, seq uint64) []store.Held {
			return p.ask(store.Call{By: p.id, Lane: lane, Seq: seq}, 1, "q")
		}
		a := ask(store.LaneFetch, 1<<40) // numbers rise, but not by one
		b := ask(store.LaneFetch+1, 3)
		c := ask(store.LaneFetch+7, 1<<40)
		s.equal(jids(slices.Concat(a, b, c)), []string{"a", "b", "c"})
		s.equal(ask(store.LaneFetch+1, 3), b)
		s.equal(ask(store.LaneFetch, 1<<40), a)
		s.equal(len(ask(store.LaneFetch, 3)), 0)
		// Nor do verdicts and pushes.
		s.must(p.Requeue(s.Context(), store.Call{By: p.id, Lane: store.LaneVerdict, Seq: 2}, laters(a)...))
		_, err := p.Push(s.Context(), store.Call{By: p.id, Lane: store.LanePush, Seq: 1}, item("e", "q"))
		s.must(err)
		s.equal(ask(store.LaneFetch+7, 1<<40), c)
		s.equal(jids(ask(store.LaneFetch+1, 4)), []string{"a"})
		s.must(p.Ack(s.Context(), store.Call{By: p.id, Lane: store.LaneVerdict, Seq: 1 << 50}, dones(b)...))
		s.equal(jids(ask(store.LaneFetch+1, 5)), []string{"d"})
	}},
	{"on several lanes at once gives every job to one", func(s *suite) {
		p := s.process()
		s.push("q", numbered("j", 90)...)
		var mu sync.Mutex
		var got []string
		var wg sync.WaitGroup
		for lane := range 3 {
			wg.Go(func() {
				for seq := range uint64(30) {
					call := store.Call{By: p.id, Lane: store.LaneFetch + lane, Seq: seq + 1}
					for range 2 { // the first reply is lost
						jobs, _, err := p.Fetch(s.Context(), call, strict("q"), 1, 0)
						if err != nil {
							s.Error(err)
						}
						mu.Lock()
						if len(jobs) == 1 && !slices.Contains(got, jidOf(jobs[0].Payload)) {
							got = append(got, jids(jobs)...)
						}
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		s.equal(sorted(got), numbered("j", 90))
	}},
	{"late copy after a rescue takes nothing", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		call := p.call(store.LaneFetch)
		p.ask(call, 1, "q")
		s.equal(s.rescueAll(s.gone(p, store.Witnessed)), 1)
		p.beat(aliveFor)
		s.equal(len(p.ask(call, 1, "q")), 0)
		s.want(store.Ready, "q", "a")
	}},
	{"of a stranger is refused", func(s *suite) {
		s.push("q", "a")
		p := s.stranger()
		_, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("q"), 1, patience)
		s.wantErr(err, store.ErrLeaseLost)
		s.want(store.Ready, "q", "a")
		p.beat(aliveFor)
		s.equal(jids(p.take(1, "q")), []string{"a"})
	}},
	{"after the lease ended is refused until the next beat", func(s *suite) {
		p := s.process()
		if s.st.Describe().LeaseIsLock {
			return // it ends with the process, who then asks nothing
		}
		s.push("q", "a")
		p.beat(s.Tick)
		s.pass(2 * s.Tick)
		_, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("q"), 1, 0)
		s.wantErr(err, store.ErrLeaseLost)
		s.want(store.Ready, "q", "a")
		p.beat(aliveFor)
		s.equal(jids(p.take(1, "q")), []string{"a"})
	}},
	{"after Leave is refused for good", func(s *suite) {
		p := s.process()
		s.must(p.Leave(s.Context(), p.verdict(), store.Farewell{ID: p.id, Report: store.StopReport{ID: p.id}}))
		s.push("q", "a")
		_, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("q"), 1, 0)
		s.wantErr(err, store.ErrLeft)
		s.want(store.Ready, "q", "a")
	}},
	{"takes nothing from a paused queue", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		s.push("r", "b")
		s.must(s.st.Pause(s.Context(), "q", true))
		s.must(s.st.Pause(s.Context(), "q", true))
		s.equal(jids(p.fetch(5, "q", "r")), []string{"b"})
		s.must(s.st.Pause(s.Context(), "q", false))
		s.must(s.st.Pause(s.Context(), "q", false))
		s.equal(jids(p.fetch(5, "q", "r")), []string{"a"})
	}},
	{"with an ended context moves nothing unseen", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		ctx, cancel := context.WithCancel(s.Context())
		cancel()
		jobs, _, err := p.Fetch(ctx, p.call(store.LaneFetch), strict("q"), 1, patience)
		s.must(err)
		s.equal(jids(jobs), s.in(store.Keeping, ""))
	}},
	{"by many at once gives every job to one", func(s *suite) {
		const n = 400
		s.push("q", numbered("j", n)...)
		var mu sync.Mutex
		holders := map[string]int{}
		var wg sync.WaitGroup
		for range 6 {
			p := s.process()
			wg.Go(func() {
				for {
					jobs, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("q"), 7, 0)
					if err != nil {
						s.Error(err)
						return
					}
					if len(jobs) == 0 {
						return
					}
					mu.Lock()
					for _, j := range jobs {
						holders[jidOf(j.Payload)]++
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		s.equal(len(holders), n)
		for jid, times := range holders {
			if times != 1 {
				s.Errorf("%s fetched %d times", jid, times)
			}
		}
		s.equal(s.book("q").Held, int64(n))
	}},
}

// waiting starts a Fetch that waits, and returns what it brings.
func (p *process) waiting(plan store.Plan, wait time.Duration) (result func() ([]store.Held, store.Woken)) {
	p.s.Helper()
	type found struct {
		jobs  []store.Held
		woken store.Woken
		err   error
	}
	c := make(chan found, 1)
	call, ctx := p.call(store.LaneFetch), p.s.Context()
	go func() {
		jobs, woken, err := p.Fetch(ctx, call, plan, 10, wait)
		c <- found{jobs, woken, err}
	}()
	<-time.After(moment) // so that it mostly waits by now; right in any case
	return func() ([]store.Held, store.Woken) {
		p.s.Helper()
		select {
		case f := <-c:
			p.s.must(f.err)
			return f.jobs, f.woken
		case <-time.After(patience):
			p.s.Fatalf("still waiting after %v", patience)
			return nil, 0
		}
	}
}

// wakes is a test in which ready, which makes the job a ready in queue q, ends the
// wait of another process.
func wakes(prepare func(s *suite) (ready func())) func(s *suite) {
	return func(s *suite) {
		ready := prepare(s)
		p := s.process()
		result := p.waiting(strict("empty", "q"), 4*patience)
		ready()
		jobs, woken := result()
		s.equal(jids(jobs), []string{"a"})
		if woken != store.Pushed && woken != store.Polled && woken != store.Got {
			s.Errorf("woken %v", woken)
		}
	}
}

var waitTests = []test{
	{"ends when its time has passed", func(s *suite) {
		p := s.process()
		began := time.Now()
		jobs, woken, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("q"), 1, 2*moment)
		s.must(err)
		s.equal(len(jobs), 0)
		s.equal(woken, store.Idle)
		if took := time.Since(began); took < moment || took > patience {
			s.Errorf("waited %v instead of %v", took, 2*moment)
		}
	}},
	{"ends with the context, and that is no error", func(s *suite) {
		p := s.process()
		ctx, cancel := context.WithTimeout(s.Context(), 2*moment)
		defer cancel()
		began := time.Now()
		jobs, _, err := p.Fetch(ctx, p.call(store.LaneFetch), strict("q", "r"), 1, 4*patience)
		s.must(err)
		s.equal(len(jobs), 0)
		if took := time.Since(began); took > patience {
			s.Errorf("waited %v after the end of the context", took)
		}
		// The process can ask again.
		s.push("q", "a")
		s.equal(jids(p.take(1, "q")), []string{"a"})
	}},
	{"ends with the context, and no job is lost whenever that is", func(s *suite) {
		p := s.process()
		for i := range 40 {
			jid := fmt.Sprint("j", i)
			ctx, cancel := context.WithCancel(s.Context())
			var jobs []store.Held
			var err error
			var wg sync.WaitGroup
			call := p.call(store.LaneFetch)
			wg.Go(func() { jobs, _, err = p.Fetch(ctx, call, strict("q"), 1, patience) })
			wg.Go(func() { s.push("q", jid) })
			wg.Go(func() { time.AfterFunc(time.Duration(i)*100*time.Microsecond, cancel) })
			wg.Wait()
			cancel()
			s.must(err)
			if len(jobs) == 0 {
				jobs = p.take(1, "q")
			}
			s.equal(jids(jobs), []string{jid})
			p.ack(jobs...)
		}
	}},
	{"does not begin when a job is there", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		jobs, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("empty", "q"), 5, 4*patience)
		s.must(err)
		s.equal(jids(jobs), []string{"a"})
	}},
	{"is ended by a push", wakes(func(s *suite) func() {
		return func() { s.push("q", "a") }
	})},
	{"is ended by a promotion", wakes(func(s *suite) func() {
		s.schedule(0, "q", "a")
		return func() { s.process().promote(1) }
	})},
	{"is ended by a requeue", wakes(func(s *suite) func() {
		s.push("q", "a")
		p := s.process()
		jobs := p.take(1, "q")
		return func() { s.must(p.Requeue(s.Context(), p.verdict(), laters(jobs)...)) }
	})},
	{"is ended by a rescue", wakes(func(s *suite) func() {
		s.push("q", "a")
		p := s.process()
		p.take(1, "q")
		return func() { s.equal(s.rescueAll(s.gone(p, store.Witnessed)), 1) }
	})},
	{"is ended by a leave", wakes(func(s *suite) func() {
		s.push("q", "a")
		p := s.process()
		jobs := p.take(1, "q")
		return func() {
			s.must(p.Leave(s.Context(), p.verdict(), store.Farewell{ID: p.id, Back: laters(jobs), Report: store.StopReport{ID: p.id}}))
		}
	})},
	{"is ended by a move", wakes(func(s *suite) func() {
		s.schedule(time.Hour, "q", "a")
		e := s.entries(store.Query{Place: store.Scheduled})[0]
		return func() {
			_, err := s.st.Move(s.Context(), store.Undoable{}, store.Ready, store.Pick{Key: e.Key})
			s.must(err)
		}
	})},
	{"is ended by an undo", wakes(func(s *suite) func() {
		s.push("q", "a")
		s.delete(undoable("c"), s.entries(places["ready"])...)
		return func() { s.undo("c", 0, store.Undone{Back: 1}) }
	})},
	{"is ended when a queue goes on", wakes(func(s *suite) func() {
		s.must(s.st.Pause(s.Context(), "q", true))
		s.push("q", "a")
		return func() { s.must(s.st.Pause(s.Context(), "q", false)) }
	})},
	{"is not ended for long by a paused queue", func(s *suite) {
		s.must(s.st.Pause(s.Context(), "q", true))
		p := s.process()
		result := p.waiting(strict("q"), 5*moment)
		s.push("q", "a")
		jobs, _ := result()
		s.equal(len(jobs), 0)
		s.want(store.Ready, "q", "a")
	}},
	{"takes nothing for a process that was given up meanwhile", func(s *suite) {
		p := s.process()
		done := make(chan []store.Held, 1)
		call := p.call(store.LaneFetch)
		go func() {
			jobs, _, _ := p.Fetch(s.Context(), call, strict("q"), 1, 5*moment)
			done <- jobs
		}()
		<-time.After(moment)
		s.rescueAll(s.gone(p, store.Witnessed))
		s.push("q", "a")
		s.equal(len(<-done), 0)
		s.want(store.Ready, "q", "a")
	}},
	{"weighted is ended by a push to any of its queues", func(s *suite) {
		p := s.process()
		plan := store.Plan{Queues: []store.Share{{Queue: "x", Weight: 9}, {Queue: "y"}, {Queue: "z"}}}
		for _, q := range []string{"z", "x", "y"} {
			result := p.waiting(plan, 4*patience)
			s.push(q, q)
			jobs, _ := result()
			s.equal(jids(jobs), []string{q})
		}
	}},
	{"of several processes is ended for each of as many jobs", func(s *suite) {
		var results []func() ([]store.Held, store.Woken)
		for range 3 {
			p := s.process()
			call, c := p.call(store.LaneFetch), make(chan []store.Held, 1)
			go func() {
				jobs, _, err := p.Fetch(s.Context(), call, strict("q"), 1, 2*patience)
				if err != nil {
					s.Error(err)
				}
				c <- jobs
			}()
			results = append(results, func() ([]store.Held, store.Woken) { return <-c, 0 })
		}
		s.push("q", "a")
		s.push("q", "b")
		s.push("q", "c")
		var got []string
		for _, result := range results {
			jobs, _ := result()
			got = append(got, jids(jobs)...)
		}
		s.equal(sorted(got), []string{"a", "b", "c"})
	}},
	{"never misses a push, whenever it comes", func(s *suite) {
		p := s.process()
		for i := range 50 {
			jid, call := fmt.Sprint("j", i), p.call(store.LaneFetch)
			var jobs []store.Held
			var err error
			var wg sync.WaitGroup
			wg.Go(func() { jobs, _, err = p.Fetch(s.Context(), call, strict("q"), 1, patience) })
			wg.Go(func() { s.push("q", jid) })
			wg.Wait()
			s.must(err)
			s.equal(jids(jobs), []string{jid})
			p.ack(jobs...)
		}
	}},
}
