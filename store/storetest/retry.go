package storetest

import (
	"bytes"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var retryTests = []test{
	{"moves to the retry set by time", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		jobs := p.take(3, "q")
		later := withPayload(jobs)
		later[0].Delay, later[1].Delay, later[2].Delay = 3*time.Hour, time.Hour, 2*time.Hour
		s.must(p.Retry(s.Context(), p.verdict(), later...))
		s.want(store.Retrying, "", "b", "c", "a")
		for _, e := range s.entries(store.Query{Place: store.Retrying}) {
			s.equal(string(e.Payload), string(payload(jidOf(e.Payload), "q", 1)))
			s.equal(e.Queue, "q")
		}
		s.want(store.Keeping, "")
		s.equal(len(p.fetch(5, "q")), 0)
	}},
	{"moves to the scheduled set where it says so", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		jobs := p.take(3, "q")
		s.must(p.Retry(s.Context(), p.verdict(),
			store.Later{Token: jobs[0].Token, Set: store.Scheduled, Delay: time.Hour},
			store.Later{Token: jobs[1].Token, Set: store.Retrying, Delay: time.Hour},
			store.Later{Token: jobs[2].Token, Delay: time.Hour}))
		s.want(store.Scheduled, "", "a")
		s.equal(sorted(s.in(store.Retrying, "")), []string{"b", "c"})
	}},
	{"counts the delay from the store's now", func(s *suite) {
		p := s.process()
		s.push("q", "soon", "late")
		jobs := p.take(2, "q")
		s.must(p.Retry(s.Context(), p.verdict(), store.Later{Token: jobs[0].Token, Delay: s.Tick}, store.Later{Token: jobs[1].Token, Delay: time.Hour}))
		p.promote(1)
		s.want(store.Ready, "q", "soon")
		s.want(store.Retrying, "", "late")
	}},
	{"keeps bytes", func(s *suite) {
		p := s.process()
		for name, want := range oddJobs() {
			s.push("q", name)
			s.must(p.Retry(s.Context(), p.verdict(), store.Later{Token: p.take(1, "q")[0].Token, Payload: want, Delay: time.Hour}))
			e := s.entries(store.Query{Place: store.Retrying, JID: name})
			if len(e) != 1 || !bytes.Equal(e[0].Payload, want) {
				s.Errorf("%s: read back as %.100q", name, e)
			}
		}
	}},
	{"without a payload keeps the one it had", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		s.must(p.Retry(s.Context(), p.verdict(), laters(p.take(1, "q"))...))
		s.equal(string(s.entries(store.Query{Place: store.Retrying})[0].Payload), string(payload("a", "q", 0)))
	}},
	{"goes on in another queue", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		job := p.take(1, "q")[0]
		s.must(p.Retry(s.Context(), p.verdict(), store.Later{Token: job.Token, Queue: "slow", Payload: payload("a", "slow", 1)}))
		s.want(store.Retrying, "slow", "a")
		p.promote(1)
		s.want(store.Ready, "q")
		s.want(store.Ready, "slow", "a")
	}},
	{"keeps equal jobs that are due together apart", func(s *suite) {
		p := s.process()
		s.push("q", "a", "a", "a", "a")
		jobs := p.take(4, "q")
		later := laters(jobs)
		for i := range later {
			later[i].Delay = s.Tick
			if i > 1 {
				later[i].Set = store.Scheduled
			}
		}
		s.must(p.Retry(s.Context(), p.verdict(), later...))
		s.want(store.Retrying, "", "a", "a")
		s.want(store.Scheduled, "", "a", "a")
		p.promote(4)
		s.want(store.Ready, "q", "a", "a", "a", "a")
		p.ack(p.take(4, "q")...)
	}},
}
