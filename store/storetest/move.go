package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// key finds the only job with that jid in a place.
func (s *suite) key(q store.Query, jid string) store.Key {
	s.Helper()
	q.JID = jid
	es := s.entries(q)
	if len(es) != 1 {
		s.Fatalf("%d jobs %q in %v", len(es), jid, q.Place)
	}
	return es[0].Key
}

func (s *suite) move(to store.Place, picks ...store.Pick) int {
	s.Helper()
	n, err := s.st.Move(s.Context(), store.Undoable{}, to, picks...)
	s.must(err)
	return n
}

// spread puts one job into each place: ready, scheduled, retrying, held, dead.
func (s *suite) spread() *process {
	s.Helper()
	p := s.process()
	s.push("q", "retrying", "dead", "held", "ready")
	s.schedule(time.Hour, "q", "scheduled")
	jobs := p.take(3, "q")
	s.must(p.Retry(s.Context(), p.verdict(), store.Later{Token: jobs[0].Token, Delay: time.Hour}))
	s.must(p.Bury(s.Context(), p.verdict(), laters(jobs[1:2])...))
	return p
}

var places = map[string]store.Query{
	"ready":     {Place: store.Ready, Queue: "q"},
	"scheduled": {Place: store.Scheduled},
	"retrying":  {Place: store.Retrying},
	"dead":      {Place: store.Dead},
}

