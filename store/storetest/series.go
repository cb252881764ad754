package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var seriesTests = []test{
	{"count runs by kind, queue and release", func(s *suite) {
		p, other, later := s.of("r1"), s.of("r1"), s.of("r 2|ü:")
		good := finished("Test", "q", 2, 25*time.Millisecond, time.Second)
		bad := store.Runs{Kind: "Test", Queue: "r", Ended: 3, Failed: 3}
		odd := finished("Größe|f:1", "a b|c", 1, time.Hour, 0)
		p.told(good, bad)
		other.told(good)
		later.told(odd, bad)
		want := []store.Point{
			{Release: "r 2|ü:", Runs: odd},
			{Release: "r1", Runs: good.Plus(good)},
			{Release: "r 2|ü:", Runs: bad},
			{Release: "r1", Runs: bad},
		}
		for _, step := range []store.Step{store.Minute, store.TenMinutes, store.Hour} {
			s.equal(s.summed(store.SeriesQuery{Step: step}), want)
			s.equal(s.summed(store.SeriesQuery{Step: step, Kind: "Test"}), want[1:])
			s.equal(len(s.summed(store.SeriesQuery{Step: step, Kind: "Nobody"})), 0)
		}
		all := good.Plus(good).Plus(bad).Plus(bad).Plus(odd)
		all.Kind, all.Queue = "", ""
		for _, step := range []store.Step{store.Moment, store.Day} {
			s.equal(s.summed(store.SeriesQuery{Step: step}), []store.Point{{Runs: all}})
		}
	}},
	{"need no goodbye", func(s *suite) {
		p := s.stranger()
		pr, runs := p.presence(), finished("Test", "q", 1, time.Second, 0)
		s.eventuallyTold("runs are counted", func() bool {
			pr.Runs = []store.Runs{runs}
			_, err := p.Beat(s.Context(), pr, aliveFor)
			s.must(err)
			return s.ended() == 1
		})
		runs = runs.Plus(finished("Test", "q", 2, time.Second, 0))
		s.eventuallyTold("runs that came later are", func() bool {
			pr.Runs = []store.Runs{runs}
			_, err := p.Beat(s.Context(), pr, aliveFor)
			s.must(err)
			return s.ended() == 3
		})
	}},
	{"count each run once, however often it is told", func(s *suite) {
		p := s.stranger()
		pr, runs := p.presence(), finished("Test", "q", 1, time.Second, time.Minute)
		for range 3 {
			pr.Runs = []store.Runs{runs}
			for range 2 {
				_, err := p.Beat(s.Context(), pr, aliveFor)
				s.must(err)
			}
			runs = runs.Plus(finished("Test", "q", 1, time.Millisecond, 0))
			s.pass(s.Tick)
		}
		pr.Runs = []store.Runs{runs}
		_, err := p.Beat(s.Context(), pr, aliveFor)
		s.must(err)
		f, call := store.Farewell{ID: p.id, Runs: []store.Runs{runs}, Report: store.StopReport{ID: p.id, Release: "r1"}}, p.verdict()
		for range 2 {
			s.must(p.Leave(s.Context(), call, f))
		}
		s.wantErr(p.Leave(s.Context(), p.verdict(), f), store.ErrLeft)
		s.equal(s.summed(store.SeriesQuery{Step: store.Minute}), []store.Point{{Release: "r1", Runs: runs}})
	}},
	{"of a process that was rescued and beats again go on", func(s *suite) {
		p := s.stranger()
		pr, runs := p.presence(), finished("Test", "q", 2, time.Second, 0)
		pr.Runs = []store.Runs{runs}
		_, err := p.Beat(s.Context(), pr, aliveFor)
		s.must(err)
		s.rescueAll(s.gone(p, store.Witnessed))
		_, err = p.Beat(s.Context(), pr, aliveFor)
		s.must(err)
		s.must(p.leave(store.Farewell{Runs: []store.Runs{runs}, Report: store.StopReport{Release: "r1"}}))
		s.equal(s.summed(store.SeriesQuery{Step: store.Hour}), []store.Point{{Release: "r1", Runs: runs}})
	}},
	{"tell no more names apart than they may", func(s *suite) {
		var all []store.Runs
		for i := range store.MaxSeries + 20 {
			all = append(all, finished(fmt.Sprintf("K%04d", i), "q", 1, time.Second, 0))
		}
		s.of("r1").told(all...)
		again := all[0].Plus(all[0])
		s.of("r1").told(again, finished("New", "q", 1, time.Second, 0))
		names, total, others := map[time.Time]int{}, int64(0), int64(0)
		for _, p := range s.points(store.SeriesQuery{Step: store.Hour}) {
			total += p.Ended
			if p.Kind == store.Others {
				others += p.Ended
				s.equal(p.Queue+p.Release, "")
				continue
			}
			if names[p.At]++; names[p.At] > store.MaxSeries {
				s.Fatalf("more than %d names at %v", store.MaxSeries, p.At)
			}
		}
		s.equal(total, int64(len(all)+3))
		if len(names) == 1 { // no hour began meanwhile
			s.equal(others, int64(21))
		}
		first := s.summed(store.SeriesQuery{Step: store.Hour, Kind: all[0].Kind})
		s.equal(first, []store.Point{{Release: "r1", Runs: all[0].Plus(again)}})
	}},
	{"begin with the steps of the store's clock", func(s *suite) {
		for range 2 {
			s.of("r1").told(finished("Test", "q", 1, time.Second, 0))
			s.pass(s.Tick)
		}
		for _, step := range store.Steps {
			points := s.points(store.SeriesQuery{Step: step})
			if len(points) == 0 || len(points) > 2 {
				s.Fatalf("%v: %d points", time.Duration(step), len(points))
			}
			for _, p := range points {
				s.equal(p.At, step.Start(p.At))
				if p.At.Location() != time.UTC {
					s.Errorf("%v is not in UTC", p.At)
				}
			}
			first := points[0].At
			after := time.Duration(step)
			s.equal(len(s.points(store.SeriesQuery{Step: step, From: first.Add(after), To: first.Add(2 * after)})), len(points)-1)
			s.equal(len(s.points(store.SeriesQuery{Step: step, From: first, To: first.Add(after)})), 1)
			s.equal(len(s.points(store.SeriesQuery{Step: step, To: first})), 0)
		}
	}},
	{"are forgotten in time", func(s *suite) {
		if s.Pass == nil {
			return
		}
		s.of("r1").told(finished("Test", "q", 1, time.Second, 0))
		first := map[store.Step]time.Time{}
		for _, step := range store.Steps {
			first[step] = s.points(store.SeriesQuery{Step: step})[0].At
		}
		there := func(step store.Step) bool {
			return slices.ContainsFunc(s.points(store.SeriesQuery{Step: step}), func(p store.Point) bool { return p.At.Equal(first[step]) })
		}
		passed := time.Duration(0)
		for i, step := range store.Steps {
			until := step.Kept() - time.Duration(step) - time.Second
			s.Pass(until - passed)
			s.equal(there(step), true)
			s.Pass(2*time.Duration(step) + 2*time.Second)
			passed = until + 2*time.Duration(step) + 2*time.Second
			s.of("r1").told(finished("Later", "q", 1, time.Second, 0)) // as good a time to forget as any
			for j, other := range store.Steps {
				if there(other) != (j > i) {
					s.Errorf("%v after %v: there %t", time.Duration(other), passed, j <= i)
				}
			}
		}
	}},
	{"in order", func(s *suite) {
		for _, release := range []string{"r2", "r1"} {
			s.of(release).told(finished("B", "q", 1, 0, 0), finished("A", "r", 1, 0, 0), finished("A", "q", 1, 0, 0))
		}
		points := s.points(store.SeriesQuery{Step: store.Minute})
		if !slices.IsSortedFunc(points, func(a, b store.Point) int {
			return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Release, b.Release))
		}) {
			s.Errorf("%+v", points)
		}
	}},
}

