package storetest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// undoable is a change that may be taken back for longer than any test lasts.
func undoable(change string) store.Undoable {
	return store.Undoable{Change: change, For: 2 * time.Hour}
}

// delete forgets all these under u, in their order.
func (s *suite) delete(u store.Undoable, entries ...store.Entry) {
	s.Helper()
	n, err := s.st.Delete(s.Context(), u, picks(entries)...)
	s.must(err)
	s.equal(n, len(entries))
}

// carry moves all these under u, in their order.
func (s *suite) carry(u store.Undoable, to store.Place, picks ...store.Pick) {
	s.Helper()
	n, err := s.st.Move(s.Context(), u, to, picks...)
	s.must(err)
	s.equal(n, len(picks))
}

func picks(entries []store.Entry) []store.Pick {
	var ps []store.Pick
	for _, e := range entries {
		ps = append(ps, store.Pick{Key: e.Key})
	}
	return ps
}

// undo takes back at most max jobs of change, and says what came of it.
func (s *suite) undo(change string, max int, want store.Undone) {
	s.Helper()
	got, err := s.st.Undo(s.Context(), change, max)
	s.must(err)
	s.equal(got, want)
}

// picture is what people can see of jobs and books.
type picture struct {
	Entries []string
	Stats   store.Stats
}

// picture leaves out keys, which change with every move, and queues of which nothing
// is told any more. Nobody promises an order to the jobs of one hour.
func (s *suite) picture() picture {
	s.Helper()
	st, err := s.st.Stats(s.Context())
	s.must(err)
	p := picture{Stats: st}
	for i := range p.Stats.Books {
		p.Stats.Books[i].Shared = false
	}
	p.Stats.Books = slices.DeleteFunc(p.Stats.Books, func(b store.Books) bool { return b == store.Books{Queue: b.Queue} })
	show := func(es []store.Entry) {
		for _, e := range es {
			p.Entries = append(p.Entries, fmt.Sprintf("%v of %q, %s, %s: %q", e.Place, e.Queue, e.At.UTC().Format(time.RFC3339Nano), e.Holder, e.Payload))
		}
	}
	for _, b := range p.Stats.Books {
		show(s.entries(store.Query{Place: store.Ready, Queue: b.Queue}))
	}
	for _, place := range []store.Place{store.Scheduled, store.Retrying, store.Keeping, store.Dead} {
		es := s.entries(store.Query{Place: place})
		slices.SortStableFunc(es, func(a, b store.Entry) int {
			return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Queue, b.Queue), bytes.Compare(a.Payload, b.Payload))
		})
		show(es)
	}
	return p
}

// unchanged fails the test unless everything is as in before.
func (s *suite) unchanged(before picture) {
	s.Helper()
	s.equal(s.picture(), before)
}