var moveTests = []test{
	{"from each place to each place", func(s *suite) {
		s.spread()
		jid := map[string]string{"ready": "ready", "scheduled": "scheduled", "retrying": "retrying", "dead": "dead"}
		for from, source := range places {
			for to, target := range places {
				key := s.key(source, jid[from])
				s.equal(s.move(target.Place, store.Pick{Key: key, Delay: time.Hour}), 1)
				back := s.key(target, jid[from])
				e := s.entries(store.Query{Place: target.Place, Queue: "q", JID: jid[from]})[0]
				if got := unstamped(e.Payload); got != string(payload(jid[from], "q", 0)) {
					s.Errorf("%s to %s: payload is now %s", from, to, got)
				}
				s.equal(s.move(source.Place, store.Pick{Key: back, Delay: time.Hour}), 1)
			}
		}
		for from := range places {
			s.equal(len(s.everywhere()[from]), 1)
		}
	}},
	{"to the back or to the front of a queue, with a stamp", func(s *suite) {
		s.push("q", "a", "b")
		s.schedule(time.Hour, "q", "c", "d")
		q := store.Query{Place: store.Scheduled}
		s.equal(s.move(store.Ready, store.Pick{Key: s.key(q, "c")}), 1)
		s.equal(s.move(store.Ready, store.Pick{Key: s.key(q, "d"), Front: true}), 1)
		s.want(store.Ready, "q", "d", "a", "b", "c")
		for _, e := range s.entries(places["ready"]) {
			if jid := jidOf(e.Payload); jid == "c" || jid == "d" {
				s.equal(stamp.Match(e.Payload), true)
			}
		}
	}},
	{"within a queue", func(s *suite) {
		s.push("q", "a", "b", "c")
		s.equal(s.move(store.Ready, store.Pick{Key: s.key(places["ready"], "c"), Front: true}), 1)
		s.want(store.Ready, "q", "c", "a", "b")
		s.equal(s.move(store.Ready, store.Pick{Key: s.key(places["ready"], "a")}), 1)
		s.want(store.Ready, "q", "c", "b", "a")
		b := s.book("q")
		s.equal([]int64{b.Accepted, b.Moved}, []int64{3, 0})
	}},
	{"with another payload to another queue", func(s *suite) {
		s.spread()
		for from, q := range places {
			pick := store.Pick{Key: s.key(q, from), Queue: "r", Payload: payload(from, "r", 1)}
			s.equal(s.move(store.Ready, pick), 1)
		}
		for _, j := range s.process().take(4, "r") {
			s.equal(unstamped(j.Payload), string(payload(jidOf(j.Payload), "r", 1)))
		}
		s.equal(s.book("q").Moved, int64(4))
		s.equal(s.book("r").Accepted, int64(4))
	}},
	{"to another queue writes that into the payload", func(s *suite) {
		s.schedule(time.Hour, "q", "a")
		s.equal(s.move(store.Ready, store.Pick{Key: s.key(store.Query{Place: store.Scheduled}, "a"), Queue: "r"}), 1)
		s.equal(unstamped(s.process().take(1, "r")[0].Payload), string(payload("a", "r", 0)))
	}},
	{"to a set at a named moment", func(s *suite) {
		s.spread()
		at := time.Unix(4_000_000_000, 123_456_000).UTC()
		for from, source := range places {
			for _, target := range []store.Place{store.Scheduled, store.Retrying, store.Dead} {
				s.equal(s.move(target, store.Pick{Key: s.key(source, from), Delay: time.Minute, At: at}), 1)
				source = store.Query{Place: target}
				e := s.entries(store.Query{Place: target, JID: from})
				s.equal(len(e), 1)
				if d := e[0].At.Sub(at).Abs(); d > time.Microsecond {
					s.Errorf("%s to %v: at %v, want %v", from, target, e[0].At, at)
				}
			}
		}
		past := time.Unix(1_600_000_000, 0)
		s.equal(s.move(store.Scheduled, store.Pick{Key: s.key(places["dead"], "ready"), Delay: time.Hour, At: past}), 1)
		s.process().promote(1)
		s.want(store.Ready, "q", "ready")
	}},
	{"makes a job due", func(s *suite) {
		s.spread()
		for _, from := range []string{"scheduled", "retrying", "dead"} {
			s.equal(s.move(store.Scheduled, store.Pick{Key: s.key(places[from], from)}), 1)
		}
		s.process().promote(3)
		s.equal(len(s.in(store.Ready, "q")), 4)
	}},
	{"leaves held jobs alone", func(s *suite) {
		p := s.spread()
		key := s.key(store.Query{Place: store.Keeping}, "held")
		for _, q := range places {
			s.equal(s.move(q.Place, store.Pick{Key: key}), 0)
		}
		s.want(store.Keeping, "", "held")
		s.equal(s.shown(p).Holds, int64(1))
	}},
	{"into keeping or nowhere is refused", func(s *suite) {
		s.push("q", "a")
		for _, to := range []store.Place{store.Keeping, -1, 7} {
			if _, err := s.st.Move(s.Context(), store.Undoable{}, to, store.Pick{Key: s.key(places["ready"], "a")}); err == nil {
				s.Errorf("moved to %v", to)
			}
		}
		s.want(store.Ready, "q", "a")
	}},
	{"finds only what is still there", func(s *suite) {
		s.push("q", "a", "b")
		a, b := store.Pick{Key: s.key(places["ready"], "a")}, store.Pick{Key: s.key(places["ready"], "b")}
		s.process().take(1, "q")
		s.equal(s.move(store.Dead, a, b, b), 1)
		s.equal(s.move(store.Dead, a, b), 0)
		s.equal(s.move(store.Dead), 0)
		s.equal(s.move(store.Ready, store.Pick{Key: "nonsense"}, store.Pick{}), 0)
		s.equal(s.everywhere(), map[string][]store.Place{"a": {store.Keeping}, "b": {store.Dead}})
	}},
	{"keeps equal jobs apart", func(s *suite) {
		s.push("q", "a", "a", "a")
		var picks []store.Pick
		for _, e := range s.entries(places["ready"]) {
			picks = append(picks, store.Pick{Key: e.Key, Delay: time.Hour})
		}
		s.equal(s.move(store.Retrying, picks...), 3)
		s.want(store.Retrying, "", "a", "a", "a")
		s.equal(s.move(store.Ready, store.Pick{Key: s.entries(places["retrying"])[1].Key}), 1)
		s.want(store.Retrying, "", "a", "a")
		s.want(store.Ready, "q", "a")
	}},
	{"of more than MaxBatch is refused", func(s *suite) {
		s.push("q", "a")
		picks := make([]store.Pick, store.MaxBatch+1)
		for i := range picks {
			picks[i].Key = s.key(places["ready"], "a")
			if i > 2 {
				picks[i].Key = "nonsense"
			}
		}
		if _, err := s.st.Move(s.Context(), store.Undoable{}, store.Dead, picks...); err == nil {
			s.Error("moved")
		}
		s.want(store.Ready, "q", "a")
	}},
	{"by many at once moves each job once", func(s *suite) {
		s.push("q", numbered("j", 100)...)
		var picks []store.Pick
		for _, e := range s.entries(places["ready"]) {
			picks = append(picks, store.Pick{Key: e.Key})
		}
		var moved atomic.Int64
		var wg sync.WaitGroup
		for _, to := range []store.Place{store.Dead, store.Retrying, store.Scheduled, store.Dead} {
			wg.Go(func() {
				for i := 0; i < len(picks); i += 10 {
					n, err := s.st.Move(s.Context(), store.Undoable{}, to, picks[i:i+10]...)
					if err != nil {
						s.Error(err)
					}
					moved.Add(int64(n))
				}
			})
		}
		wg.Wait()
		s.equal(moved.Load(), int64(100))
		s.equal(len(s.everywhere()), 100)
	}},
}

