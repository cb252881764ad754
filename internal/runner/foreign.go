package runner

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/wire"
)

const (
	// A job that is not ours stays away from us at least so long, so that one that
	// nobody runs does not keep us busy, and at most so long, since the process that
	// knows it may be idle.
	foreignLeast = 500 * time.Millisecond
	foreignMost  = 5 * time.Second
	// foreignGap is between two such jobs that come back, as long as there are few
	// enough. Those that came back at once would all be fetched at once, and a process
	// that can take one at a time would hardly ever find one.
	foreignGap = 5 * time.Millisecond
)

// foreign is what a process remembers of jobs that are left to others. The zero value
// is ready for use.
type foreign struct {
	mu     sync.Mutex
	last   time.Time // when the last one comes back
	warned map[string]bool
}

// delay is how long the next one stays away.
func (f *foreign) delay(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	wait := max(f.last.Add(foreignGap).Sub(now), foreignLeast)
	if wait > foreignMost {
		return foreignLeast + rand.N(foreignMost-foreignLeast)
	}
	f.last = now.Add(wait)
	return wait
}

// warn says once for each kind that its jobs are left to others.
func (f *foreign) warn(log *slog.Logger, job *wire.Job) {
	kind, why := job.Kind, "no handler here"
	if job.BID != "" {
		why = "part of a batch"
	}
	f.mu.Lock()
	known := f.warned[kind]
	if f.warned == nil {
		f.warned = map[string]bool{}
	}
	f.warned[kind] = true
	f.mu.Unlock()
	if !known {
		log.Warn("jobs of this kind are given back for others to run", "kind", kind, "cause", why)
	}
}
