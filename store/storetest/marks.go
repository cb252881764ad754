package storetest

import (
	"fmt"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var marksTests = []test{
	{"tell when the first process of a release registered", func(s *suite) {
		s.of("")
		s.equal(len(s.marks(time.Time{})), 0)
		p := s.of("r1")
		s.pass(s.Tick)
		s.of("r1")
		p.beat(aliveFor) // its presence says r1
		s.of("größe 2")
		marks := s.marks(time.Time{})
		s.equal(releases(marks), []string{"r1", "größe 2"})
		if d := marks[1].At.Sub(marks[0].At); d < s.Tick/2 || d > time.Hour {
			s.Errorf("%v lie between them", d)
		}
		s.equal(releases(s.marks(marks[1].At)), []string{"größe 2"})
		s.equal(len(s.marks(marks[1].At.Add(time.Second))), 0)
	}},
	{"are no more than they may be", func(s *suite) {
		var want []string
		for i := range store.MaxMarks + 5 {
			release := fmt.Sprintf("r%d", i)
			p := s.bootOn(s.st)
			p.release = release
			p.beat(aliveFor)
			s.must(p.leave(store.Farewell{}))
			if i >= 5 {
				want = append(want, release)
			}
			s.pass(s.Tick / 10)
		}
		s.equal(releases(s.marks(time.Time{})), want)
	}},
	{"are forgotten in time", func(s *suite) {
		if s.Pass == nil {
			return
		}
		s.of("r1")
		s.Pass(store.MarkAge - time.Minute)
		s.of("r2")
		s.equal(releases(s.marks(time.Time{})), []string{"r1", "r2"})
		s.Pass(2 * time.Minute)
		s.equal(releases(s.marks(time.Time{})), []string{"r2"})
	}},
}

func (s *suite) marks(since time.Time) []store.Mark {
	s.Helper()
	marks, err := s.st.Marks(s.Context(), since)
	s.must(err)
	return marks
}

func releases(marks []store.Mark) []string {
	var names []string
	for _, m := range marks {
		names = append(names, m.Release)
	}
	return names
}
