package storetest

import "github.com/ebbjobs/ebb/store"

var ackTests = []test{
	{"forgets the job", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		jobs := p.take(2, "q")
		p.ack(jobs[0])
		s.equal(s.everywhere(), map[string][]store.Place{"b": {store.Keeping}})
		p.ack(jobs[1])
		s.equal(len(s.everywhere()), 0)
	}},
	{"carries jobs of several queues and outcomes", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		s.push("r", "c", "d")
		q, r := p.take(2, "q"), p.take(2, "r")
		s.must(p.Ack(s.Context(), p.verdict(),
			store.Done{Token: q[0].Token}, store.Done{Token: r[0].Token, Outcome: store.Discarded, Failed: true},
			store.Done{Token: q[1].Token, Outcome: store.Expired}, store.Done{Token: r[1].Token}))
		bq, br := s.book("q"), s.book("r")
		s.equal([]int64{bq.Done, bq.Discarded, bq.Expired, bq.Held}, []int64{1, 0, 1, 0})
		s.equal([]int64{br.Done, br.Discarded, br.Expired, br.Held}, []int64{1, 1, 0, 0})
	}},
	{"of one lane does not disturb pushes of another", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		jobs := p.take(1, "q")
		for range 5 { // numbers on the push lane run ahead
			_, err := p.Push(s.Context(), p.call(store.LanePush), item("b", "r"))
			s.must(err)
		}
		p.ack(jobs...)
		s.equal(s.book("q").Done, int64(1))
	}},
}
