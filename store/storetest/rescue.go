package storetest

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// rescue takes these jobs from a lost process, and returns how many moved.
func (s *suite) rescue(lost store.Lost, jobs ...store.Rescued) int {
	s.Helper()
	moved, err := s.st.Rescue(s.Context(), salvage(lost, jobs...))
	s.must(err)
	return moved
}

func salvage(lost store.Lost, jobs ...store.Rescued) store.Salvage {
	return store.Salvage{ID: lost.ID, Cause: lost.Cause, Seen: lost.Seen, Jobs: jobs}
}

// rescueAll puts all that a lost process held at the front of its queues.
func (s *suite) rescueAll(lost store.Lost) int {
	s.Helper()
	return s.rescue(lost, rescued(lost, store.Ready)...)
}

func rescued(lost store.Lost, to store.Place) []store.Rescued {
	var rs []store.Rescued
	for _, j := range lost.Jobs {
		rs = append(rs, store.Rescued{Token: j.Token, Was: j.Payload, To: to})
	}
	return rs
}

// stops lists stop reports.
func (s *suite) stops() []store.StopReport {
	s.Helper()
	var rs []store.StopReport
	for r, err := range s.st.Stops(s.Context()) {
		s.must(err)
		rs = append(rs, r)
	}
	return rs
}

