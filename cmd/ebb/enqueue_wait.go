package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// How often a job that is waited for is looked up: soon after it was put, and then
// less and less often, in proportion to what a look costs.
const (
	firstLook  = 20 * time.Millisecond
	seldomLook = 2 * time.Second
	lookShare  = 10 // of the time at most a tenth goes into looking
)

var errWaited = errors.New("the job is not done yet")

// waitFor waits until put is done, and says how it ended.
func (f *enqueueFlags) waitFor(ctx context.Context, a *app, put enqueued) error {
	if f.waitTimeout > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeoutCause(ctx, f.waitTimeout, errWaited)
		defer end()
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	at, failed, err := outcome(ctx, s, put.JID, put.Queue)
	switch {
	case errors.Is(context.Cause(ctx), errWaited):
		return code(exitDeadline, store.WithHint(fmt.Errorf("%s %s is not done after %v", put.Kind, put.JID, f.waitTimeout), "see where it is: ebb jobs show %s", put.JID))
	case err != nil:
		return store.WithHint(err, "%s %s is in; see where it is: ebb jobs show %[2]s", put.Kind, put.JID)
	case !failed:
		put.State, put.At = "done", time.Time{}
		return put.print(a)
	}
	job, _ := wire.Parse(at.Payload)
	put.State, put.At, put.Error = "failed", at.At, query.ErrorOf(job)
	hint := "it is tried again " + cmp.Or(prose.When(at.At, a.now()), "now")
	if at.Place == store.Dead {
		put.State, put.At, hint = "dead", time.Time{}, "look at it: ebb jobs show "+put.JID
	}
	if err := put.print(a); err != nil {
		return err
	}
	return code(exitFailed, store.WithHint(fmt.Errorf("%s %s: %s: %s", put.Kind, put.JID, put.State, put.Error), "%s", hint))
}

// outcome waits until a job is nowhere any more, which is how one that is done
// looks, or has failed: then it returns where that is.
func outcome(ctx context.Context, s store.Inspector, jid, queue string) (at store.Entry, failed bool, err error) {
	missed := 0
	for pause := firstLook; ; pause = min(2*pause, seldomLook) {
		began := time.Now()
		at, found, err := whereIs(ctx, s, jid, queue)
		if err != nil {
			return at, false, err
		}
		if found {
			missed = 0
			if job, _ := wire.Parse(at.Payload); at.Place == store.Dead || job.Count >= 0 {
				return at, true, nil
			}
		} else if missed++; missed > 2 { // one that moves while it is looked for can be overlooked
			return at, false, nil
		}
		select {
		case <-ctx.Done():
			return at, false, context.Cause(ctx)
		case <-time.After(max(pause, lookShare*time.Since(began))):
		}
	}
}
