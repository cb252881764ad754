package runner

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/ebbjobs/ebb/store"
)

// maxKinds bounds the kinds that are counted apart. Those of wrapped jobs are named by
// their payloads, of which nobody knows how many there will be.
const maxKinds = 1000

// counts is how runs have ended here, by kind. A run counts when its verdict is
// recorded, so that all that counts is in the books as well.
type counts struct {
	mu    sync.Mutex
	kinds map[string]*store.Runs
}

// ended counts a run whose verdict is recorded, unless the job was given back, put off
// or never begun.
func (c *counts) ended(e *entry) {
	failed := e.done.Failed || e.later.Failed
	finished := e.move == ack && e.done.Outcome == store.Finished
	if !failed && !finished || e.attempt.since.IsZero() {
		return
	}
	kind := cmp.Or(e.attempt.job.Wrapped, e.attempt.job.Kind)
	c.mu.Lock()
	defer c.mu.Unlock()
	runs := c.kinds[kind]
	if runs == nil {
		if len(c.kinds) == maxKinds {
			return
		}
		if c.kinds == nil {
			c.kinds = map[string]*store.Runs{}
		}
		runs = &store.Runs{Kind: kind}
		c.kinds[kind] = runs
	}
	runs.Ended++
	if failed {
		runs.Failed++
		return
	}
	runs.Took += e.took
	runs.Spread.Add(e.took)
}

// all returns the counts by kind, in the order of their names.
func (c *counts) all() []store.Runs {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]store.Runs, 0, len(c.kinds))
	for _, kind := range slices.Sorted(maps.Keys(c.kinds)) {
		all = append(all, *c.kinds[kind])
	}
	return all
}
