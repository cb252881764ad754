package storetest

import (
	"time"

	"github.com/ebbjobs/ebb/store"
)

// page is what a walk shows: jids, in its order.
func (s *suite) page(q store.Query) []string {
	s.Helper()
	jids := []string{}
	for _, e := range s.entries(q) {
		jids = append(jids, jidOf(e.Payload))
	}
	return jids
}

var pageTests = []test{
	{"passes over as many as asked for", func(s *suite) {
		p, other := s.process(), s.process()
		s.push("q", numbered("h", 30)...)
		p.take(20, "q")
		other.take(10, "q")
		s.push("q", numbered("j", 230)...)
		s.push("r", "x")
		its := append(items("q", numbered("s", 230)...), items("r", "y", "z")...)
		for i := range its {
			its[i].At = time.Unix(4_000_000_000+int64(i%50), 0)
		}
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), its...)
		s.must(err)
		for _, q := range []store.Query{
			{Place: store.Ready, Queue: "q"}, {Place: store.Ready, Queue: "unknown"}, {Place: store.Ready, Queue: "q", JID: "j0007"},
			{Place: store.Scheduled}, {Place: store.Scheduled, Queue: "r"}, {Place: store.Scheduled, JID: "s0007"}, {Place: store.Dead},
			{Place: store.Keeping}, {Place: store.Keeping, Key: other.id}, {Place: store.Scheduled, From: time.Unix(4_000_000_020, 0)},
		} {
			for _, q.Newest = range []bool{false, true} {
				q.Skip, q.Limit = 0, 0
				all := s.page(q)
				for _, q.Skip = range []int64{1, 7, 120, 229, 230, 232, 5000} {
					from := min(int(q.Skip), len(all))
					for _, q.Limit = range []int{0, 3} {
						to := len(all)
						if q.Limit > 0 {
							to = min(to, from+q.Limit)
						}
						s.equal(s.page(q), append([]string{}, all[from:to]...))
					}
				}
			}
		}
	}},
	{"begins a set at a moment", func(s *suite) {
		base := time.Unix(4_000_000_000, 123_457_000).UTC()
		its := items("q", "a", "b", "c", "d", "e")
		for i, micros := range []int{0, 1, 1, 2, 1_000_000} {
			its[i].At = base.Add(time.Duration(micros) * time.Microsecond)
		}
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), its...)
		s.must(err)
		at := map[string]time.Time{}
		for _, e := range s.entries(store.Query{Place: store.Scheduled}) {
			at[jidOf(e.Payload)] = e.At
		}
		for _, c := range []struct {
			from   time.Time
			newest bool
			skip   int64
			want   []string
		}{
			{base.Add(-time.Hour), false, 0, []string{"a", "b", "c", "d", "e"}},
			{at["a"], false, 0, []string{"a", "b", "c", "d", "e"}},
			{at["e"], false, 0, []string{"e"}},
			{at["e"].Add(time.Microsecond), false, 0, []string{}},
			{at["a"], true, 0, []string{"a"}},
			{at["e"], true, 0, []string{"e", "d", "c", "b", "a"}},
			{base.Add(-time.Hour), true, 0, []string{}},
			{at["e"], true, 1, []string{"d", "c", "b", "a"}},
		} {
			s.equal(s.page(store.Query{Place: store.Scheduled, From: c.from, Newest: c.newest, Skip: c.skip}), c.want)
		}
	}},
	{"goes on after a row by its moment and how many of that moment were seen", func(s *suite) {
		its := items("q", numbered("s", 120)...)
		for i := range its {
			its[i].At = time.Unix(4_000_000_000+int64(i/40), int64(i%40)*300)
		}
		_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), its...)
		s.must(err)
		for _, newest := range []bool{false, true} {
			q := store.Query{Place: store.Scheduled, Newest: newest}
			want := s.page(q)
			got := []string{}
			for q.Limit = 7; ; {
				es := s.entries(q)
				if len(es) == 0 {
					break
				}
				for _, e := range es {
					got = append(got, jidOf(e.Payload))
					if at := e.At.Truncate(time.Microsecond); q.From.Equal(at) {
						q.Skip++
					} else {
						q.From, q.Skip = at, 1
					}
				}
			}
			s.equal(got, want)
		}
	}},
}
