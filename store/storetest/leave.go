package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// leave says goodbye as p.
func (p *process) leave(f store.Farewell) error {
	p.s.Helper()
	f.ID, f.Report.ID = p.id, p.id
	return p.Leave(p.s.Context(), p.verdict(), f)
}

var leaveTests = []test{
	{"hands back to the front, in order, and is gone", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c", "d")
		s.push("r", "e", "f")
		q, r := p.take(3, "q"), p.take(1, "r")
		s.must(p.leave(store.Farewell{Back: laters([]store.Held{q[0], r[0], q[1], q[2]})}))
		s.want(store.Ready, "q", "a", "b", "c", "d")
		s.want(store.Ready, "r", "e", "f")
		s.equal(s.book("q").Requeued, int64(3))
		s.equal(s.visible(p), false)
		s.equal(len(s.lost()), 0)
	}},
	{"hands back with the payload and to the queue that it names", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		jobs := p.take(2, "q")
		s.must(p.leave(store.Farewell{Back: []store.Later{
			{Token: jobs[0].Token, Payload: payload("a", "q", 1)},
			{Token: jobs[1].Token, Payload: payload("b", "r", 1), Queue: "r"},
		}}))
		by := s.process()
		s.equal(string(by.take(1, "q")[0].Payload), string(payload("a", "q", 1)))
		s.equal(string(by.take(1, "r")[0].Payload), string(payload("b", "r", 1)))
	}},
	{"hands back what it does not name, behind what it names", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c", "d")
		jobs := p.take(3, "q")
		s.must(p.leave(store.Farewell{Back: laters(jobs[1:2])}))
		s.want(store.Ready, "q", "b", "a", "c", "d")
	}},
	{"without jobs", func(s *suite) {
		p := s.process()
		s.must(p.leave(store.Farewell{}))
		s.equal(s.visible(p), false)
	}},
	{"of a stranger takes its name", func(s *suite) {
		p := s.stranger()
		s.must(p.leave(store.Farewell{}))
		_, err := p.Beat(s.Context(), p.presence(), aliveFor)
		s.wantErr(err, store.ErrLeft)
	}},
	{"names what was not held, and moves the rest", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		jobs := p.take(2, "q")
		p.ack(jobs[0])
		s.wantNotHeld(p.leave(store.Farewell{Back: laters(jobs)}), jobs[0].Token)
		s.want(store.Ready, "q", "b")
		s.equal(len(s.stops()), 1)
	}},
	{"repeated changes nothing", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		f := store.Farewell{ID: p.id, Back: laters(p.take(2, "q")), Report: store.StopReport{ID: p.id, Reason: "SIGTERM"}}
		call := p.verdict()
		s.must(p.Leave(s.Context(), call, f))
		by := s.process()
		by.take(1, "q")
		s.must(p.Leave(s.Context(), call, f))
		s.want(store.Ready, "q", "b")
		s.equal(s.stops(), []store.StopReport{f.Report})
		s.equal(s.book("q").Requeued, int64(2))
	}},
	{"a second time is refused", func(s *suite) {
		p := s.process()
		s.must(p.leave(store.Farewell{}))
		s.wantErr(p.leave(store.Farewell{}), store.ErrLeft)
		s.equal(len(s.stops()), 1)
	}},
	{"beside a fetch strands no job", func(s *suite) {
		for i := range 20 {
			p := s.process()
			s.push("q", fmt.Sprint("j", i))
			fetch, leave := p.call(store.LaneFetch), p.verdict()
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _, err := p.Fetch(s.Context(), fetch, strict("q"), 1, moment)
				if err != nil && !errors.Is(err, store.ErrLeft) {
					s.Error(err)
				}
			})
			wg.Go(func() {
				err := p.Leave(s.Context(), leave, store.Farewell{ID: p.id, Report: store.StopReport{ID: p.id}})
				if err != nil {
					s.Error(err)
				}
			})
			wg.Wait()
			s.equal(len(s.in(store.Ready, "q")), i+1)
		}
	}},
	{"ends a fetch that waits, before it takes anything", func(s *suite) {
		p := s.process()
		done := make(chan []store.Held, 1)
		call := p.call(store.LaneFetch)
		go func() {
			jobs, _, _ := p.Fetch(s.Context(), call, strict("q"), 1, 5*moment)
			done <- jobs
		}()
		<-time.After(moment)
		s.must(p.leave(store.Farewell{}))
		s.push("q", "a")
		s.equal(len(<-done), 0)
		s.want(store.Ready, "q", "a")
	}},
	{"late copy of an older verdict is refused", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		jobs := p.take(1, "q")
		older := p.verdict()
		s.must(p.leave(store.Farewell{Deaf: tokens(jobs)}))
		s.wantErr(p.Ack(s.Context(), older, dones(jobs)...), store.ErrStale)
		s.want(store.Keeping, "", "a")
	}},
	{"late copy older than a verdict is refused", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		jobs := p.take(2, "q")
		older := p.verdict()
		p.ack(jobs[0])
		err := p.Leave(s.Context(), older, store.Farewell{ID: p.id, Report: store.StopReport{ID: p.id}})
		s.wantErr(err, store.ErrStale)
		s.want(store.Keeping, "", "b")
		p.beat(aliveFor)
	}},
	{"leaves deaf jobs to whoever lives, soon", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		jobs := p.take(2, "q")
		s.must(p.leave(store.Farewell{Back: laters(jobs[:1]), Deaf: tokens(jobs[1:]), Report: store.StopReport{Reason: "SIGTERM"}}))
		s.want(store.Ready, "q", "a")
		s.want(store.Keeping, "", "b")
		if s.Crash != nil {
			s.Crash(s.T, p.Store)
		}
		began := time.Now()
		lost := s.gone(p, store.Left)
		if took := time.Since(began); s.Pass == nil && took > patience/2 {
			s.Errorf("listed after %v", took)
		}
		s.equal(tokens(lost.Jobs), tokens(jobs[1:]))
		g := salvage(lost, rescued(lost, store.Ready)...)
		g.Report = &store.StopReport{ID: p.id, By: s.me.id, Jobs: []store.Fate{{JID: "b", Fate: "rescued"}}}
		moved, err := s.st.Rescue(s.Context(), g)
		s.must(err)
		s.equal(moved, 1)
		s.want(store.Ready, "q", "b", "a")
		s.equal(len(s.lost()), 0)
		// Its own report and the rescuer's are read as one.
		rs := s.stops()
		s.equal(len(rs), 1)
		s.equal(rs[0].Reason, "SIGTERM")
		s.equal(rs[0].Jobs, g.Report.Jobs)
	}},
	{"with deaf jobs is seen until they are rescued, but obeys nobody", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		s.must(p.leave(store.Farewell{Deaf: tokens(p.take(1, "q"))}))
		s.equal(s.visible(p), true)
		s.wantErr(s.st.Command(s.Context(), p.id, store.Command{Verb: store.Stop}), store.ErrUnknownProcess)
		s.equal(s.rescueAll(s.gone(p, store.Witnessed)), 1)
		s.equal(s.visible(p), false)
	}},
	{"with deaf jobs that were rescued in the meantime leaves nothing", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		jobs := p.take(1, "q")
		s.equal(s.rescueAll(s.gone(p, store.Witnessed)), 1)
		s.must(p.leave(store.Farewell{Deaf: tokens(jobs)}))
		s.want(store.Ready, "q", "a")
		s.equal(len(s.lost()), 0)
	}},
	{"answers later verdicts as a holder of nothing", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		jobs := p.take(1, "q")
		s.must(p.leave(store.Farewell{Back: laters(jobs)}))
		s.wantNotHeld(p.Ack(s.Context(), p.verdict(), dones(jobs)...), jobs[0].Token)
		s.want(store.Ready, "q", "a")
	}},
	{"keeps the stop report, newest first", func(s *suite) {
		report := store.StopReport{
			Release: "r1", Tag: "tag", Reason: "SIGTERM", Began: time.Unix(1_700_000_000, 0).UTC(), Ended: time.Unix(1_700_000_002, 0).UTC(), Grace: 30 * time.Second,
			Phases: []store.Phase{{Name: "quiet", Took: time.Millisecond, InFlight: 2}},
			Jobs:   []store.Fate{{JID: "a", Kind: "Test", Queue: "q", Fate: "handed back", Note: "größe"}},
			Notes:  []string{"PID 1 is a shell"},
		}
		var want []store.StopReport
		for range 3 {
			p := s.process()
			s.must(p.leave(store.Farewell{Report: report}))
			report.ID = p.id
			want = append(want, report)
			s.pass(s.Tick / 10)
		}
		slices.Reverse(want)
		s.equal(s.stops(), want)
	}},
}
