package memstore

import (
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// What can no longer be taken back takes no memory, whoever comes by first.
func TestForgetsWhatIsOver(t *testing.T) {
	t.Parallel()
	const long = time.Minute
	for _, c := range []struct {
		name  string
		after time.Duration
		call  func(t *testing.T, s *Store) error
	}{
		{"taken back", 0, func(t *testing.T, s *Store) error { _, err := s.Undo(t.Context(), "c", 0); return err }},
		{"at the next promotion", long, func(t *testing.T, s *Store) error {
			_, _, err := s.Promote(t.Context(), store.Promotion{})
			return err
		}},
		{"at the next move", long, func(t *testing.T, s *Store) error {
			_, err := s.Move(t.Context(), store.Undoable{Change: "d", For: long}, store.Dead, store.Pick{})
			return err
		}},
		{"at the next undo", long, func(t *testing.T, s *Store) error { _, err := s.Undo(t.Context(), "d", 0); return err }},
		{"at the next record", long, func(t *testing.T, s *Store) error { return s.Record(t.Context(), store.Change{ID: "d"}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			s := New(Options{Clock: func() time.Time { return now }})
			if _, err := s.Push(t.Context(), store.Call{}, store.Item{JID: "a", Queue: "q", Payload: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
			for e := range s.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
				if n, err := s.Delete(t.Context(), store.Undoable{Change: "c", For: long}, store.Pick{Key: e.Key}); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
			if len(s.undos) != 1 {
				t.Fatalf("%d changes to take back, want 1", len(s.undos))
			}
			now = now.Add(c.after)
			if err := c.call(t, s); err != nil {
				t.Fatal(err)
			}
			if len(s.undos) != 0 {
				t.Errorf("%d changes kept", len(s.undos))
			}
		})
	}
}
