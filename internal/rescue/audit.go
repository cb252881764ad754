package rescue

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ebbjobs/ebb/store"
)

const auditEvery = time.Minute // between two looks, less up to a fifth

// Auditor sees to jobs that are held in the name of nobody who is registered, as an
// edit by hand or a server that evicts leaves them: no lease ends there, so that no
// rescuer would ever come for them. It has their holder registered once more; Loop
// gives them back if that does not beat.
type Auditor struct {
	Keeper store.Keeper
	Log    *slog.Logger
	By     store.Identity
	TTL    time.Duration // of a lease
}

// Run audits until ctx ends. It begins after the time of a lease: whoever lives has
// beaten by then.
func (a *Auditor) Run(ctx context.Context) {
	timer := time.NewTimer(a.TTL)
	defer timer.Stop()
	for failed := false; ; {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		found, err := a.Keeper.Audit(ctx, a.By, Doubt(a.TTL))
		if ctx.Err() != nil {
			return
		}
		// Everybody finds out that a store is away or read-only. One may also refuse only this.
		if err != nil && !errors.Is(err, store.ErrUnreachable) && !errors.Is(err, store.ErrReadOnly) && !failed {
			a.Log.Warn("cannot look for jobs that nobody holds", "cause", err)
			failed = true
		}
		failed = failed && err != nil
		for _, id := range found {
			a.Log.Warn("jobs are held by a process that nobody knows; they go back unless it beats", "from", id, "in", Doubt(a.TTL))
		}
		timer.Reset(auditEvery - rand.N(auditEvery/5))
	}
}

// Doubt is for how long a holder that nobody knows is waited for, where leases last
// for ttl: one that has just been kept from its store may still come back.
func Doubt(ttl time.Duration) time.Duration { return 2 * ttl }

// byLease reports whether nothing but the end of a lease tells that a process is gone.
func byLease(c store.Cause) bool { return c == store.Lapsed || c == store.Unclaimed }
