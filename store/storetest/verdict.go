package storetest

import (
	"context"
	"errors"
	"sync"

	"github.com/ebbjobs/ebb/store"
)

// verb is one of the verdicts, for what is true of them all.
type verb struct {
	name string
	// do gives the verdict; Checkpoint and those that can write the payload with n=1.
	do func(p *process, ctx context.Context, call store.Call, jobs ...store.Held) error
	// count is how many jobs of q have had this verdict.
	count func(s *suite) int64
	// stays: the job is held afterwards.
	stays bool
}

func withPayload(jobs []store.Held) []store.Later {
	later := laters(jobs)
	for i, j := range jobs {
		later[i].Payload = payload(jidOf(j.Payload), j.Queue, 1)
	}
	return later
}

var (
	acks = verb{
		name: "Ack",
		do: func(p *process, ctx context.Context, call store.Call, jobs ...store.Held) error {
			return p.Ack(ctx, call, dones(jobs)...)
		},
		count: func(s *suite) int64 { return s.book("q").Done },
	}
	retries = verb{
		name: "Retry",
		do: func(p *process, ctx context.Context, call store.Call, jobs ...store.Held) error {
			return p.Retry(ctx, call, withPayload(jobs)...)
		},
		count: func(s *suite) int64 { return s.book("q").Retried },
	}
	buries = verb{
		name: "Bury",
		do: func(p *process, ctx context.Context, call store.Call, jobs ...store.Held) error {
			return p.Bury(ctx, call, withPayload(jobs)...)
		},
		count: func(s *suite) int64 { return s.book("q").Buried },
	}
	requeues = verb{
		name: "Requeue",
		do: func(p *process, ctx context.Context, call store.Call, jobs ...store.Held) error {
			return p.Requeue(ctx, call, withPayload(jobs)...)
		},
		count: func(s *suite) int64 { return s.book("q").Requeued },
	}
	checkpoints = verb{
		name: "Checkpoint",
		do: func(p *process, ctx context.Context, call store.Call, jobs ...store.Held) error {
			return p.Checkpoint(ctx, call, withPayload(jobs)...)
		},
		count: func(s *suite) (n int64) {
			for _, e := range s.entries(store.Query{Place: store.Keeping}) {
				if string(e.Payload) == string(payload(jidOf(e.Payload), e.Queue, 1)) {
					n++
				}
			}
			return n
		},
		stays: true,
	}
)

// wantNotHeld fails the test unless err names exactly these tokens.
func (s *suite) wantNotHeld(err error, tokens ...store.Token) {
	s.Helper()
	s.wantErr(err, store.ErrNotHeld)
	e, ok := errors.AsType[*store.NotHeldError](err)
	if !ok {
		s.Fatalf("%v names no tokens", err)
	}
	left := map[store.Token]bool{}
	for _, t := range e.Tokens {
		left[t] = true
	}
	for _, t := range tokens {
		if !left[t] {
			s.Errorf("%v does not name %q", e.Tokens, t)
		}
		delete(left, t)
	}
	if len(left) > 0 {
		s.Errorf("%v names more than %v", e.Tokens, tokens)
	}
}

