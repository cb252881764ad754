package storetest

import (
	"slices"
	"sync"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ebbjobs/ebb/store"
)

var beatTests = []test{
	{"registers, then renews", func(s *suite) {
		p := s.stranger()
		for i, want := range []bool{true, false, false} {
			o := p.beat(aliveFor)
			s.equal(o.Renewed, want)
			s.equal(o.Reconnected, false)
			if len(o.Commands)+len(o.Gone)+len(o.Unknown)+len(o.Paused) != 0 {
				s.Errorf("beat %d: orders %+v", i, o)
			}
		}
	}},
	{"renews a lease that had ended", func(s *suite) {
		p := s.process()
		if s.st.Describe().LeaseIsLock {
			return
		}
		p.beat(s.Tick)
		s.pass(2 * s.Tick)
		s.equal(p.beat(aliveFor).Renewed, true)
		s.equal(p.beat(aliveFor).Renewed, false)
		s.equal(len(s.lost()), 0)
	}},
	{"shows what the process says of itself", func(s *suite) {
		p := s.stranger()
		pr := p.presence()
		pr.Busy = []store.Run{{Slot: "1", JID: "a", Kind: "Test", Queue: "q", Payload: payload("a", "q", 0), Since: time.Unix(1_700_000_100, 0).UTC(), Note: "half"}}
		for _, state := range []string{"running", "draining"} {
			pr.State = state
			if state == "draining" {
				pr.KillAt = time.Unix(1_700_000_200, 0).UTC()
			}
			_, err := p.Beat(s.Context(), pr, aliveFor)
			s.must(err)
			got := s.shown(p)
			if diff := gocmp.Diff(pr, got.Presence, cmpopts.IgnoreFields(store.Run{}, "Token", "Payload"), cmpopts.EquateApproxTime(time.Millisecond)); diff != "" {
				s.Errorf("%s (-said +shown):\n%s", state, diff)
			}
			s.equal(got.Lang, "go")
			s.equal(got.Lapsed, false)
			s.equal(got.Frozen, false)
			if got.Beat.IsZero() {
				s.Error("no time of the last beat")
			}
		}
	}},
	{"names what is no longer held", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		jobs := p.take(3, "q")
		p.ack(jobs[1])
		s.equal(p.beat(aliveFor, tokens(jobs)...).Gone, []store.Token{jobs[1].Token})
		s.equal(s.rescueAll(s.gone(p, store.Witnessed)), 2)
		gone := p.beat(aliveFor, tokens(jobs)...).Gone
		slices.Sort(gone)
		want := tokens(jobs)
		slices.Sort(want)
		s.equal(gone, want)
	}},
	{"returns what is held and not known", func(s *suite) {
		p, other := s.process(), s.process()
		s.push("q", "a", "b", "c", "d")
		jobs := p.take(3, "q")
		other.take(1, "q")
		o := p.beat(aliveFor, jobs[0].Token)
		s.equal(len(o.Gone), 0)
		s.equal(o.Unknown, jobs[1:])
		s.must(p.Requeue(s.Context(), p.verdict(), laters(o.Unknown)...))
		s.equal(len(p.beat(aliveFor, jobs[0].Token).Unknown), 0)
		s.want(store.Ready, "q", "b", "c")
	}},
	{"tells of tokens that never were", func(s *suite) {
		p := s.process()
		s.equal(p.beat(aliveFor, "nonsense").Gone, []store.Token{"nonsense"})
	}},
	{"does not touch what the process holds", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		jobs := p.take(1, "q")
		for range 3 {
			p.beat(aliveFor)
		}
		p.ack(jobs...)
	}},
	{"lists paused queues", func(s *suite) {
		p := s.process()
		for _, q := range []string{"b", "a", "größe"} {
			s.must(s.st.Pause(s.Context(), q, true))
		}
		s.must(s.st.Pause(s.Context(), "b", false))
		s.equal(sorted(p.beat(aliveFor).Paused), []string{"a", "größe"})
	}},
	{"brings each command once, in their order", func(s *suite) {
		p, other := s.process(), s.process()
		cancel := store.Command{Verb: store.Cancel, JID: "a"}
		for _, c := range []store.Command{{Verb: store.Quiet}, cancel, {Verb: store.Stop}} {
			s.must(s.st.Command(s.Context(), p.id, c))
		}
		s.equal(len(other.beat(aliveFor).Commands), 0)
		s.equal(p.beat(aliveFor).Commands, []store.Command{{Verb: store.Quiet}, cancel, {Verb: store.Stop}})
		s.equal(len(p.beat(aliveFor).Commands), 0)
	}},
	{"after Leave is refused for good", func(s *suite) {
		p := s.process()
		s.must(p.Leave(s.Context(), p.verdict(), store.Farewell{ID: p.id, Report: store.StopReport{ID: p.id}}))
		_, err := p.Beat(s.Context(), p.presence(), aliveFor)
		s.wantErr(err, store.ErrLeft)
		s.equal(s.visible(p), false)
	}},
	{"after a rescue registers again", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		p.take(1, "q")
		s.rescueAll(s.gone(p, store.Witnessed))
		s.equal(s.visible(p), false)
		s.equal(p.beat(aliveFor).Renewed, true)
		s.equal(jids(p.take(1, "q")), []string{"a"})
	}},
	{"of many at once", func(s *suite) {
		var wg sync.WaitGroup
		for range 8 {
			p := s.stranger()
			wg.Go(func() {
				for range 10 {
					if _, err := p.Beat(s.Context(), p.presence(), aliveFor); err != nil {
						s.Error(err)
					}
				}
			})
		}
		wg.Wait()
		ps, err := s.st.Processes(s.Context())
		s.must(err)
		s.equal(len(ps), 8)
	}},
}

// shown is how people see p; zero if they do not.
func (s *suite) shown(p *process) store.Process {
	s.Helper()
	ps, err := s.st.Processes(s.Context())
	s.must(err)
	for _, pr := range ps {
		if pr.ID == p.id {
			return pr
		}
	}
	return store.Process{}
}

func (s *suite) visible(p *process) bool {
	s.Helper()
	return s.shown(p).ID == p.id
}
