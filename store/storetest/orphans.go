package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// lost is whom Orphans lists, without when it looked.
func (s *suite) lost(dead ...store.Identity) []store.Lost {
	s.Helper()
	lost, err := s.st.Orphans(s.Context(), 100, dead...)
	s.must(err)
	for i := range lost {
		if lost[i].Now.IsZero() {
			s.Errorf("%s was found lost at no time", lost[i].ID)
		}
		lost[i].Now = time.Time{}
	}
	return lost
}

// vanish ends p as a crash does, and lets its lease end.
func (s *suite) vanish(p *process) {
	s.Helper()
	p.beat(s.Tick)
	if s.Crash != nil {
		s.Crash(s.T, p.Store)
	}
	s.pass(2 * s.Tick)
}

// gone waits until Orphans lists p for that cause. Witnessed needs no crash, so that
// a test can go on as p.
func (s *suite) gone(p *process, cause store.Cause) store.Lost {
	s.Helper()
	var dead []store.Identity
	if cause == store.Witnessed {
		dead = append(dead, p.id)
	}
	var lost store.Lost
	s.eventually(fmt.Sprintf("%s %s", p.id, cause), func() bool {
		all := s.lost(dead...)
		i := slices.IndexFunc(all, func(l store.Lost) bool { return l.ID == p.id })
		if i >= 0 {
			lost = all[i]
		}
		return i >= 0
	})
	s.equal(lost.Cause, cause)
	return lost
}

var orphansTests = []test{
	{"are none while all live", func(s *suite) {
		s.push("q", "a")
		p := s.process()
		p.take(1, "q")
		s.equal(len(s.lost()), 0)
		s.equal(len(s.lost("nobody:1:000000000000")), 0)
	}},
	{"are those who vanished, with what they held", func(s *suite) {
		p, alive := s.process(), s.process()
		s.push("q", "a", "b", "c")
		jobs := p.take(2, "q")
		alive.take(1, "q")
		s.vanish(p)
		lost := s.gone(p, store.Lapsed)
		s.equal(lost.Jobs, jobs)
		s.equal(lost.More, false)
		s.equal(lost.Last.ID, p.id)
		s.equal(len(s.lost()), 1)
		// Looking changes nothing.
		s.equal(s.gone(p, store.Lapsed), lost)
		s.equal(sorted(s.in(store.Keeping, "")), []string{"a", "b", "c"})
	}},
	{"tell what the process last said", func(s *suite) {
		p := s.process()
		s.vanish(p)
		last := s.gone(p, store.Lapsed).Last
		s.equal([]any{last.Release, last.Tag, last.State, last.Grace}, []any{"r1", "tag", "running", 30 * time.Second})
	}},
	{"tell when it last beat, whatever became of its lease", func(s *suite) {
		p := s.process()
		s.pass(2 * s.Tick)
		s.must(s.st.Suspect(s.Context(), p.id, s.Tick))
		if s.Crash != nil {
			s.Crash(s.T, p.Store)
		}
		s.pass(2 * s.Tick)
		s.gone(p, store.Lapsed)
		lost, err := s.st.Orphans(s.Context(), 1)
		s.must(err)
		if after := lost[0].Now.Sub(lost[0].Beat); after < 4*s.Tick || after > aliveFor/2 {
			s.Errorf("last beat %v ago, at %v", after, lost[0].Beat)
		}
	}},
	{"without jobs are listed until somebody forgets them", func(s *suite) {
		p := s.process()
		s.vanish(p)
		lost := s.gone(p, store.Lapsed)
		s.equal(len(lost.Jobs), 0)
		s.equal(s.rescue(lost), 0)
		s.equal(len(s.lost()), 0)
		s.equal(s.visible(p), false)
	}},
	{"are witnessed without waiting for a lease", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		jobs := p.take(1, "q")
		lost := s.lost(p.id, "nobody:1:000000000000")
		s.equal(len(lost), 1)
		s.equal(lost[0].Cause, store.Witnessed)
		s.equal(lost[0].Jobs, jobs)
	}},
	{"are no more than asked for", func(s *suite) {
		for range 3 {
			s.vanish(s.process())
		}
		s.eventually("all three lost", func() bool { return len(s.lost()) == 3 })
		lost, err := s.st.Orphans(s.Context(), 2)
		s.must(err)
		s.equal(len(lost), 2)
	}},
	{"come with at most MaxBatch jobs each", func(s *suite) {
		p := s.process()
		s.push("q", numbered("j", store.MaxBatch)...)
		s.push("q", "last")
		p.take(store.MaxBatch+1, "q")
		lost := s.gone(p, store.Witnessed)
		s.equal(len(lost.Jobs), store.MaxBatch)
		s.equal(lost.More, true)
		s.equal(s.rescueAll(lost), store.MaxBatch)
		lost = s.gone(p, store.Witnessed)
		s.equal(len(lost.Jobs), 1)
		s.equal(lost.More, false)
		s.equal(s.rescueAll(lost), 1)
		s.equal(len(s.lost(p.id)), 0)
	}},
	{"are not those who are frozen, where a lease is a lock", func(s *suite) {
		if !s.st.Describe().LeaseIsLock || s.Freeze == nil {
			return
		}
		p := s.process()
		s.push("q", "a")
		jobs := p.take(1, "q")
		p.beat(s.Tick)
		thaw := s.Freeze(s.T, p.Store)
		for range 6 {
			s.pass(s.Tick)
			s.equal(len(s.lost()), 0)
		}
		thaw()
		p.ack(jobs...)
	}},
	{"are also those who are frozen, where a lease is time", func(s *suite) {
		if s.st.Describe().LeaseIsLock {
			return
		}
		p := s.process()
		s.push("q", "a")
		p.take(1, "q")
		p.beat(s.Tick)
		thaw := func() {}
		if s.Freeze != nil {
			thaw = s.Freeze(s.T, p.Store)
		}
		s.pass(2 * s.Tick)
		s.equal(s.rescueAll(s.gone(p, store.Lapsed)), 1)
		thaw()
		s.equal(p.beat(aliveFor).Renewed, true)
	}},
}
