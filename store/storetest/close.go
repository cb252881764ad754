package storetest

import (
	"context"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var closeTests = []test{
	{"twice does nothing", func(s *suite) {
		st := s.Open(s.T)
		s.must(st.Close())
		s.must(st.Close())
	}},
	{"makes every later call fail", func(s *suite) {
		p := s.process()
		s.must(p.Close())
		ctx := s.Context()
		_, errPush := p.Push(ctx, p.call(store.LanePush), item("a", "q"))
		_, _, errFetch := p.Fetch(ctx, p.call(store.LaneFetch), strict("q"), 1, time.Second)
		_, errBeat := p.Beat(ctx, p.presence(), aliveFor)
		_, errStats := p.Stats(ctx)
		_, errUndo := p.Undo(ctx, "c", 0)
		for call, err := range map[string]error{
			"push": errPush, "fetch": errFetch, "beat": errBeat, "stats": errStats, "undo": errUndo,
			"ack":    p.Ack(ctx, p.verdict(), store.Done{Token: "1"}),
			"record": p.Record(ctx, store.Change{ID: "c"}),
		} {
			if err == nil {
				s.Errorf("%s on a closed store succeeded", call)
			}
		}
		s.equal(len(s.everywhere()), 0)
	}},
	{"ends a fetch that waits", func(s *suite) {
		p := s.process()
		done := make(chan struct{})
		call := p.call(store.LaneFetch)
		go func() {
			defer close(done)
			p.Fetch(context.WithoutCancel(s.Context()), call, strict("q"), 1, 4*patience)
		}()
		<-time.After(moment)
		s.must(p.Close())
		select {
		case <-done:
		case <-time.After(patience):
			s.Fatal("still waiting")
		}
	}},
	{"leaves jobs where they are", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b")
		jobs := p.take(1, "q")
		s.must(p.Close())
		s.equal(s.everywhere(), map[string][]store.Place{"a": {store.Keeping}, "b": {store.Ready}})
		lost := s.gone(p, store.Witnessed)
		s.equal(tokens(lost.Jobs), tokens(jobs))
	}},
}
