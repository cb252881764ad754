package storetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var promoteTests = []test{
	{"of nothing says when to come again", func(s *suite) {
		p := s.process()
		moved, next, err := p.Promote(s.Context(), store.Promotion{By: p.id})
		s.must(err)
		s.equal(moved, 0)
		if next <= 0 || next > time.Minute {
			s.Errorf("next look in %v", next)
		}
	}},
	{"moves what is due to the back, oldest first, and nothing else", func(s *suite) {
		p := s.process()
		base := time.Unix(1_700_000_000, 0)
		for i, jid := range []string{"c", "a", "b"} {
			it := item(jid, "q")
			it.At = base.Add(time.Duration((i+2)%3) * time.Second)
			_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), it)
			s.must(err)
		}
		s.schedule(time.Hour, "q", "later")
		s.push("q", "first")
		p.promote(3)
		s.want(store.Ready, "q", "first", "a", "b", "c")
		s.want(store.Scheduled, "", "later")
	}},
	{"moves from both sets to the queue of each job", func(s *suite) {
		p := s.process()
		s.schedule(0, "größe {x}", "a")
		s.push("q", "b")
		s.must(p.Retry(s.Context(), p.verdict(), laters(p.take(1, "q"))...))
		p.promote(2)
		s.want(store.Ready, "größe {x}", "a")
		s.want(store.Ready, "q", "b")
	}},
	{"stamps the payload and leaves the rest of its bytes", func(s *suite) {
		p := s.process()
		odd := oddJobs()
		for name, want := range odd {
			_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), store.Item{JID: name, Queue: "q", Payload: want})
			s.must(err)
		}
		p.promote(len(odd))
		for _, j := range p.take(len(odd), "q") {
			want := odd[jidOf(j.Payload)]
			if !stamp.Match(j.Payload) {
				s.Errorf("%.100q has no stamp", j.Payload)
			}
			if unstamped(j.Payload) != string(want) {
				s.Errorf("%.100q came back as %.100q", want, j.Payload)
			}
		}
	}},
	{"moves no more than it may", func(s *suite) {
		p := s.process()
		s.schedule(0, "q", numbered("j", 30)...)
		moved := 0
		s.eventually("promotion of 30 jobs", func() bool {
			n, next, err := p.Promote(s.Context(), store.Promotion{By: p.id, Max: 7})
			s.must(err)
			if n > 7 {
				s.Fatalf("moved %d", n)
			}
			if moved += n; n == 7 && moved < 30 && next > time.Second {
				s.Errorf("next look in %v with %d jobs due", next, 30-moved)
			}
			return moved == 30
		})
		s.equal(sorted(s.in(store.Ready, "q")), numbered("j", 30))
	}},
	{"by many at once moves each job once", func(s *suite) {
		const n = 200
		s.schedule(0, "q", numbered("j", n)...)
		var wg sync.WaitGroup
		for range 5 {
			p := s.process()
			wg.Go(func() {
				for range 20 {
					if _, _, err := p.Promote(s.Context(), store.Promotion{By: p.id, Max: 15}); err != nil {
						s.Error(err)
					}
				}
			})
		}
		wg.Wait()
		p := s.process()
		s.eventually("promotion of all jobs", func() bool {
			_, _, err := p.Promote(s.Context(), store.Promotion{By: p.id})
			s.must(err)
			return len(s.in(store.Scheduled, "")) == 0
		})
		s.equal(sorted(s.in(store.Ready, "q")), numbered("j", n))
	}},
	{"is taken over when its process vanishes", func(s *suite) {
		first := s.process()
		first.promote(0)
		s.vanish(first)
		s.schedule(0, "q", "a")
		s.process().promote(1)
	}},
	{"trims the dead set to its size", func(s *suite) {
		p := s.process()
		s.push("q", numbered("j", 6)...)
		for _, j := range p.take(6, "q") {
			s.must(p.Bury(s.Context(), p.verdict(), store.Later{Token: j.Token}))
			s.pass(s.Tick / 10)
		}
		p.Promote(s.Context(), store.Promotion{By: p.id, DeadMax: 6})
		s.equal(len(s.in(store.Dead, "")), 6)
		s.eventually("trimming", func() bool {
			_, _, err := p.Promote(s.Context(), store.Promotion{By: p.id, DeadMax: 4})
			s.must(err)
			return len(s.in(store.Dead, "")) == 4
		})
		s.want(store.Dead, "", "j0002", "j0003", "j0004", "j0005")
		s.equal(s.book("q").Trimmed, int64(2))
	}},
	{"trims the dead set by age", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		s.must(p.Bury(s.Context(), p.verdict(), laters(p.take(1, "q"))...))
		for range 3 {
			_, _, err := p.Promote(s.Context(), store.Promotion{By: p.id, DeadAge: time.Hour})
			s.must(err)
		}
		s.want(store.Dead, "", "a")
		s.eventually("trimming", func() bool {
			_, _, err := p.Promote(s.Context(), store.Promotion{By: p.id, DeadAge: s.Tick})
			s.must(err)
			return len(s.in(store.Dead, "")) == 0
		})
		s.equal(s.book("q").Trimmed, int64(1))
	}},
	{"loses nothing that it cannot read", func(s *suite) {
		p := s.process()
		for name, bytes := range noJobs() {
			_, err := s.st.Push(s.Context(), s.me.call(store.LanePush), store.Item{JID: name, Queue: "q", Payload: bytes})
			s.must(err)
		}
		jobs := p.take(len(noJobs()), "q")
		s.must(p.Retry(s.Context(), p.verdict(), laters(jobs)...))
		s.schedule(0, "q", "a")
		s.eventually("promotion of the job that can be read", func() bool {
			_, _, err := p.Promote(s.Context(), store.Promotion{By: p.id})
			s.must(err)
			return len(s.everywhere()["a"]) == 1 && s.everywhere()["a"][0] == store.Ready
		})
		where := s.everywhere()
		for _, bytes := range noJobs() {
			s.equal(fmt.Sprint(len(where[jidOf(bytes)]), " places"), "1 places")
		}
	}},
}