var deleteTests = []test{
	{"forgets jobs of each place, but not held ones", func(s *suite) {
		p := s.spread()
		s.push("q", "stays")
		picks := []store.Pick{{Key: s.key(store.Query{Place: store.Keeping}, "held")}}
		for from, q := range places {
			picks = append(picks, store.Pick{Key: s.key(q, from)})
		}
		n, err := s.st.Delete(s.Context(), store.Undoable{}, picks...)
		s.must(err)
		s.equal(n, 4)
		n, err = s.st.Delete(s.Context(), store.Undoable{}, picks...)
		s.must(err)
		s.equal(n, 0)
		s.equal(s.everywhere(), map[string][]store.Place{"held": {store.Keeping}, "stays": {store.Ready}})
		s.equal(s.book("q").Deleted, int64(4))
		s.equal(s.shown(p).Holds, int64(1))
	}},
	{"of nothing does nothing", func(s *suite) {
		n, err := s.st.Delete(s.Context(), store.Undoable{})
		s.must(err)
		s.equal(n, 0)
	}},
	{"of one of several equal jobs leaves the others", func(s *suite) {
		s.push("q", "x", "a", "a", "a", "y")
		e := s.entries(places["ready"])
		n, err := s.st.Delete(s.Context(), store.Undoable{}, store.Pick{Key: e[2].Key})
		s.must(err)
		s.equal(n, 1)
		s.want(store.Ready, "q", "x", "a", "a", "y")
	}},
	{"from the middle of a long queue", func(s *suite) {
		want := numbered("j", 300)
		s.push("q", want...)
		var picks []store.Pick
		for i, e := range s.entries(places["ready"]) {
			if i >= 100 && i < 200 {
				picks = append(picks, store.Pick{Key: e.Key})
			}
		}
		n, err := s.st.Delete(s.Context(), store.Undoable{}, picks...)
		s.must(err)
		s.equal(n, 100)
		s.want(store.Ready, "q", append(want[:100:100], want[200:]...)...)
	}},
	{"beside a fetch gives each job to one of them", func(s *suite) {
		p := s.process()
		s.push("q", numbered("j", 60)...)
		var deleted int
		var fetched []store.Held
		var wg sync.WaitGroup
		entries := s.entries(places["ready"])
		wg.Go(func() {
			for _, e := range entries {
				n, err := s.st.Delete(s.Context(), store.Undoable{}, store.Pick{Key: e.Key})
				if err != nil {
					s.Error(err)
				}
				deleted += n
			}
		})
		wg.Go(func() {
			for range 60 {
				jobs, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("q"), 1, 0)
				if err != nil {
					s.Error(err)
				}
				fetched = append(fetched, jobs...)
			}
		})
		wg.Wait()
		s.equal(fmt.Sprint(deleted+len(fetched)), "60")
	}},
}
