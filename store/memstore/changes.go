package memstore

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// change is one entry of the audit trail.
type change struct {
	store.Change
	at time.Time // when it was recorded last
}

// Record keeps what c says, in place of what was recorded under its ID before.
func (s *Store) Record(ctx context.Context, c store.Change) error {
	if err := s.enter(ctx, 0); err != nil {
		return wrap("record", err)
	}
	defer s.mu.Unlock()
	c.Rest = bytes.Clone(c.Rest)
	s.changes = slices.DeleteFunc(s.changes, func(old change) bool { return old.ID == c.ID })
	s.changes = append(s.changes, change{c, s.clock()})
	s.forget()
	if len(s.changes) > store.MaxChanges {
		first := slices.MinFunc(s.changes, begun)
		s.changes = slices.DeleteFunc(s.changes, func(old change) bool { return old.ID == first.ID })
	}
	return nil
}

// Changes walks what was recorded, the latest begun first.
func (s *Store) Changes(ctx context.Context) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		if err := s.enter(ctx, 0); err != nil {
			yield(store.Change{}, wrap("changes", err))
			return
		}
		s.forget()
		changes := slices.Clone(s.changes)
		s.mu.Unlock()
		slices.SortStableFunc(changes, begun)
		for _, c := range slices.Backward(changes) {
			c.Rest = bytes.Clone(c.Rest)
			if !yield(c.Change, nil) {
				return
			}
		}
	}
}

func begun(a, b change) int { return a.Began.Compare(b.Began) }
