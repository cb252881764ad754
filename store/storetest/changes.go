package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// now is the store's, to the second.
func (s *suite) now() time.Time {
	s.Helper()
	s.schedule(0, "clock", "clock")
	e := s.entries(store.Query{Place: store.Scheduled, Queue: "clock"})
	s.delete(store.Undoable{}, e...)
	return e[0].At.Truncate(time.Second).UTC()
}

func (s *suite) record(changes ...store.Change) {
	s.Helper()
	for _, c := range changes {
		s.must(s.st.Record(s.Context(), c))
	}
}

// changes lists what was recorded.
func (s *suite) changes() []store.Change {
	s.Helper()
	var cs []store.Change
	for c, err := range s.st.Changes(s.Context()) {
		s.must(err)
		cs = append(cs, c)
	}
	return cs
}

func ids(changes []store.Change) []string {
	var ids []string
	for _, c := range changes {
		ids = append(ids, c.ID)
	}
	return ids
}

var changesTests = []test{
	{"keep all that is said", func(s *suite) {
		now := s.now()
		full := store.Change{
			ID: "a7f3", By: "ann@host", Verb: "retry", What: `kind:Invoice error:"<no>&ä"`, Why: "the gateway\nis back",
			Wanted: 212, Done: 211, Missed: 1,
			Began: now, Ended: now.Add(time.Second + time.Nanosecond), Until: now.Add(10 * time.Minute), Undone: now.Add(time.Minute),
			Rest: json.RawMessage(`{"after":[9007199254740993,"ä"]}`),
		}
		bare := store.Change{ID: "b", Began: now.Add(-time.Second)}
		s.record(full, bare)
		s.equal(s.changes(), []store.Change{full, bare})
	}},
	{"replace what was recorded under their ID", func(s *suite) {
		now := s.now()
		a := store.Change{ID: "a", Verb: "delete", Wanted: 2, Began: now, Rest: json.RawMessage(`{"left":2}`)}
		s.record(a, store.Change{ID: "b", Began: now.Add(time.Second)})
		a.Done, a.Ended, a.Rest = 2, now.Add(time.Minute), nil
		for range 2 {
			s.record(a)
			got := s.changes()
			s.equal(ids(got), []string{"b", "a"})
			s.equal(got[1], a)
		}
		a.Began = now.Add(2 * time.Second)
		s.record(a)
		s.equal(ids(s.changes()), []string{"a", "b"})
	}},
	{"are told the latest begun first", func(s *suite) {
		now := s.now()
		for _, n := range []int{2, 0, 3, 1} {
			s.record(store.Change{ID: fmt.Sprint(n), Began: now.Add(time.Duration(n) * time.Second)})
		}
		s.equal(ids(s.changes()), []string{"3", "2", "1", "0"})
	}},
	{"stop when asked to, and lock nothing meanwhile", func(s *suite) {
		now := s.now()
		s.record(store.Change{ID: "a", Began: now}, store.Change{ID: "b", Began: now.Add(time.Second)})
		for c, err := range s.st.Changes(s.Context()) {
			s.must(err)
			s.equal(c.ID, "b")
			s.record(store.Change{ID: "c", Began: now.Add(2 * time.Second)})
			break
		}
		s.equal(ids(s.changes()), []string{"c", "b", "a"})
	}},
	{"are seen by everybody", func(s *suite) {
		c := store.Change{ID: "a", Verb: "pause", Began: s.now()}
		s.must(s.process().Record(s.Context(), c))
		s.equal(s.changes(), []store.Change{c})
	}},
	{"are forgotten after ChangeAge", func(s *suite) {
		if s.Pass == nil {
			return
		}
		s.record(store.Change{ID: "a", Began: s.now()})
		s.pass(store.ChangeAge - time.Hour)
		s.record(store.Change{ID: "b", Began: s.now()})
		s.equal(ids(s.changes()), []string{"b", "a"})
		s.pass(2 * time.Hour)
		s.record(store.Change{ID: "c", Began: s.now()})
		s.equal(ids(s.changes()), []string{"c", "b"})
	}},
	{"are MaxChanges at most, the oldest forgotten", func(s *suite) {
		now := s.now()
		const over = 5
		want := numbered("c", store.MaxChanges+over)
		var wg sync.WaitGroup
		for part := range slices.Chunk(want, len(want)/4+1) {
			wg.Go(func() {
				for _, id := range part {
					n := slices.Index(want, id)
					if err := s.st.Record(s.Context(), store.Change{ID: id, Began: now.Add(time.Duration(n) * time.Second)}); err != nil {
						s.Error(err)
					}
				}
			})
		}
		wg.Wait()
		slices.Reverse(want)
		s.equal(ids(s.changes()), want[:store.MaxChanges])
	}},
	{"say nothing of jobs", func(s *suite) {
		now := s.now()
		s.push("q", "a")
		before := s.picture()
		s.record(store.Change{ID: "c", Verb: "delete", Done: 1, Began: now, Until: now.Add(time.Hour)})
		s.undo("c", 0, store.Undone{})
		s.unchanged(before)
		s.delete(undoable("c"), s.entries(places["ready"])...)
		s.undo("c", 0, store.Undone{Back: 1})
		s.unchanged(before)
		s.equal(ids(s.changes()), []string{"c"})
	}},
}