func verdictTests(v verb) []test {
	return append(fenceTests(v), []test{
		{"of nothing does nothing", func(s *suite) {
			p := s.process()
			s.must(v.do(p, s.Context(), p.verdict()))
			s.must(v.do(s.me, s.Context(), s.me.verdict()))
		}},
		{"of a batch", func(s *suite) {
			p := s.process()
			s.push("q", "a", "b", "c")
			jobs := p.take(3, "q")
			s.must(v.do(p, s.Context(), p.verdict(), jobs[0], jobs[2]))
			s.equal(v.count(s), int64(2))
		}},
		{"repeated has the same answer and moves nothing", func(s *suite) {
			p := s.process()
			s.push("q", "a", "b", "c")
			jobs := p.take(3, "q")
			call := p.verdict()
			s.must(v.do(p, s.Context(), call, jobs[:2]...))
			s.must(v.do(p, s.Context(), call, jobs[:2]...))
			s.equal(v.count(s), int64(2))
			// A repeat is told by its number: whatever it carries, it moves nothing.
			s.must(v.do(p, s.Context(), call, jobs[2]))
			s.equal(v.count(s), int64(2))
		}},
		{"repeated names the same tokens", func(s *suite) {
			p := s.process()
			s.push("q", "a", "b")
			jobs := p.take(2, "q")
			p.ack(jobs[0])
			call := p.verdict()
			before := v.count(s)
			s.wantNotHeld(v.do(p, s.Context(), call, jobs...), jobs[0].Token)
			s.wantNotHeld(v.do(p, s.Context(), call, jobs...), jobs[0].Token)
			s.equal(v.count(s), before+1)
		}},
		{"late copy of an older call is refused", func(s *suite) {
			p := s.process()
			s.push("q", "a", "b")
			jobs := p.take(2, "q")
			older := p.verdict()
			s.must(v.do(p, s.Context(), older, jobs[0]))
			s.must(v.do(p, s.Context(), p.verdict(), jobs[1]))
			s.wantErr(v.do(p, s.Context(), older, jobs[0]), store.ErrStale)
			s.equal(v.count(s), int64(2))
		}},
		{"late copy that was never seen is refused", func(s *suite) {
			p := s.process()
			s.push("q", "a", "b")
			jobs := p.take(2, "q")
			older := p.verdict()
			s.must(p.Requeue(s.Context(), p.verdict(), laters(jobs[1:])...))
			before := v.count(s)
			s.wantErr(v.do(p, s.Context(), older, jobs[0]), store.ErrStale)
			s.equal(v.count(s), before)
			s.want(store.Keeping, "", "a")
		}},
		{"without a number is not remembered", func(s *suite) {
			p := s.process()
			s.push("q", "a", "b")
			jobs := p.take(2, "q")
			call := store.Call{By: p.id, Lane: store.LaneVerdict}
			s.must(v.do(p, s.Context(), call, jobs[0]))
			s.must(v.do(p, s.Context(), call, jobs[1]))
			s.equal(v.count(s), int64(2))
		}},
		{"of MaxBatch", func(s *suite) {
			p := s.process()
			s.push("q", numbered("j", store.MaxBatch)...)
			s.must(v.do(p, s.Context(), p.verdict(), p.take(store.MaxBatch, "q")...))
			s.equal(v.count(s), int64(store.MaxBatch))
		}},
		{"of more than MaxBatch is refused whole", func(s *suite) {
			p := s.process()
			s.push("q", numbered("j", store.MaxBatch)...)
			s.push("q", "last")
			jobs := p.take(store.MaxBatch+1, "q")
			err := v.do(p, s.Context(), p.verdict(), jobs...)
			if err == nil || errors.Is(err, store.ErrNotHeld) {
				s.Fatalf("got %v", err)
			}
			s.equal(v.count(s), int64(0))
		}},
		{"cancelled can be repeated", func(s *suite) {
			p := s.process()
			s.push("q", "a")
			jobs := p.take(1, "q")
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			call := p.verdict()
			v.do(p, ctx, call, jobs...)
			s.must(v.do(p, s.Context(), call, jobs...))
			s.equal(v.count(s), int64(1))
		}},
		{"keeps two jobs of the same bytes apart", func(s *suite) {
			p := s.process()
			s.push("q", "a", "a", "a")
			jobs := p.take(3, "q")
			s.must(v.do(p, s.Context(), p.verdict(), jobs[0]))
			s.must(v.do(p, s.Context(), p.verdict(), jobs[1:]...))
			s.equal(v.count(s), int64(3))
		}},
		{"by many at once", func(s *suite) {
			const processes, each = 6, 20
			s.push("q", numbered("j", processes*each)...)
			var wg sync.WaitGroup
			for range processes {
				p := s.process()
				jobs := p.take(each, "q")
				wg.Go(func() {
					for i := 0; i < each; i += 4 {
						if err := v.do(p, s.Context(), p.verdict(), jobs[i:i+4]...); err != nil {
							s.Error(err)
						}
					}
				})
			}
			wg.Wait()
			s.equal(v.count(s), int64(processes*each))
		}},
	}...)
}

