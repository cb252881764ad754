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
		how := waiting
		look := func() int64 {
			st, err := recent{counted, ui.hub, how}.Stats(t.Context())
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
		how = hasty
		time.Sleep(pace)
		if n := look(); n != 3 {
			t.Errorf("who is hasty waits for a read")
		}
		synctest.Wait()
		if n := look(); n != 4 {
			t.Errorf("what was too old was not read meanwhile")
		}
		time.Sleep(2 * pace)
		if n := look(); n != 5 {
			t.Errorf("who is hasty is shown what is older than %v", 2*pace)
		}
		time.Sleep(time.Millisecond)
		ui.hub.poke()
		if n := look(); n != 6 {
			t.Errorf("who is hasty does not see a change by hand")
		}
	})
}
