package memstore

import (
	"context"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// undo is what was done by hand under the name of one change.
type undo struct {
	until time.Time
	steps []step // oldest first
}

// step is what one change did to one job.
type step struct {
	job     *job
	was     job    // as it was before
	version uint64 // as the change left it
}

// keep adds steps to what Undo can take back.
func (s *state) keep(u store.Undoable, steps []step) {
	if u.Change == "" || u.For <= 0 {
		return
	}
	c := s.undos[u.Change]
	if c == nil {
		if len(steps) == 0 {
			return
		}
		c = new(undo)
		s.undos[u.Change] = c
	}
	c.until = s.clock().Add(u.For)
	c.steps = append(c.steps, steps...)
}

// forget drops what was kept of changes whose time is over.
func (s *state) forget() {
	now := s.clock()
	for name, c := range s.undos {
		if !now.Before(c.until) {
			delete(s.undos, name)
		}
	}
	for len(s.changes) > 0 && now.Sub(s.changes[0].at) > store.ChangeAge {
		s.changes = s.changes[1:]
	}
}

// Undo takes back what Move and Delete did under one change, the last first.
func (s *Store) Undo(ctx context.Context, change string, most int) (store.Undone, error) {
	if err := s.enter(ctx, 0); err != nil {
		return store.Undone{}, wrap("undo", err)
	}
	defer s.mu.Unlock()
	s.forget()
	c := s.undos[change]
	if c == nil {
		return store.Undone{}, nil
	}
	if most <= 0 {
		most = store.MaxBatch
	}
	var done store.Undone
	for range min(most, store.MaxBatch, len(c.steps)) {
		last := len(c.steps) - 1
		if s.takeBack(c.steps[last]) {
			done.Back++
		} else {
			done.Passed++
		}
		c.steps[last] = step{} // nothing holds on to the job
		c.steps = c.steps[:last]
	}
	if done.More = len(c.steps) > 0; !done.More {
		delete(s.undos, change)
	}
	return done, nil
}

// takeBack puts a job where it was before one step, if it is as that step left it.
func (s *state) takeBack(st step) bool {
	j, was := st.job, st.was
	if j.version != st.version {
		return false
	}
	if s.jobs[j.ticket] == j {
		s.lift(j)
	} else {
		s.book(j.queue).Deleted--
	}
	if j.queue != was.queue {
		s.book(j.queue).Accepted--
		s.book(was.queue).Moved--
	}
	// With its version it is again what an earlier change left.
	j.queue, j.payload, j.version = was.queue, was.payload, was.version
	if was.place == store.Ready {
		s.putFront(j, was.at)
	} else {
		s.put(j, was.place, was.rank, was.at)
	}
	return true
}