// fenceTests show that a verdict counts if and only if its token is held.
func fenceTests(v verb) []test {
	return []test{
		{"of jobs that another holds moves only one's own", func(s *suite) {
			p, other := s.process(), s.process()
			s.push("q", "a", "b")
			theirs, mine := other.take(1, "q"), p.take(1, "q")
			s.wantNotHeld(v.do(p, s.Context(), p.verdict(), theirs[0], mine[0]), theirs[0].Token)
			s.equal(v.count(s), int64(1))
			s.must(v.do(other, s.Context(), other.verdict(), theirs[0]))
			s.equal(v.count(s), int64(2))
		}},
		{"by a stranger moves nothing", func(s *suite) {
			s.push("q", "a")
			jobs := s.process().take(1, "q")
			p := s.stranger()
			s.wantNotHeld(v.do(p, s.Context(), p.verdict(), jobs...), jobs[0].Token)
			s.equal(v.count(s), int64(0))
			s.want(store.Keeping, "", "a")
		}},
		{"of tokens that were never given moves nothing", func(s *suite) {
			p := s.process()
			made := store.Held{Token: "nonsense", Queue: "q", Payload: payload("x", "q", 0)}
			s.wantNotHeld(v.do(p, s.Context(), p.verdict(), made), made.Token)
			empty := store.Held{Queue: "q", Payload: payload("x", "q", 0)}
			s.wantNotHeld(v.do(p, s.Context(), p.verdict(), empty), empty.Token)
			s.equal(len(s.everywhere()), 0)
		}},
		{"after another verdict moves nothing", func(s *suite) {
			p := s.process()
			s.push("q", "a")
			jobs := p.take(1, "q")
			s.must(p.Requeue(s.Context(), p.verdict(), laters(jobs)...))
			before := v.count(s)
			s.wantNotHeld(v.do(p, s.Context(), p.verdict(), jobs...), jobs[0].Token)
			s.equal(v.count(s), before)
			// Nor does it when the same process has fetched the same job again.
			again := p.take(1, "q")
			s.wantNotHeld(v.do(p, s.Context(), p.verdict(), jobs...), jobs[0].Token)
			s.equal(v.count(s), before)
			s.must(v.do(p, s.Context(), p.verdict(), again...))
			s.equal(v.count(s), before+1)
		}},
		{"twice in one batch counts once", func(s *suite) {
			p := s.process()
			s.push("q", "a")
			jobs := p.take(1, "q")
			err := v.do(p, s.Context(), p.verdict(), jobs[0], jobs[0])
			if v.stays {
				s.must(err)
			} else {
				s.wantNotHeld(err, jobs[0].Token)
			}
			s.equal(v.count(s), int64(1))
		}},
		{"after a rescue moves nothing", func(s *suite) {
			p := s.process()
			s.push("q", "a")
			jobs := p.take(1, "q")
			s.equal(s.rescueAll(s.gone(p, store.Witnessed)), 1)
			s.wantNotHeld(v.do(p, s.Context(), p.verdict(), jobs...), jobs[0].Token)
			p.beat(aliveFor)
			s.wantNotHeld(v.do(p, s.Context(), p.verdict(), jobs...), jobs[0].Token)
			s.equal(v.count(s), int64(0))
			s.want(store.Ready, "q", "a")
		}},
		{"after a rescue is answered as before it", func(s *suite) {
			p := s.process()
			s.push("q", "a", "b")
			jobs := p.take(2, "q")
			older, call := p.verdict(), p.verdict()
			s.must(v.do(p, s.Context(), call, jobs[0]))
			before := v.count(s)
			s.rescueAll(s.gone(p, store.Witnessed))
			s.must(v.do(p, s.Context(), call, jobs[0]))
			s.wantErr(v.do(p, s.Context(), older, jobs[1]), store.ErrStale)
			if !v.stays { // a checkpoint's count went along with the rescue
				s.equal(v.count(s), before)
			}
		}},
		{"counts after the lease has ended, as long as nobody took the job", func(s *suite) {
			p := s.process()
			if s.st.Describe().LeaseIsLock {
				return
			}
			s.push("q", "a")
			jobs := p.take(1, "q")
			p.beat(s.Tick)
			s.pass(2 * s.Tick)
			s.must(v.do(p, s.Context(), p.verdict(), jobs...))
			s.equal(v.count(s), int64(1))
		}},
		{"counts for a deaf job after Leave, as long as nobody took it", func(s *suite) {
			p := s.process()
			s.push("q", "a")
			jobs := p.take(1, "q")
			s.must(p.Leave(s.Context(), p.verdict(), store.Farewell{ID: p.id, Deaf: tokens(jobs), Report: store.StopReport{ID: p.id}}))
			s.must(v.do(p, s.Context(), p.verdict(), jobs...))
			s.equal(v.count(s), int64(1))
		}},
	}
}
