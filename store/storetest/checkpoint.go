package storetest

import (
	"bytes"
	"maps"

	"github.com/ebbjobs/ebb/store"
)

var checkpointTests = []test{
	{"is what the next run begins with", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		jobs := p.take(3, "q")
		s.must(p.Checkpoint(s.Context(), p.verdict(), withPayload(jobs[:2])...))
		// Handed back, or found by a rescuer: the held payload is the truth.
		s.must(p.Requeue(s.Context(), p.verdict(), store.Later{Token: jobs[0].Token}))
		s.equal(string(p.take(1, "q")[0].Payload), string(payload("a", "q", 1)))
		lost := s.gone(p, store.Witnessed)
		for _, j := range lost.Jobs {
			if j.Token == jobs[1].Token {
				s.equal(string(j.Payload), string(payload("b", "q", 1)))
			}
		}
		s.equal(s.rescueAll(lost), 3)
		for _, j := range s.process().take(3, "q") {
			n := 1
			if jidOf(j.Payload) == "c" {
				n = 0
			}
			s.equal(unstamped(j.Payload), string(payload(jidOf(j.Payload), "q", n)))
		}
	}},
	{"keeps the token", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		jobs := p.take(1, "q")
		for range 3 {
			s.must(p.Checkpoint(s.Context(), p.verdict(), withPayload(jobs)...))
		}
		s.equal(len(p.beat(aliveFor, jobs[0].Token).Gone), 0)
		p.ack(jobs...)
	}},
	{"is in the answer to a repeated fetch", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		call := p.call(store.LaneFetch)
		s.must(p.Checkpoint(s.Context(), p.verdict(), withPayload(p.ask(call, 1, "q"))...))
		s.equal(string(p.ask(call, 1, "q")[0].Payload), string(payload("a", "q", 1)))
	}},
	{"without a payload changes nothing", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		s.must(p.Checkpoint(s.Context(), p.verdict(), laters(p.take(1, "q"))...))
		s.equal(string(s.entries(store.Query{Place: store.Keeping})[0].Payload), string(payload("a", "q", 0)))
	}},
	{"keeps bytes", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		job := p.take(1, "q")[0]
		odd := oddJobs()
		maps.Copy(odd, noJobs())
		for name, want := range odd {
			s.must(p.Checkpoint(s.Context(), p.verdict(), store.Later{Token: job.Token, Payload: want}))
			if got := s.entries(store.Query{Place: store.Keeping})[0].Payload; !bytes.Equal(got, want) {
				s.Errorf("%s: read back as %.100q", name, got)
			}
		}
	}},
}
