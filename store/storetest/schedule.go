package storetest

import (
	"bytes"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var scheduleTests = []test{
	{"keeps jobs by time", func(s *suite) {
		s.schedule(3*time.Hour, "q", "c")
		s.schedule(time.Hour, "q", "a")
		s.schedule(2*time.Hour, "r", "b")
		s.want(store.Scheduled, "", "a", "b", "c")
		s.want(store.Scheduled, "q", "a", "c")
		s.equal(len(s.process().fetch(10, "q", "r")), 0)
	}},
	{"keeps the moment that the user named", func(s *suite) {
		at := time.Date(2199, 12, 31, 23, 59, 59, 250e6, time.UTC)
		it := item("a", "q")
		it.At, it.Delay = at, time.Second // At wins
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), it)
		s.must(err)
		e := s.entries(store.Query{Place: store.Scheduled})
		s.equal(len(e), 1)
		if d := e[0].At.Sub(at).Abs(); d > time.Millisecond {
			s.Errorf("due at %v, off by %v", e[0].At, d)
		}
	}},
	{"keeps bytes", func(s *suite) {
		for name, want := range oddJobs() {
			_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), store.Item{JID: name, Queue: "q", Kind: "T", Payload: want, Delay: time.Hour})
			s.must(err)
			e := s.entries(store.Query{Place: store.Scheduled})
			if len(e) != 1 || !bytes.Equal(e[0].Payload, want) {
				s.Fatalf("%s: read back as %.100q", name, e)
			}
			n, err := s.st.Delete(s.Context(), store.Undoable{}, store.Pick{Key: e[0].Key})
			s.must(err)
			s.equal(n, 1)
		}
	}},
	{"takes what is due already", func(s *suite) {
		it := item("past", "q")
		it.At = time.Unix(1_600_000_000, 0)
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), it, item("now", "q"))
		s.must(err)
		s.want(store.Scheduled, "", "past", "now")
		s.process().promote(2)
		s.want(store.Ready, "q", "past", "now")
	}},
	{"keeps two jobs of the same bytes apart", func(s *suite) {
		at := time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)
		a := item("a", "q")
		a.At = at
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), a, a)
		s.must(err)
		_, err = s.st.Schedule(s.Context(), s.me.call(store.LanePush), a)
		s.must(err)
		s.want(store.Scheduled, "", "a", "a", "a")
		n, err := s.st.Delete(s.Context(), store.Undoable{}, store.Pick{Key: s.entries(store.Query{Place: store.Scheduled})[1].Key})
		s.must(err)
		s.equal(n, 1)
		s.want(store.Scheduled, "", "a", "a")
	}},
	{"of nothing does nothing", func(s *suite) {
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush))
		s.must(err)
	}},
	{"repeated makes no second copy", func(s *suite) {
		call, it := s.me.call(store.LanePush), item("a", "q")
		it.Delay = time.Hour
		_, err := s.st.Schedule(s.Context(), call, it)
		s.must(err)
		again, err := s.st.Schedule(s.Context(), call, it)
		s.must(err)
		s.equal(again, []store.Result{{Repeated: true}})
		s.want(store.Scheduled, "", "a")
	}},
	{"repeated after the promotion makes no second copy", func(s *suite) {
		call, it := s.me.call(store.LanePush), item("a", "q")
		_, err := s.st.Schedule(s.Context(), call, it)
		s.must(err)
		s.process().promote(1)
		_, err = s.st.Schedule(s.Context(), call, it)
		s.must(err)
		s.want(store.Scheduled, "")
		s.want(store.Ready, "q", "a")
	}},
	{"late copy of an older call is refused", func(s *suite) {
		older, it := s.me.call(store.LanePush), item("a", "q")
		it.Delay = time.Hour
		_, err := s.st.Schedule(s.Context(), older, it)
		s.must(err)
		s.push("q", "b")
		_, err = s.st.Schedule(s.Context(), older, it)
		s.wantErr(err, store.ErrStale)
		s.want(store.Scheduled, "", "a")
	}},
	{"of more than MaxBatch is refused whole", func(s *suite) {
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), items("q", numbered("j", store.MaxBatch+1)...)...)
		if err == nil {
			s.Fatal("accepted")
		}
		s.equal(len(s.everywhere()), 0)
	}},
	{"carries MaxBatch", func(s *suite) {
		want := numbered("j", store.MaxBatch)
		s.schedule(time.Hour, "q", want...)
		s.equal(sorted(s.in(store.Scheduled, "")), want)
	}},
}
