package web

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// countedStore counts how often its sums are read.
type countedStore struct {
	store.Store
	reads atomic.Int64
}

func (s *countedStore) Stats(context.Context) (store.Stats, error) {
	return store.Stats{Ready: s.reads.Add(1)}, nil
}

func TestRecent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ui := open(t, Options{})
		counted := &countedStore{}
		look := func() int64 {
			st, err := recent{counted, ui.hub}.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return st.Ready
		}
		if a, b := look(), look(); a != 1 || b != 1 {
			t.Errorf("read %d and %d times for two pages at once, want once", a, b)
		}
		time.Sleep(pace / 2)
		ui.hub.poke()
		if n := look(); n != 2 {
			t.Errorf("after a change by hand it shows what was read before")
		}
		time.Sleep(pace)
		if n := look(); n != 3 {
			t.Errorf("what it shows is older than %v", pace)
		}
	})
}