var rescueTests = []test{
	{"puts jobs at the front, in their order", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c", "d")
		p.take(3, "q")
		s.vanish(p)
		s.equal(s.rescueAll(s.gone(p, store.Lapsed)), 3)
		s.want(store.Ready, "q", "a", "b", "c", "d")
		s.equal(s.book("q").Rescued, int64(3))
		s.equal(len(s.lost()), 0)
		s.equal(s.visible(p), false)
	}},
	{"puts each job where it says", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		s.push("r", "d")
		p.take(3, "q")
		p.take(1, "r")
		lost := s.gone(p, store.Witnessed)
		var to []store.Rescued
		for _, j := range lost.Jobs {
			r := store.Rescued{Token: j.Token, Was: j.Payload, Payload: payload(jidOf(j.Payload), j.Queue, 1), Delay: time.Hour}
			r.To = map[string]store.Place{"a": store.Retrying, "b": store.Dead, "c": store.Scheduled, "d": store.Ready}[jidOf(j.Payload)]
			to = append(to, r)
		}
		s.equal(s.rescue(lost, to...), 4)
		s.equal(s.everywhere(), map[string][]store.Place{"a": {store.Retrying}, "b": {store.Dead}, "c": {store.Scheduled}, "d": {store.Ready}})
		for _, q := range []store.Query{{Place: store.Retrying}, {Place: store.Dead}, {Place: store.Scheduled}, {Place: store.Ready, Queue: "r"}} {
			e := s.entries(q)[0]
			want := string(payload(jidOf(e.Payload), e.Queue, 1))
			if q.Place == store.Ready {
				s.equal(stamp.Match(e.Payload), true)
				s.equal(unstamped(e.Payload), want)
			} else {
				s.equal(string(e.Payload), want)
			}
		}
		moved, _, err := s.me.Promote(s.Context(), store.Promotion{By: s.me.id})
		s.must(err)
		s.equal(moved, 0)
	}},
	{"keeps bytes that nobody can read", func(s *suite) {
		p := s.process()
		for name, want := range noJobs() {
			_, err := s.st.Push(s.Context(), s.me.call(store.LanePush), store.Item{JID: name, Queue: "q", Payload: want})
			s.must(err)
		}
		p.take(len(noJobs()), "q")
		s.equal(s.rescueAll(s.gone(p, store.Witnessed)), len(noJobs()))
		var got, want []string
		for _, j := range s.process().take(len(noJobs()), "q") {
			got = append(got, string(j.Payload))
		}
		for _, bytes := range noJobs() {
			want = append(want, string(bytes))
		}
		s.equal(sorted(got), sorted(want))
	}},
	{"leaves a job whose payload has changed", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		jobs := p.take(2, "q")
		lost := s.gone(p, store.Witnessed)
		s.must(p.Checkpoint(s.Context(), p.verdict(), withPayload(jobs[:1])...))
		s.equal(s.rescueAll(lost), 1)
		// Nothing moves any more, nobody is forgotten, so there is nothing to report.
		g := salvage(lost, rescued(lost, store.Ready)...)
		g.Report = &store.StopReport{ID: p.id, Reason: "vanished"}
		moved, err := s.st.Rescue(s.Context(), g)
		s.must(err)
		s.equal(moved, 0)
		s.equal(len(s.stops()), 0)
		s.want(store.Keeping, "", "a")
		s.equal(s.rescueAll(s.gone(p, store.Witnessed)), 1)
		s.equal(unstamped(s.process().take(1, "q")[0].Payload), string(payload("a", "q", 1)))
	}},
	{"leaves all if the lease was renewed", func(s *suite) {
		p := s.process()
		if s.st.Describe().LeaseIsLock {
			return // a lock that was let go has no owner to take it again
		}
		s.push("q", "a")
		jobs := p.take(1, "q")
		p.beat(s.Tick)
		s.pass(2 * s.Tick)
		lost := s.gone(p, store.Lapsed)
		for _, ttl := range []time.Duration{aliveFor, s.Tick} {
			p.beat(ttl, tokens(jobs)...)
			if ttl == s.Tick {
				s.pass(2 * s.Tick) // ended again, but not as it was seen
			}
			s.equal(s.rescueAll(lost), 0)
			s.want(store.Keeping, "", "a")
		}
		s.equal(len(s.stops()), 0)
	}},
	{"leaves jobs that have had their verdict", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		jobs := p.take(2, "q")
		lost := s.gone(p, store.Witnessed)
		p.ack(jobs[0])
		s.equal(s.rescueAll(lost), 1)
		s.want(store.Ready, "q", "b")
	}},
	{"repeated moves nothing", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		p.take(2, "q")
		s.vanish(p)
		lost := s.gone(p, store.Lapsed)
		s.equal(s.rescueAll(lost), 2)
		s.equal(s.rescueAll(lost), 0)
		again := s.process()
		again.take(2, "q")
		s.equal(s.rescueAll(lost), 0)
		s.want(store.Keeping, "", "a", "b")
	}},
	{"late copy does nothing to the same boot, registered again", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		p.take(1, "q")
		lost := s.gone(p, store.Witnessed)
		s.equal(s.rescueAll(lost), 1)
		p.beat(aliveFor)
		p.take(1, "q")
		s.equal(s.rescueAll(lost), 0)
		s.want(store.Keeping, "", "a")
	}},
	{"of somebody unknown does nothing", func(s *suite) {
		moved, err := s.st.Rescue(s.Context(), store.Salvage{ID: "nobody:1:000000000000", Cause: store.Lapsed, Report: &store.StopReport{ID: "nobody:1:000000000000"}})
		s.must(err)
		s.equal(moved, 0)
		s.equal(len(s.stops()), 0)
	}},
	{"of more than MaxBatch is refused whole", func(s *suite) {
		p := s.process()
		s.push("q", numbered("j", store.MaxBatch)...)
		p.take(store.MaxBatch, "q")
		lost := s.gone(p, store.Witnessed)
		jobs := rescued(lost, store.Ready)
		if _, err := s.st.Rescue(s.Context(), salvage(lost, append(jobs, jobs[0])...)); err == nil {
			s.Fatal("accepted")
		}
		s.equal(len(s.in(store.Keeping, "")), store.MaxBatch)
	}},
	{"by many at once moves each job once", func(s *suite) {
		p := s.process()
		s.push("q", numbered("j", 50)...)
		p.take(50, "q")
		s.vanish(p)
		lost := s.gone(p, store.Lapsed)
		var moved atomic.Int64
		var wg sync.WaitGroup
		for range 5 {
			by := s.process()
			g := salvage(lost, rescued(lost, store.Ready)...)
			g.Report = &store.StopReport{ID: p.id, By: by.id, Reason: "vanished"}
			wg.Go(func() {
				n, err := by.Rescue(s.Context(), g)
				if err != nil {
					s.Error(err)
				}
				moved.Add(int64(n))
			})
		}
		wg.Wait()
		s.equal(moved.Load(), int64(50))
		s.equal(s.in(store.Ready, "q"), numbered("j", 50))
		s.equal(len(s.stops()), 1)
	}},
	{"beside verdicts gives each job to one of them", func(s *suite) {
		const n = 60
		p := s.process()
		s.push("q", numbered("j", n)...)
		jobs := p.take(n, "q")
		lost := s.gone(p, store.Witnessed)
		var acked, moved int
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, j := range jobs {
				switch err := p.Ack(s.Context(), p.verdict(), store.Done{Token: j.Token}); {
				case err == nil:
					acked++
				case !errors.Is(err, store.ErrNotHeld):
					s.Error(err)
				}
			}
		})
		wg.Go(func() {
			rs := rescued(lost, store.Ready)
			for i := n; i > 0; i -= 4 { // from the other end
				k, err := s.st.Rescue(s.Context(), salvage(lost, rs[i-4:i]...))
				if err != nil {
					s.Error(err)
				}
				moved += k
			}
		})
		wg.Wait()
		s.equal(acked+moved, n)
		s.equal(len(s.in(store.Ready, "q")), moved)
	}},
	{"beside a checkpoint keeps one of both payloads", func(s *suite) {
		p := s.process()
		for i := range 20 {
			s.push("q", "a")
			job := p.take(1, "q")[0]
			lost := s.gone(p, store.Witnessed)
			r := rescued(lost, store.Ready)[0]
			r.Payload = payload("a", "q", 2)
			var saved error
			var moved int
			var wg sync.WaitGroup
			call := p.verdict()
			wg.Go(func() { saved = p.Checkpoint(s.Context(), call, withPayload([]store.Held{job})...) })
			wg.Go(func() { moved = s.rescue(lost, r) })
			wg.Wait()
			if (saved == nil) == (moved == 1) {
				s.Fatalf("round %d: checkpoint %v, %d rescued", i, saved, moved)
			}
			p.beat(aliveFor)
			if moved == 1 {
				s.wantNotHeld(saved, job.Token)
				job = p.take(1, "q")[0]
				s.equal(unstamped(job.Payload), string(r.Payload))
			}
			p.ack(job)
		}
	}},
	{"keeps its report once", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		p.take(1, "q")
		s.vanish(p)
		lost := s.gone(p, store.Lapsed)
		g := salvage(lost, rescued(lost, store.Ready)...)
		g.Report = &store.StopReport{ID: p.id, By: s.me.id, Cause: store.Lapsed, Reason: "vanished",
			Jobs: []store.Fate{{JID: "a", Kind: "Test", Queue: "q", Fate: "rescued"}}}
		for range 2 {
			_, err := s.st.Rescue(s.Context(), g)
			s.must(err)
		}
		s.equal(s.stops(), []store.StopReport{*g.Report})
	}},
	{"keeps a report of a process that held nothing", func(s *suite) {
		p := s.process()
		s.vanish(p)
		g := salvage(s.gone(p, store.Lapsed))
		g.Report = &store.StopReport{ID: p.id, Reason: "vanished"}
		for range 2 {
			_, err := s.st.Rescue(s.Context(), g)
			s.must(err)
		}
		s.equal(s.stops(), []store.StopReport{*g.Report})
	}},
	{"in parts has its reports read as one", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		p.take(2, "q")
		lost := s.gone(p, store.Witnessed)
		jobs := rescued(lost, store.Ready)
		slices.Reverse(jobs)
		for _, r := range jobs {
			g := salvage(lost, r)
			g.Report = &store.StopReport{ID: p.id, Reason: "vanished", Jobs: []store.Fate{{JID: jidOf(r.Was), Fate: "rescued"}}}
			n, err := s.st.Rescue(s.Context(), g)
			s.must(err)
			s.equal(n, 1)
		}
		s.equal(s.stops(), []store.StopReport{{ID: p.id, Reason: "vanished", Jobs: []store.Fate{{JID: "b", Fate: "rescued"}, {JID: "a", Fate: "rescued"}}}})
		s.want(store.Ready, "q", "a", "b")
	}},
}

