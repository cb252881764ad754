package storetest

import (
	"bytes"

	"github.com/ebbjobs/ebb/store"
)

var buryTests = []test{
	{"moves to the dead set in order of time", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		for _, job := range p.take(3, "q") {
			s.must(p.Bury(s.Context(), p.verdict(), withPayload([]store.Held{job})...))
			s.pass(s.Tick)
		}
		s.want(store.Dead, "", "a", "b", "c")
		for i, e := range s.entries(store.Query{Place: store.Dead}) {
			s.equal(string(e.Payload), string(payload(jidOf(e.Payload), "q", 1)))
			if e.At.IsZero() {
				s.Errorf("entry %d does not say since when it is dead", i)
			}
		}
		p.Promote(s.Context(), store.Promotion{By: p.id})
		s.want(store.Dead, "", "a", "b", "c")
	}},
	{"without a payload keeps the one it had", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		s.must(p.Bury(s.Context(), p.verdict(), laters(p.take(1, "q"))...))
		s.equal(string(s.entries(store.Query{Place: store.Dead})[0].Payload), string(payload("a", "q", 0)))
	}},
	{"keeps what nobody can read, until somebody deletes it", func(s *suite) {
		p := s.process()
		for name, want := range noJobs() {
			_, err := s.st.Push(s.Context(), s.me.call(store.LanePush), store.Item{JID: name, Queue: "odd", Payload: want})
			s.must(err)
			s.must(p.Bury(s.Context(), p.verdict(), laters(p.take(1, "odd"))...))
			e := s.entries(store.Query{Place: store.Dead})
			if len(e) != 1 || !bytes.Equal(e[0].Payload, want) {
				s.Fatalf("%s: read back as %.100q", name, e)
			}
			n, err := s.st.Delete(s.Context(), store.Undoable{}, store.Pick{Key: e[0].Key})
			s.must(err)
			s.equal(n, 1)
		}
		s.equal(s.book("odd").Buried, int64(len(noJobs())))
	}},
	{"keeps bytes", func(s *suite) {
		p := s.process()
		for name, want := range oddJobs() {
			s.push("q", name)
			s.must(p.Bury(s.Context(), p.verdict(), store.Later{Token: p.take(1, "q")[0].Token, Payload: want}))
			e := s.entries(store.Query{Place: store.Dead, JID: name})
			if len(e) != 1 || !bytes.Equal(e[0].Payload, want) {
				s.Errorf("%s: read back as %.100q", name, e)
			}
		}
	}},
	{"keeps equal jobs that died together apart", func(s *suite) {
		p := s.process()
		s.push("q", "a", "a", "a")
		s.must(p.Bury(s.Context(), p.verdict(), laters(p.take(3, "q"))...))
		s.want(store.Dead, "", "a", "a", "a")
	}},
}
