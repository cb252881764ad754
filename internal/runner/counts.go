package runner

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// maxSeries bounds the kinds and queues that are counted apart. Kinds of wrapped jobs
// are named by their payloads, of which nobody knows how many there will be.
const maxSeries = 1000

// series is what runs are counted by.
type series struct{ kind, queue string }

// counts is how runs have ended here, by kind and queue. A run counts when its verdict
// is recorded, so that all that counts is in the books as well.
type counts struct {
	mu   sync.Mutex
	runs map[series]*store.Runs
}

// ended counts a run whose verdict is recorded, unless the job was given back, put off
// or never begun.
func (c *counts) ended(e *entry) {
	failed := e.done.Failed || e.later.Failed
	finished := e.move == ack && e.done.Outcome == store.Finished
	if !failed && !finished || e.attempt.since.IsZero() {
		return
	}
	a := e.attempt
	name := series{cmp.Or(a.job.Wrapped, a.job.Kind), a.queue}
	c.mu.Lock()
	defer c.mu.Unlock()
	runs := c.runs[name]
	if runs == nil {
		if len(c.runs) == maxSeries {
			return
		}
		if c.runs == nil {
			c.runs = map[series]*store.Runs{}
		}
		runs = &store.Runs{Kind: name.kind, Queue: name.queue}
		c.runs[name] = runs
	}
	if ready := a.ready(); !ready.IsZero() {
		waited := max(0, a.since.Sub(ready))
		runs.Waited += waited
		runs.Waits.Add(waited)
	}
	runs.Ended++
	if failed {
		runs.Failed++
		return
	}
	runs.Took += e.took
	runs.Spread.Add(e.took)
}

// ready is since when the job waited in its queue, by the clock of whoever put it there:
// of a store that promoted or rescued it, of the program that pushed it, or of the process
// that gave it back. Zero: not known.
func (a *Attempt) ready() time.Time {
	ready := a.job.EnqueuedAt
	if n := len(a.job.History.Events); n > 0 && !ready.IsZero() {
		// A job that goes back to the front keeps the hour at which it first came.
		if last := a.job.History.Events[n-1].At; last.After(ready) {
			ready = last
		}
	}
	return ready
}

// all returns the counts by kind and queue, in the order of their names.
func (c *counts) all() []store.Runs {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]store.Runs, 0, len(c.runs))
	for _, name := range slices.SortedFunc(maps.Keys(c.runs), func(a, b series) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.queue, b.queue))
	}) {
		all = append(all, *c.runs[name])
	}
	return all
}
