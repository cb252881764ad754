package redisstore

import (
	"bytes"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// A process or a queue that comes after the keys were looked for is noticed before
// anything is written.
func TestSnapshotSeesNewcomers(t *testing.T) {
	t.Parallel()
	for what, come := range map[string]func(s *Store) error{
		"process": func(s *Store) error {
			_, err := s.Beat(t.Context(), store.Presence{ID: store.NewIdentity()}, time.Minute)
			return err
		},
		"queue": func(s *Store) error {
			_, err := s.Push(t.Context(), store.Call{}, store.Item{Queue: "new", Payload: []byte(`{}`)})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, err := Open(t.Context(), redistest.Start(t).URL())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			in, err := s.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := come(s); err != nil {
				t.Fatal(err)
			}
			var w bytes.Buffer
			if complete, err := s.snapshot(t.Context(), &w, in); complete || err != nil || w.Len() != 0 {
				t.Errorf("complete: %v, %v, with %d bytes", complete, err, w.Len())
			}
			if err := s.Backup(t.Context(), &w); err != nil || w.Len() == 0 {
				t.Errorf("backup: %v, with %d bytes", err, w.Len())
			}
		})
	}
}
