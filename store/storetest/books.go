package storetest

import (
	"context"
	"slices"

	"github.com/ebbjobs/ebb/store"
)

// check is run after every test: the books balance, and what they say of each place
// is what is there.
func (s *suite) check() {
	ctx := context.WithoutCancel(s.Context())
	st, err := s.st.Stats(ctx)
	if err != nil {
		s.Errorf("stats: %v", err)
		return
	}
	var ready, held, scheduled, retrying, dead int64
	for _, b := range st.Books {
		if b.Custody() != 0 {
			s.Errorf("custody of %q is off by %d: %+v", b.Queue, b.Custody(), b)
		}
		if b.Arrivals() != 0 && !b.Shared {
			s.Errorf("arrivals of %q are off by %d: %+v", b.Queue, b.Arrivals(), b)
		}
		for _, n := range []int64{b.Accepted, b.Done, b.Discarded, b.Expired, b.Deleted, b.Trimmed, b.Moved,
			b.Fetched, b.Retried, b.Buried, b.Requeued, b.Rescued, b.Waiting, b.Held, b.Scheduled, b.Retrying, b.Dead} {
			if n < 0 {
				s.Errorf("books of %q have a count below zero: %+v", b.Queue, b)
				break
			}
		}
		ready, held, scheduled = ready+b.Waiting, held+b.Held, scheduled+b.Scheduled
		retrying, dead = retrying+b.Retrying, dead+b.Dead
		if n := s.walk(ctx, store.Query{Place: store.Ready, Queue: b.Queue}); n != b.Waiting {
			s.Errorf("%d jobs wait in %q, by the books %d", n, b.Queue, b.Waiting)
		}
	}
	for _, c := range []struct {
		place             store.Place
		byBooks, byTotals int64
	}{
		{store.Ready, ready, st.Ready},
		{store.Keeping, held, st.Held},
		{store.Scheduled, scheduled, st.Scheduled},
		{store.Retrying, retrying, st.Retrying},
		{store.Dead, dead, st.Dead},
	} {
		if c.byBooks != c.byTotals {
			s.Errorf("%v: %d by the books, %d in total", c.place, c.byBooks, c.byTotals)
		}
		if c.place == store.Ready {
			continue
		}
		if n := s.walk(ctx, store.Query{Place: c.place}); n != c.byTotals {
			s.Errorf("%v: %d there, %d in total", c.place, n, c.byTotals)
		}
	}
}

func (s *suite) walk(ctx context.Context, q store.Query) (n int64) {
	for _, err := range s.st.Jobs(ctx, q) {
		if err != nil {
			s.Errorf("jobs %+v: %v", q, err)
			return n
		}
		n++
	}
	return n
}

