package storetest

import (
	"time"

	"github.com/ebbjobs/ebb/store"
)

// audit looks at everything, and registers whom it finds for d.
func (s *suite) audit(d time.Duration) []store.Identity {
	s.Helper()
	found, err := s.st.Audit(s.Context(), "", d)
	s.must(err)
	return found
}

// disowned is a process that took the front n of queue q and of which no lease is
// left, as if it had been deleted by hand.
func (s *suite) disowned(n int) (p *process, jobs []store.Held) {
	s.Helper()
	p = s.process()
	jobs = p.take(n, "q")
	s.Disown(s.T, p.id)
	return p, jobs
}

var auditTests = []test{
	{"finds nobody while all are registered", func(s *suite) {
		p, gone := s.process(), s.process()
		s.push("q", "a", "b")
		p.take(1, "q")
		gone.take(1, "q")
		s.vanish(gone)
		s.equal(len(s.audit(s.Tick)), 0)
		s.equal(s.rescueAll(s.gone(gone, store.Lapsed)), 1)
		s.equal(len(s.audit(s.Tick)), 0)
	}},
	{"gives back what nobody holds", func(s *suite) {
		s.push("q", "a", "b", "c")
		p, jobs := s.disowned(2)
		s.equal(len(s.lost()), 0)
		s.equal(s.audit(4*s.Tick), []store.Identity{p.id})
		s.equal(len(s.audit(4*s.Tick)), 0)
		s.equal(len(s.lost()), 0) // it may live
		if s.Crash != nil {
			s.Crash(s.T, p.Store)
		}
		s.pass(5 * s.Tick)
		lost := s.gone(p, store.Unclaimed)
		s.equal(lost.Jobs, jobs)
		g := salvage(lost, rescued(lost, store.Ready)...)
		g.Report = &store.StopReport{ID: p.id, Reason: "vanished", Cause: lost.Cause}
		moved, err := s.st.Rescue(s.Context(), g)
		s.must(err)
		s.equal(moved, 2)
		s.want(store.Ready, "q", "a", "b", "c")
		s.equal(s.book("q").Rescued, int64(2))
		s.equal(len(s.lost()), 0)
		s.equal(s.visible(p), false)
		s.equal(s.stops()[0].Cause, store.Unclaimed)
	}},
	{"only looks, where no time is given", func(s *suite) {
		s.push("q", "a")
		p, _ := s.disowned(1)
		for range 2 {
			s.equal(s.audit(0), []store.Identity{p.id})
		}
		s.pass(2 * s.Tick)
		s.equal(len(s.lost()), 0)
		s.equal(s.audit(s.Tick), []store.Identity{p.id}) // for the books
	}},
	{"shows the jobs to who names the holder", func(s *suite) {
		s.push("q", "a", "b")
		p, jobs := s.disowned(2)
		s.equal(jids(jobs), []string{"a", "b"})
		var js []string
		for _, e := range s.entries(store.Query{Place: store.Keeping, Key: p.id}) {
			js = append(js, jidOf(e.Payload))
			s.equal(e.Holder, p.id)
		}
		s.equal(js, []string{"a", "b"})
		s.equal(len(s.audit(aliveFor)), 1)
	}},
	{"spares one that beats again", func(s *suite) {
		s.push("q", "a", "b")
		p, jobs := s.disowned(2)
		s.equal(s.audit(4*s.Tick), []store.Identity{p.id})
		p.beat(aliveFor, tokens(jobs)...)
		s.pass(5 * s.Tick)
		s.equal(len(s.lost()), 0)
		p.ack(jobs[0])
		s.equal(s.in(store.Keeping, ""), []string{"b"})
		// What happens to it later has nothing to do with that.
		s.vanish(p)
		s.equal(s.rescueAll(s.gone(p, store.Lapsed)), 1)
	}},
	{"spares one that beats before it is rescued", func(s *suite) {
		s.push("q", "a")
		p, jobs := s.disowned(1)
		s.audit(s.Tick)
		if s.st.Describe().LeaseIsLock {
			p.beat(aliveFor, tokens(jobs)...) // its lock has gone on all the time
			s.equal(len(s.lost()), 0)
			return
		}
		s.pass(2 * s.Tick)
		lost := s.gone(p, store.Unclaimed)
		p.beat(aliveFor, tokens(jobs)...)
		s.equal(s.rescueAll(lost), 0)
		p.ack(jobs...)
	}},
	{"finds what is left of one that said goodbye", func(s *suite) {
		s.push("q", "a")
		p := s.process()
		jobs := p.take(1, "q")
		s.must(p.Leave(s.Context(), p.verdict(), store.Farewell{ID: p.id, Deaf: tokens(jobs)}))
		s.Disown(s.T, p.id)
		s.equal(s.audit(s.Tick), []store.Identity{p.id})
		if s.Crash != nil {
			s.Crash(s.T, p.Store)
		}
		s.pass(2 * s.Tick)
		s.equal(s.rescueAll(s.gone(p, store.Unclaimed)), 1)
		s.want(store.Ready, "q", "a")
	}},
	{"may leave it to others", func(s *suite) {
		s.push("q", "a")
		p, _ := s.disowned(1)
		// Whoever has that part, one of them finds it.
		var found []store.Identity
		for _, by := range []store.Identity{"one:1:000000000001", "two:2:000000000002"} {
			ids, err := s.st.Audit(s.Context(), by, aliveFor)
			s.must(err)
			found = append(found, ids...)
		}
		s.equal(found, []store.Identity{p.id})
	}},
}