var suspectTests = []test{
	{"shortens a lease", func(s *suite) {
		p := s.process()
		if s.st.Describe().LeaseIsLock {
			s.must(s.st.Suspect(s.Context(), p.id, 0))
			s.pass(s.Tick)
			s.equal(len(s.lost()), 0)
			return
		}
		s.push("q", "a")
		p.take(1, "q")
		s.must(s.st.Suspect(s.Context(), p.id, s.Tick))
		s.pass(2 * s.Tick)
		s.equal(s.rescueAll(s.gone(p, store.Lapsed)), 1)
	}},
	{"is answered by a beat", func(s *suite) {
		p := s.process()
		s.must(s.st.Suspect(s.Context(), p.id, aliveFor/2))
		s.equal(p.beat(aliveFor).Renewed, false)
		s.pass(2 * s.Tick)
		s.equal(len(s.lost()), 0)
	}},
	{"never lengthens a lease", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		p.take(1, "q")
		s.vanish(p)
		lost := s.gone(p, store.Lapsed)
		s.must(s.st.Suspect(s.Context(), p.id, aliveFor))
		s.equal(s.lost(), []store.Lost{lost})
		s.equal(s.rescueAll(lost), 1)
	}},
	{"of somebody unknown does nothing", func(s *suite) {
		s.must(s.st.Suspect(s.Context(), "nobody:1:000000000000", time.Second))
		s.equal(len(s.lost()), 0)
	}},
}