var undoTests = []test{
	{"of a delete brings jobs back to each place", func(s *suite) {
		s.spread()
		before := s.picture()
		var all []store.Entry
		for _, q := range places {
			all = append(all, s.entries(q)...)
		}
		s.delete(undoable("c"), all...)
		s.equal(s.everywhere(), map[string][]store.Place{"held": {store.Keeping}})
		s.equal(s.book("q").Deleted, int64(4))
		s.undo("c", 0, store.Undone{Back: 4})
		s.unchanged(before)
	}},
	{"of a move from each place to each place", func(s *suite) {
		s.spread()
		for from, source := range places {
			for _, target := range places {
				before := s.picture()
				s.carry(undoable("c"), target.Place, store.Pick{Key: s.key(source, from), Delay: time.Minute, Payload: payload(from, "q", 7)})
				s.equal(len(s.entries(target)) > 0, true)
				s.undo("c", 0, store.Undone{Back: 1})
				s.unchanged(before)
			}
		}
	}},
	{"of a move without another payload takes the stamp off", func(s *suite) {
		s.spread()
		before := s.picture()
		for from, source := range places {
			s.carry(undoable("c"), store.Ready, store.Pick{Key: s.key(source, from), Front: from != "ready"})
		}
		s.equal(len(s.in(store.Ready, "q")), 4)
		s.undo("c", 0, store.Undone{Back: 4})
		s.unchanged(before)
	}},
	{"of a move to another queue", func(s *suite) {
		s.spread()
		before := s.picture()
		for from, source := range places {
			s.carry(undoable("c"), store.Ready, store.Pick{Key: s.key(source, from), Queue: "r"})
		}
		s.equal(s.book("q").Moved, int64(4))
		s.equal(s.book("r").Accepted, int64(4))
		s.undo("c", 0, store.Undone{Back: 4})
		s.unchanged(before)
	}},
	{"of a move to a set under another queue's name", func(s *suite) {
		s.spread()
		before := s.picture()
		for from, source := range places {
			s.carry(undoable("c"), store.Dead, store.Pick{Key: s.key(source, from), Queue: "r", Payload: payload(from, "r", 1)})
		}
		s.equal(s.book("r").Dead, int64(4))
		s.undo("c", 0, store.Undone{Back: 4})
		s.unchanged(before)
	}},
	{"brings a cleared queue back in its order, to its front", func(s *suite) {
		s.push("q", "a", "b", "c")
		before := s.entries(places["ready"])
		s.delete(undoable("c"), before...)
		s.push("q", "d")
		s.undo("c", 0, store.Undone{Back: 3})
		s.want(store.Ready, "q", "a", "b", "c", "d")
		for i, e := range s.entries(places["ready"])[:3] {
			s.equal(string(e.Payload), string(before[i].Payload))
		}
		s.equal(jids(s.process().take(4, "q")), []string{"a", "b", "c", "d"})
	}},
	{"in parts takes the last first", func(s *suite) {
		s.push("q", "a", "b", "c", "d", "e")
		es := s.entries(places["ready"])
		s.delete(undoable("c"), es[:2]...)
		s.carry(undoable("c"), store.Dead, picks(es[2:3])...)
		s.delete(undoable("c"), es[3:]...)
		s.undo("c", 2, store.Undone{Back: 2, More: true})
		s.want(store.Ready, "q", "d", "e")
		s.undo("c", 1, store.Undone{Back: 1, More: true})
		s.want(store.Ready, "q", "c", "d", "e")
		s.undo("c", store.MaxBatch+1, store.Undone{Back: 2})
		s.want(store.Ready, "q", "a", "b", "c", "d", "e")
		s.equal(s.book("q").Deleted, int64(0))
	}},
	{"takes MaxBatch at most", func(s *suite) {
		want := numbered("j", store.MaxBatch)
		s.push("q", want...)
		s.push("q", "y", "z")
		es := s.entries(places["ready"])
		s.delete(undoable("c"), es[:2]...)
		s.delete(undoable("c"), es[2:]...)
		s.undo("c", 2*store.MaxBatch, store.Undone{Back: store.MaxBatch, More: true})
		s.undo("c", 0, store.Undone{Back: 2})
		s.want(store.Ready, "q", append(want, "y", "z")...)
	}},
	{"takes each job back once", func(s *suite) {
		s.push("q", "a", "b")
		es := s.entries(places["ready"])
		s.delete(undoable("c"), es[0])
		s.carry(undoable("c"), store.Dead, picks(es[1:])...)
		s.undo("c", 0, store.Undone{Back: 2})
		s.undo("c", 0, store.Undone{})
		s.want(store.Ready, "q", "a", "b")
		s.delete(store.Undoable{}, s.entries(places["ready"])...)
		s.undo("c", 0, store.Undone{})
		s.equal(len(s.everywhere()), 0)
	}},
	{"passes what has moved on", func(s *suite) {
		p := s.process()
		s.push("q", "held", "done", "failed", "waits")
		s.carry(undoable("bury"), store.Dead, picks(s.entries(places["ready"]))...)
		for _, jid := range []string{"held", "done", "failed", "waits"} {
			s.carry(undoable("retry"), store.Ready, store.Pick{Key: s.key(places["dead"], jid)})
		}
		jobs := p.take(3, "q")
		p.ack(jobs[1])
		s.must(p.Retry(s.Context(), p.verdict(), store.Later{Token: jobs[2].Token, Delay: time.Hour}))
		s.undo("retry", 0, store.Undone{Back: 1, Passed: 3})
		want := map[string][]store.Place{"held": {store.Keeping}, "failed": {store.Retrying}, "waits": {store.Dead}}
		s.equal(s.everywhere(), want)
		s.undo("retry", 0, store.Undone{})
		s.equal(s.everywhere(), want)
		p.ack(jobs[0])
	}},
	{"passes what was promoted", func(s *suite) {
		s.schedule(time.Hour, "q", "a", "b")
		s.carry(undoable("c"), store.Scheduled, store.Pick{Key: s.key(places["scheduled"], "a")})
		s.carry(undoable("c"), store.Scheduled, store.Pick{Key: s.key(places["scheduled"], "b"), Delay: time.Minute})
		s.process().promote(1)
		s.undo("c", 0, store.Undone{Back: 1, Passed: 1})
		s.want(store.Ready, "q", "a")
		s.want(store.Scheduled, "", "b")
	}},
	{"passes what a later change has touched", func(s *suite) {
		s.push("q", "a", "b", "c")
		s.carry(undoable("first"), store.Dead, picks(s.entries(places["ready"]))...)
		s.delete(undoable("second"), s.entries(store.Query{Place: store.Dead, JID: "a"})...)
		s.carry(undoable("second"), store.Retrying, store.Pick{Key: s.key(places["dead"], "b"), Delay: time.Hour})
		s.undo("first", 0, store.Undone{Back: 1, Passed: 2})
		s.equal(s.everywhere(), map[string][]store.Place{"b": {store.Retrying}, "c": {store.Ready}})
		s.undo("second", 0, store.Undone{Back: 2})
		s.undo("first", 0, store.Undone{})
		s.equal(s.everywhere(), map[string][]store.Place{"a": {store.Dead}, "b": {store.Dead}, "c": {store.Ready}})
	}},
	{"of two changes in turn, the later first", func(s *suite) {
		s.spread()
		before := s.picture()
		for from, q := range places {
			s.carry(undoable("first"), store.Scheduled, store.Pick{Key: s.key(q, from), Delay: time.Minute})
		}
		between := s.picture()
		s.delete(undoable("second"), s.entries(places["scheduled"])...)
		s.undo("second", 0, store.Undone{Back: 4})
		s.unchanged(between)
		s.undo("first", 0, store.Undone{Back: 4})
		s.unchanged(before)
	}},
	{"keeps two changes apart", func(s *suite) {
		s.push("q", "a", "b")
		es := s.entries(places["ready"])
		s.delete(undoable("first"), es[0])
		s.delete(undoable("second"), es[1])
		s.undo("first", 0, store.Undone{Back: 1})
		s.want(store.Ready, "q", "a")
		s.undo("second", 0, store.Undone{Back: 1})
		s.want(store.Ready, "q", "b", "a")
	}},
	{"of what nobody knows is nothing", func(s *suite) {
		s.push("q", "a", "b", "c", "d")
		es := s.entries(places["ready"])
		s.delete(store.Undoable{}, es[0])
		s.delete(store.Undoable{Change: "c"}, es[1])
		s.delete(store.Undoable{For: time.Hour}, es[2])
		for _, change := range []string{"", "c", "unknown"} {
			s.undo(change, 0, store.Undone{})
		}
		s.want(store.Ready, "q", "d")
		s.equal(s.book("q").Deleted, int64(3))
	}},
	{"is over when its time is", func(s *suite) {
		s.push("q", "a", "b", "c")
		es := s.entries(places["ready"])
		short := store.Undoable{Change: "c", For: 2 * s.Tick}
		s.delete(short, es[0])
		s.carry(short, store.Dead, picks(es[1:2])...)
		s.pass(4 * s.Tick)
		s.undo("c", 0, store.Undone{})
		s.equal(s.everywhere(), map[string][]store.Place{"b": {store.Dead}, "c": {store.Ready}})
		// The name is free again.
		s.delete(undoable("c"), es[2])
		s.undo("c", 0, store.Undone{Back: 1})
		s.want(store.Ready, "q", "c")
	}},
	{"has its time from the latest call", func(s *suite) {
		s.push("q", "a", "b")
		es := s.entries(places["ready"])
		u := store.Undoable{Change: "c", For: 3 * time.Second}
		s.delete(u, es[0])
		s.pass(2 * time.Second)
		s.delete(u, es[1])
		s.pass(2 * time.Second)
		s.undo("c", 0, store.Undone{Back: 2})
		s.want(store.Ready, "q", "a", "b")
	}},
	{"brings back a job whose hour has passed", func(s *suite) {
		it := item("a", "q")
		it.At = time.Unix(1_600_000_000, 250_000_000)
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), it)
		s.must(err)
		before := s.picture()
		s.delete(undoable("c"), s.entries(places["scheduled"])...)
		s.undo("c", 0, store.Undone{Back: 1})
		s.unchanged(before)
		s.process().promote(1)
		s.want(store.Ready, "q", "a")
	}},
	{"keeps equal jobs apart", func(s *suite) {
		at := time.Unix(4_000_000_000, 0)
		its := items("q", "a", "a", "a")
		for i := range its {
			its[i].At = at
		}
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), its...)
		s.must(err)
		s.push("q", "x", "x", "y")
		before := s.picture()
		s.delete(undoable("c"), s.entries(places["scheduled"])[:2]...)
		s.delete(undoable("c"), s.entries(places["ready"])[:2]...)
		s.undo("c", 0, store.Undone{Back: 4})
		s.unchanged(before)
		s.carry(undoable("c"), store.Dead, picks(s.entries(places["ready"])[:1])...)
		s.carry(undoable("c"), store.Dead, picks(s.entries(places["scheduled"])[1:])...)
		s.undo("c", 0, store.Undone{Back: 3})
		s.unchanged(before)
	}},
	{"passes as many of equal jobs as have moved on", func(s *suite) {
		s.push("q", "a", "a", "a")
		s.carry(undoable("bury"), store.Dead, picks(s.entries(places["ready"]))...)
		s.carry(undoable("retry"), store.Ready, picks(s.entries(places["dead"]))...)
		jobs := s.process().take(1, "q")
		s.undo("retry", 0, store.Undone{Back: 2, Passed: 1})
		s.equal(s.everywhere()["a"], []store.Place{store.Keeping, store.Dead, store.Dead})
		s.equal(len(jobs), 1)
	}},
	{"keeps bytes that nobody can read", func(s *suite) {
		for name, bytes := range noJobs() {
			_, err := s.st.Push(s.Context(), s.me.call(store.LanePush), store.Item{JID: name, Queue: "q", Payload: bytes})
			s.must(err)
		}
		before := s.picture()
		s.delete(undoable("c"), s.entries(places["ready"])...)
		s.undo("c", 0, store.Undone{Back: len(noJobs())})
		s.unchanged(before)
		for _, to := range []store.Place{store.Dead, store.Scheduled} {
			s.carry(undoable("c"), to, picks(s.entries(places["ready"]))...)
			s.undo("c", 0, store.Undone{Back: len(noJobs())})
			s.unchanged(before)
		}
	}},
	{"is for jobs that were moved, not for those asked for", func(s *suite) {
		s.push("q", "a")
		picks := make([]store.Pick, store.MaxBatch+1)
		for i := range picks {
			picks[i].Key = s.entries(places["ready"])[0].Key
		}
		if _, err := s.st.Delete(s.Context(), undoable("c"), picks...); err == nil {
			s.Error("deleted more than MaxBatch")
		}
		n, err := s.st.Delete(s.Context(), undoable("c"), store.Pick{Key: "nonsense"})
		s.must(err)
		s.equal(n, 0)
		s.undo("c", 0, store.Undone{})
		s.want(store.Ready, "q", "a")
		n, err = s.st.Delete(s.Context(), undoable("c"), store.Pick{Key: "nonsense"}, picks[0], picks[0])
		s.must(err)
		s.equal(n, 1)
		s.undo("c", 0, store.Undone{Back: 1})
		s.want(store.Ready, "q", "a")
	}},
	{"survives replies that are lost", func(s *suite) {
		s.spread()
		before := s.picture()
		f := NewFlaky(s.st)
		s.st = f
		var all []store.Pick
		for from, q := range places {
			all = append(all, store.Pick{Key: s.key(q, from)})
		}
		for _, when := range []When{After, Before} {
			f.Fail("Delete", when, errLost, 1)
			_, err := f.Delete(s.Context(), undoable("delete"), all[:2]...)
			s.wantErr(err, errLost)
			_, err = f.Delete(s.Context(), undoable("delete"), all[:2]...)
			s.must(err)
			f.Fail("Move", when, errLost, 1)
			_, err = f.Move(s.Context(), undoable("bury"), store.Dead, all[2:]...)
			s.wantErr(err, errLost)
			_, err = f.Move(s.Context(), undoable("bury"), store.Dead, all[2:]...)
			s.must(err)
			s.equal(len(s.everywhere()), 3)
			for _, change := range []string{"delete", "bury"} {
				f.Fail("Undo", when, errLost, 1)
				_, err = f.Undo(s.Context(), change, 0)
				s.wantErr(err, errLost)
				want := store.Undone{Back: 2}
				if when == After {
					want.Back = 0
				}
				s.undo(change, 0, want)
			}
			s.unchanged(before)
			all = all[:0]
			for from, q := range places {
				all = append(all, store.Pick{Key: s.key(q, from)})
			}
		}
	}},
	{"by many at once takes each job back once", func(s *suite) {
		want := numbered("j", 100)
		s.push("q", want...)
		es := s.entries(places["ready"])
		s.delete(undoable("c"), es[:60]...)
		s.carry(undoable("c"), store.Dead, picks(es[60:])...)
		var back, passed atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for more := true; more; {
					u, err := s.st.Undo(s.Context(), "c", 7)
					if err != nil {
						s.Error(err)
						return
					}
					back.Add(int64(u.Back))
					passed.Add(int64(u.Passed))
					more = u.More
				}
			})
		}
		wg.Wait()
		s.equal([]int64{back.Load(), passed.Load()}, []int64{100, 0})
		s.equal(sorted(s.in(store.Ready, "q")), want)
	}},
	{"beside a fetch gives each job to one of them", func(s *suite) {
		p := s.process()
		s.push("q", numbered("j", 60)...)
		s.carry(store.Undoable{}, store.Dead, picks(s.entries(places["ready"]))...)
		s.carry(undoable("c"), store.Ready, picks(s.entries(places["dead"]))...)
		var fetched []store.Held
		var back, passed int
		var wg sync.WaitGroup
		wg.Go(func() {
			for more := true; more; {
				u, err := s.st.Undo(s.Context(), "c", 5)
				if err != nil {
					s.Error(err)
					return
				}
				back, passed, more = back+u.Back, passed+u.Passed, u.More
			}
		})
		wg.Go(func() {
			for range 60 {
				jobs, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("q"), 1, 0)
				if err != nil {
					s.Error(err)
				}
				fetched = append(fetched, jobs...)
			}
		})
		wg.Wait()
		s.equal([]int{back + passed, len(fetched)}, []int{60, passed})
		s.equal(len(s.in(store.Dead, "")), back)
		s.equal(len(s.everywhere()), 60)
	}},
}