// of is a boot of a release that has registered.
func (s *suite) of(release string) *process {
	s.Helper()
	p := s.stranger()
	p.release = release
	p.beat(aliveFor)
	return p
}

// told says how runs have ended with a beat, and once more with the goodbye.
func (p *process) told(runs ...store.Runs) {
	p.s.Helper()
	pr := p.presence()
	pr.Runs = runs
	_, err := p.Beat(p.s.Context(), pr, aliveFor)
	p.s.must(err)
	p.s.must(p.leave(store.Farewell{Runs: runs, Report: store.StopReport{Release: p.release}}))
}

// finished is n runs that took so long each, after such a wait.
func finished(kind, queue string, n int64, took, waited time.Duration) store.Runs {
	r := store.Runs{Kind: kind, Queue: queue, Ended: n, Took: time.Duration(n) * took, Waited: time.Duration(n) * waited}
	for range n {
		r.Spread.Add(took)
		r.Waits.Add(waited)
	}
	return r
}

func (s *suite) points(q store.SeriesQuery) []store.Point {
	s.Helper()
	points, err := s.st.Series(s.Context(), q)
	s.must(err)
	return points
}

// summed is the points of all steps together, by name.
func (s *suite) summed(q store.SeriesQuery) []store.Point {
	s.Helper()
	var sums []store.Point
	for _, p := range s.points(q) {
		p.At = time.Time{}
		i := slices.IndexFunc(sums, func(o store.Point) bool {
			return o.Kind == p.Kind && o.Queue == p.Queue && o.Release == p.Release
		})
		if i < 0 {
			sums = append(sums, p)
		} else {
			sums[i].Runs = sums[i].Plus(p.Runs)
		}
	}
	slices.SortFunc(sums, func(a, b store.Point) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Release, b.Release))
	})
	return sums
}

// ended is how many runs all points of a step tell of.
func (s *suite) ended() (n int64) {
	s.Helper()
	for _, p := range s.points(store.SeriesQuery{Step: store.Minute}) {
		n += p.Ended
	}
	return n
}

// eventuallyTold is eventually for what a store may tell no more often than once in the
// shortest step.
func (s *suite) eventuallyTold(what string, ok func() bool) {
	s.Helper()
	if s.Pass != nil && !ok() {
		s.Pass(time.Duration(store.Moment))
	}
	s.eventually(what, ok)
}
