package storetest

import (
	"bytes"
	"maps"

	"github.com/ebbjobs/ebb/store"
)

var requeueTests = []test{
	{"goes to the front, the first of the batch foremost", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c", "d", "e")
		jobs := p.take(3, "q")
		s.must(p.Requeue(s.Context(), p.verdict(), laters(jobs)...))
		s.want(store.Ready, "q", "a", "b", "c", "d", "e")
		jobs = p.take(2, "q")
		s.must(p.Requeue(s.Context(), p.verdict(), store.Later{Token: jobs[1].Token}, store.Later{Token: jobs[0].Token}))
		s.want(store.Ready, "q", "b", "a", "c", "d", "e")
		s.equal(jids(p.take(5, "q")), []string{"b", "a", "c", "d", "e"})
	}},
	{"later comes before earlier", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		jobs := p.take(2, "q")
		s.must(p.Requeue(s.Context(), p.verdict(), laters(jobs[1:])...))
		s.must(p.Requeue(s.Context(), p.verdict(), laters(jobs[:1])...))
		s.want(store.Ready, "q", "a", "b", "c")
	}},
	{"leaves bytes alone", func(s *suite) {
		p := s.process()
		odd := oddJobs()
		maps.Copy(odd, noJobs())
		for name, want := range odd {
			_, err := s.st.Push(s.Context(), s.me.call(store.LanePush), store.Item{JID: name, Queue: "q", Payload: want})
			s.must(err)
			s.must(p.Requeue(s.Context(), p.verdict(), laters(p.take(1, "q"))...))
			job := p.take(1, "q")[0]
			if !bytes.Equal(job.Payload, want) {
				s.Errorf("%s: came back as %.100q", name, job.Payload)
			}
			p.ack(job)
		}
	}},
	{"writes the payload that it is given, and no stamp", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		s.must(p.Requeue(s.Context(), p.verdict(), withPayload(p.take(1, "q"))...))
		s.equal(string(p.take(1, "q")[0].Payload), string(payload("a", "q", 1)))
	}},
	{"goes to the front of the queue that it names", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		s.push("r", "c")
		jobs := p.take(2, "q")
		s.must(p.Requeue(s.Context(), p.verdict(),
			store.Later{Token: jobs[0].Token, Queue: "r", Payload: payload("a", "r", 1)}, store.Later{Token: jobs[1].Token}))
		s.want(store.Ready, "r", "a", "c")
		s.want(store.Ready, "q", "b")
	}},
}
