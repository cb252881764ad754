package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/store"
)

const (
	// maxRuns is how many changes run at once.
	maxRuns = 2
	// maxKept is how many wait to be confirmed: one of a million jobs takes 12 MB.
	maxKept = 8
	keepFor = 10 * time.Minute
	// maxOver is of how many the way they ended is remembered.
	maxOver = 100
)

// keptOrder is a change that waits to be confirmed.
type keptOrder struct {
	frozen *bulk.Frozen
	at     time.Time
	back   string // the list that it was asked from
}

// bulkRuns are the changes to many jobs that run here, and those that may. What is
// recorded in the store outlives them.
type bulkRuns struct {
	st  store.Store
	ctx context.Context // ends with the pages
	end context.CancelCauseFunc
	all sync.WaitGroup

	mu      sync.Mutex
	waiting []*keptOrder // the oldest first
	running map[string]context.CancelCauseFunc
	over    []ended // the oldest first
}

// ended is why a run did not come to its end.
type ended struct{ id, why string }

var (
	errStopped = errors.New("stopped by hand")
	errClosing = errors.New("ebb web was stopped")
)

func newBulkRuns(st store.Store) *bulkRuns {
	b := &bulkRuns{st: st, running: map[string]context.CancelCauseFunc{}}
	b.ctx, b.end = context.WithCancelCause(context.Background())
	return b
}

// close stops what runs between two batches, and waits for that.
func (b *bulkRuns) close() {
	b.mu.Lock()
	b.end(errClosing)
	b.mu.Unlock()
	b.all.Wait()
}

// keep remembers an order until it is confirmed; others that wait too long it forgets.
func (b *bulkRuns) keep(f *bulk.Frozen, back string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget()
	if len(b.waiting) == maxKept {
		b.waiting = slices.Delete(b.waiting, 0, 1)
	}
	b.waiting = append(b.waiting, &keptOrder{f, time.Now(), back})
}

func (b *bulkRuns) forget() {
	b.waiting = slices.DeleteFunc(b.waiting, func(k *keptOrder) bool { return time.Since(k.at) > keepFor })
}

// kept is an order that waits to be confirmed, or nil.
func (b *bulkRuns) kept(id string) *keptOrder {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget()
	if i := b.index(id); i >= 0 {
		return b.waiting[i]
	}
	return nil
}

func (b *bulkRuns) index(id string) int {
	return slices.IndexFunc(b.waiting, func(k *keptOrder) bool { return k.frozen.ID == id })
}

// run begins a change; a second call of one that runs does nothing. It goes on when
// nobody looks any more.
func (b *bulkRuns) run(id string, f *bulk.Frozen, rate float64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ctx.Err() != nil:
		return fault(http.StatusServiceUnavailable, errClosing, "")
	case b.running[id] != nil:
		return nil
	case len(b.running) >= maxRuns:
		return fault(http.StatusTooManyRequests, errors.New("other changes run at the moment"), "try again when they are over: nothing was changed")
	}
	if i := b.index(id); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	}
	ctx, stop := context.WithCancelCause(b.ctx)
	b.running[id] = stop
	b.all.Go(func() {
		_, err := f.Run(ctx, bulk.Options{Rate: rate})
		stop(nil)
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.running, id)
		b.over = slices.DeleteFunc(b.over, func(e ended) bool { return e.id == id })
		if err != nil {
			b.over = append(b.over[max(0, len(b.over)+1-maxOver):], ended{id, err.Error()})
		}
	})
	return nil
}

// stop stops a change between two batches, and reports whether it ran.
func (b *bulkRuns) stop(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	stop := b.running[id]
	if stop != nil {
		stop(errStopped)
	}
	return stop != nil
}

func (b *bulkRuns) runs(id string) bool {
	running, _ := b.state(id)
	return running
}

// state reports whether a change runs here, or why it does not any more.
func (b *bulkRuns) state(id string) (running bool, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.over, func(e ended) bool { return e.id == id }); i >= 0 {
		why = b.over[i].why
	}
	return b.running[id] != nil, why
}
