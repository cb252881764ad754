package memstore_test

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestConformance(t *testing.T) { storetest.Run(t, instance) }

func FuzzHistories(f *testing.F) { storetest.Fuzz(f, instance) }

func instance(*testing.T) storetest.Instance {
	c := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	st := memstore.New(memstore.Options{Clock: c.Now})
	return storetest.Instance{
		Open:      func(*testing.T) store.Store { return st.Client() },
		Pass:      c.Pass,
		Disown:    func(_ *testing.T, id store.Identity) { st.Disown(id) },
		Histories: 100,
	}
}
