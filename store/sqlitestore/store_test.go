package sqlitestore

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storetest"
)

// clock is a store's clock that tests move.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) pass(d time.Duration) { c.ahead.Add(int64(d)) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Instance {
		path, c := filepath.Join(t.TempDir(), "ebb.db"), new(clock)
		return storetest.Instance{
			Open:   func(t *testing.T) store.Store { return openFile(t, path, Options{Clock: c.now}) },
			Pass:   c.pass,
			Crash:  func(t *testing.T, s store.Store) { s.Close() }, // the locks end with the descriptors
			Freeze: func(*testing.T, store.Store) func() { return func() {} },
			Disown: func(t *testing.T, id store.Identity) {
				edit(t, path, "DELETE FROM ebb_process WHERE boot = (SELECT id FROM ebb_boot WHERE name = ?)", string(id))
			},
		}
	})
}

func openFile(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
