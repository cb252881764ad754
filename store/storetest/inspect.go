package storetest

import (
	"slices"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

var inspectTests = []test{
	{"of an empty store shows nothing", func(s *suite) {
		queues, err := s.st.Queues(s.Context())
		s.must(err)
		s.equal(len(queues), 0)
		ps, err := s.st.Processes(s.Context())
		s.must(err)
		s.equal(len(ps), 0)
		s.equal(len(s.everywhere()), 0)
		s.equal(len(s.stops()), 0)
		s.equal(len(s.changes()), 0)
		st, err := s.st.Stats(s.Context())
		s.must(err)
		st.Books = nil
		s.equal(st, store.Stats{})
	}},
	{"lists queues by name", func(s *suite) {
		p := s.process()
		s.push("b", "1", "2", "3")
		s.push("a", "4")
		s.push("c", "5")
		p.take(2, "b")
		p.ack(p.take(1, "c")...)
		s.must(s.st.Pause(s.Context(), "a", true))
		queues, err := s.st.Queues(s.Context())
		s.must(err)
		for i := range queues {
			queues[i].Oldest = time.Time{}
		}
		// Whether a queue stays known once it is empty is up to the store.
		queues = slices.DeleteFunc(queues, func(q store.Queue) bool { return q.Name == "c" && q.Waiting+q.Held == 0 })
		s.equal(queues, []store.Queue{{Name: "a", Waiting: 1, Paused: true}, {Name: "b", Waiting: 1, Held: 2}})
	}},
	{"lists processes by identity, with what they hold", func(s *suite) {
		var want []store.Identity
		for i := range 3 {
			p := s.process()
			want = append(want, p.id)
			s.push("q", numbered("j", i+1)...)
			p.take(i+1, "q")
		}
		ps, err := s.st.Processes(s.Context())
		s.must(err)
		slices.Sort(want)
		s.equal(len(ps), 3)
		var held int64
		for i, p := range ps {
			s.equal(p.ID, want[i])
			held += p.Holds
		}
		s.equal(held, int64(6))
	}},
	{"shows a process whose lease has ended until it is rescued", func(s *suite) {
		p := s.process()
		s.push("q", "a")
		p.take(1, "q")
		s.vanish(p)
		s.gone(p, store.Lapsed)
		s.equal(s.shown(p).Lapsed, true)
		s.equal(s.shown(p).Holds, int64(1))
		s.rescueAll(s.gone(p, store.Lapsed))
		s.equal(s.visible(p), false)
	}},
	{"walks a long queue and a long set in order", func(s *suite) {
		want := numbered("j", 350)
		s.push("q", want...)
		s.want(store.Ready, "q", want...)
		its := items("q", numbered("s", 350)...)
		for i := range its {
			its[i].At = time.Unix(4_000_000_000+int64(i/3), 0)
		}
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), its...)
		s.must(err)
		s.equal(sorted(s.in(store.Scheduled, "")), numbered("s", 350))
		var last time.Time
		for _, e := range s.entries(store.Query{Place: store.Scheduled}) {
			if e.At.Before(last) {
				s.Fatalf("%v after %v", e.At, last)
			}
			last = e.At
		}
	}},
	{"walks from the other end", func(s *suite) {
		p, other := s.process(), s.process()
		s.push("q", numbered("h", 130)...)
		p.take(70, "q")
		other.take(60, "q")
		s.push("q", numbered("j", 230)...)
		s.push("r", "x", "y", "j0007")
		its := append(items("q", numbered("s", 230)...), items("r", "x", "y", "s0007")...)
		for i := range its {
			its[i].At = time.Unix(4_000_000_000+int64(i%150), 0) // two or three of an hour
		}
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), its...)
		s.must(err)
		for to, jid := range map[store.Place]string{store.Retrying: "t", store.Dead: "d"} {
			s.push("m", numbered(jid, 120)...)
			es := s.entries(store.Query{Place: store.Ready, Queue: "m"})
			for i := range es {
				s.equal(s.move(to, store.Pick{Key: es[i].Key, At: its[i].At}), 1)
			}
		}
		keys := func(q store.Query) []string {
			ks := []string{}
			for _, e := range s.entries(q) {
				ks = append(ks, jidOf(e.Payload)+" "+string(e.Key))
			}
			return ks
		}
		for _, q := range []store.Query{
			{Place: store.Ready, Queue: "q"}, {Place: store.Ready, Queue: "r"}, {Place: store.Ready, Queue: "unknown"},
			{Place: store.Scheduled}, {Place: store.Retrying}, {Place: store.Dead}, {Place: store.Keeping},
			{Place: store.Scheduled, Queue: "q"}, {Place: store.Scheduled, Queue: "r"}, {Place: store.Keeping, Queue: "q"},
			{Place: store.Ready, Queue: "q", JID: "j0007"}, {Place: store.Scheduled, JID: "s0007"},
			{Place: store.Scheduled, JID: "s0007", Queue: "r"}, {Place: store.Keeping, JID: "h0100"},
			{Place: store.Keeping, Key: other.id}, {Place: store.Dead, JID: "nobody"},
		} {
			want := keys(q)
			slices.Reverse(want)
			q.Newest = true
			for _, q.Limit = range []int{0, 1, 3, 101} {
				most := len(want)
				if q.Limit != 0 {
					most = min(most, q.Limit)
				}
				if diff := gocmp.Diff(want[:most], keys(q)); diff != "" {
					s.Errorf("%+v (-want +got):\n%s", q, diff)
				}
			}
		}
	}},
	{"walks on from the other end while jobs move", func(s *suite) {
		s.push("q", numbered("j", 250)...)
		s.schedule(time.Hour, "q", numbered("s", 250)...)
		for name, q := range map[string]store.Query{"queue": places["ready"], "set": places["scheduled"]} {
			q.Newest = true
			seen := map[string]int{}
			for e, err := range s.st.Jobs(s.Context(), q) {
				s.must(err)
				seen[jidOf(e.Payload)]++
				if len(seen) <= 20 {
					s.delete(store.Undoable{}, e)
				}
			}
			if len(seen) < 200 {
				s.Errorf("%s: saw %d of 250", name, len(seen))
			}
		}
	}},
	{"tells of each entry where it is", func(s *suite) {
		p := s.process()
		s.push("q", "ready")
		s.push("r", "held", "dead")
		s.schedule(time.Hour, "q", "scheduled")
		jobs := p.take(2, "r")
		s.must(p.Bury(s.Context(), p.verdict(), laters(jobs[1:])...))
		for _, c := range []struct {
			q      store.Query
			jid    string
			queue  string
			holder store.Identity
			timed  bool
		}{
			{store.Query{Place: store.Ready, Queue: "q"}, "ready", "q", "", false},
			{store.Query{Place: store.Keeping}, "held", "r", p.id, false},
			{store.Query{Place: store.Dead}, "dead", "r", "", true},
			{store.Query{Place: store.Scheduled}, "scheduled", "q", "", true},
		} {
			es := s.entries(c.q)
			s.equal(len(es), 1)
			e := es[0]
			s.equal([]any{jidOf(e.Payload), e.Place, e.Queue, e.Holder}, []any{c.jid, c.q.Place, c.queue, c.holder})
			if c.timed && e.At.IsZero() || c.q.Place == store.Ready && !e.At.IsZero() {
				s.Errorf("%s: At is %v", c.jid, e.At)
			}
			if e.Key == "" {
				s.Errorf("%s has no key", c.jid)
			}
		}
	}},
	{"finds by queue, jid, holder and number", func(s *suite) {
		p, other := s.process(), s.process()
		s.push("q", "a", "b", "c")
		s.push("r", "d", "b")
		p.take(2, "q")
		other.take(2, "r")
		got := func(q store.Query) []string {
			var js []string
			for _, e := range s.entries(q) {
				js = append(js, e.Queue+jidOf(e.Payload))
			}
			slices.Sort(js)
			return js
		}
		s.equal(got(store.Query{Place: store.Keeping}), []string{"qa", "qb", "rb", "rd"})
		s.equal(got(store.Query{Place: store.Keeping, Queue: "q"}), []string{"qa", "qb"})
		s.equal(got(store.Query{Place: store.Keeping, JID: "b"}), []string{"qb", "rb"})
		s.equal(got(store.Query{Place: store.Keeping, Key: other.id}), []string{"rb", "rd"})
		s.equal(got(store.Query{Place: store.Keeping, Key: other.id, JID: "b"}), []string{"rb"})
		s.equal(len(got(store.Query{Place: store.Keeping, Key: "nobody:1:000000000000"})), 0)
		s.equal(len(got(store.Query{Place: store.Keeping, Limit: 3})), 3)
		s.equal(got(store.Query{Place: store.Ready, Queue: "q", JID: "c"}), []string{"qc"})
		s.equal(len(got(store.Query{Place: store.Ready, Queue: "unknown"})), 0)
	}},
	{"stops when asked to", func(s *suite) {
		s.push("q", numbered("j", 20)...)
		for e, err := range s.st.Jobs(s.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
			s.must(err)
			s.equal(jidOf(e.Payload), "j0000")
			break
		}
	}},
	{"walks on while jobs move", func(s *suite) {
		p := s.process()
		s.push("q", numbered("j", 250)...)
		seen := map[string]int{}
		for e, err := range s.st.Jobs(s.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
			s.must(err)
			seen[jidOf(e.Payload)]++
			if len(seen) <= 20 { // nothing may be locked meanwhile
				p.ack(p.take(1, "q")...)
				s.push("q", "new"+jidOf(e.Payload))
			}
		}
		if len(seen) < 200 {
			s.Errorf("saw %d of 250", len(seen))
		}
	}},
	{"of a place without a queue or of no place says so", func(s *suite) {
		for _, q := range []store.Query{{Place: store.Ready}, {Place: 9}, {Place: -1}} {
			var errs, entries int
			for _, err := range s.st.Jobs(s.Context(), q) {
				if err != nil {
					errs++
				} else {
					entries++
				}
			}
			s.equal([]int{errs, entries}, []int{1, 0})
		}
	}},
	{"commands only who is registered", func(s *suite) {
		p := s.stranger()
		s.wantErr(s.st.Command(s.Context(), p.id, store.Command{Verb: store.Quiet}), store.ErrUnknownProcess)
		p.beat(aliveFor)
		s.must(s.st.Command(s.Context(), p.id, store.Command{Verb: store.Quiet}))
		s.equal(p.beat(aliveFor).Commands, []store.Command{{Verb: store.Quiet}})
		s.must(p.leave(store.Farewell{}))
		s.wantErr(s.st.Command(s.Context(), p.id, store.Command{Verb: store.Quiet}), store.ErrUnknownProcess)
	}},
	{"describes itself", func(s *suite) {
		d := s.st.Describe()
		if d.Driver == "" || d.Durability == "" || d.Wake == "" {
			s.Errorf("%+v lacks a word", d)
		}
	}},
}