var booksTests = []test{
	{"count every move", func(s *suite) {
		p := s.process()
		s.push("q", numbered("j", 12)...)
		s.schedule(0, "q", "s")
		p.promote(1)
		jobs := p.take(13, "q")
		ctx := s.Context()
		s.must(p.Ack(ctx, p.verdict(),
			store.Done{Token: jobs[0].Token},
			store.Done{Token: jobs[1].Token, Outcome: store.Discarded},
			store.Done{Token: jobs[2].Token, Outcome: store.Expired}))
		s.must(p.Retry(ctx, p.verdict(), laters(jobs[3:5])...))
		s.must(p.Bury(ctx, p.verdict(), laters(jobs[5:7])...))
		s.must(p.Requeue(ctx, p.verdict(), store.Later{Token: jobs[7].Token}))
		s.must(p.Requeue(ctx, p.verdict(), store.Later{Token: jobs[8].Token, Queue: "other", Payload: payload(jidOf(jobs[8].Payload), "other", 1)}))
		s.must(p.Checkpoint(ctx, p.verdict(), laters(jobs[9:10])...))
		lost := s.gone(p, store.Witnessed)
		i := slices.IndexFunc(lost.Jobs, func(h store.Held) bool { return h.Token == jobs[9].Token })
		s.equal(s.rescue(lost, store.Rescued{Token: jobs[9].Token, Was: lost.Jobs[i].Payload}), 1)
		n, err := s.st.Delete(ctx, store.Undoable{}, store.Pick{Key: s.entries(store.Query{Place: store.Retrying})[0].Key})
		s.must(err)
		s.equal(n, 1)
		by := s.process()
		s.eventually("trimming", func() bool {
			_, _, err := by.Promote(ctx, store.Promotion{By: by.id, DeadMax: 1})
			s.must(err)
			return s.book("q").Trimmed == 1
		})
		got := s.book("q")
		got.Shared = false
		// The job that was left in the retry set is due, and so went back.
		got.Waiting, got.Retrying = got.Waiting+got.Retrying, 0
		s.equal(got, store.Books{
			Queue: "q", Accepted: 13, Done: 1, Discarded: 1, Expired: 1, Deleted: 1, Trimmed: 1, Moved: 1,
			Fetched: 13, Retried: 2, Buried: 2, Requeued: 2, Rescued: 1,
			Waiting: 3, Held: 3, Dead: 1,
		})
		other := s.book("other")
		other.Shared = false
		s.equal(other, store.Books{Queue: "other", Accepted: 1, Waiting: 1})
	}},
	{"count runs", func(s *suite) {
		p := s.process()
		s.push("q", numbered("j", 9)...)
		jobs := p.take(9, "q")
		ctx := s.Context()
		before, err := s.st.Stats(ctx)
		s.must(err)
		// A run counts when its job is finished or discarded, and whenever it failed; one
		// that goes on elsewhere without a failure has not ended.
		s.must(p.Ack(ctx, p.verdict(),
			store.Done{Token: jobs[0].Token},
			store.Done{Token: jobs[1].Token, Outcome: store.Discarded, Failed: true},
			store.Done{Token: jobs[2].Token, Outcome: store.Expired}))
		s.must(p.Retry(ctx, p.verdict(), store.Later{Token: jobs[3].Token, Failed: true}, store.Later{Token: jobs[4].Token, Set: store.Scheduled}))
		s.must(p.Bury(ctx, p.verdict(), store.Later{Token: jobs[5].Token, Failed: true}, store.Later{Token: jobs[6].Token}))
		s.must(p.Requeue(ctx, p.verdict(), store.Later{Token: jobs[7].Token}))
		s.must(p.Checkpoint(ctx, p.verdict(), store.Later{Token: jobs[8].Token}))
		after, err := s.st.Stats(ctx)
		s.must(err)
		s.equal(after.Processed-before.Processed, int64(4))
		s.equal(after.Failed-before.Failed, int64(3))
	}},
	{"go back with what is undone", func(s *suite) {
		s.push("q", "a", "b", "c", "d", "e")
		p := s.process()
		es := s.entries(places["ready"])
		s.delete(undoable("c"), es[:2]...)
		for _, e := range es[2:4] {
			s.carry(undoable("c"), store.Ready, store.Pick{Key: e.Key, Queue: "r"})
		}
		s.carry(undoable("c"), store.Dead, picks(es[4:])...)
		count := func() []int64 {
			q, r := s.book("q"), s.book("r")
			return []int64{q.Accepted, q.Deleted, q.Moved, q.Waiting, q.Dead, r.Accepted, r.Waiting, r.Fetched}
		}
		s.equal(count(), []int64{5, 2, 2, 0, 1, 2, 2, 0})
		p.ack(p.take(1, "r")...)
		s.equal(count(), []int64{5, 2, 2, 0, 1, 2, 1, 1})
		s.undo("c", 2, store.Undone{Back: 2, More: true})
		s.equal(count(), []int64{5, 2, 1, 2, 0, 1, 0, 1})
		s.undo("c", 0, store.Undone{Back: 2, Passed: 1})
		s.equal(count(), []int64{5, 0, 1, 4, 0, 1, 0, 1})
		s.check()
	}},
	{"leave one queue for another", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c", "d")
		jobs := p.take(3, "q")
		ctx := s.Context()
		to := func(i int) store.Later {
			return store.Later{Token: jobs[i].Token, Queue: "r", Payload: payload(jidOf(jobs[i].Payload), "r", 1)}
		}
		s.must(p.Retry(ctx, p.verdict(), to(0)))
		s.must(p.Bury(ctx, p.verdict(), to(1)))
		s.must(p.Requeue(ctx, p.verdict(), to(2)))
		e := s.entries(store.Query{Place: store.Ready, Queue: "q"})
		n, err := s.st.Move(ctx, store.Undoable{}, store.Ready, store.Pick{Key: e[0].Key, Queue: "r"})
		s.must(err)
		s.equal(n, 1)
		q, r := s.book("q"), s.book("r")
		s.equal([]int64{q.Accepted, q.Moved, q.Fetched, q.Retried, q.Buried, q.Requeued}, []int64{4, 4, 3, 1, 1, 1})
		s.equal([]int64{r.Accepted, r.Retrying, r.Dead, r.Waiting}, []int64{4, 1, 1, 2})
	}},
}
