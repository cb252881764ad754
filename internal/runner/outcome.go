package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

const (
	// crowdedDelay is about how long a suspect stays away from a process that runs
	// another one. It is not the same for all: those that are given back together must
	// not come back together.
	crowdedDelay = 5 * time.Second
	// yieldDelay keeps a job that gives itself back at once from spinning.
	yieldDelay = time.Second
)

// verdict says what is to become of the job whose handler h has returned err. It
// reports false if there is nothing to tell the store, since another process has
// the job.
//
// An error that comes after the job's context has ended, because its process
// drains or was cut off, is an interruption, whatever it says: many libraries do
// not pass on what made them fail, and no deploy may cost an attempt. At worst a
// failure is found one run later. A nil error is success at any time, and a panic
// is a failure at any time.
func (a *Attempt) verdict(h *Handler, err error) (e entry, held bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() {
		// Methods of err are the handler's code as well, such as Error on a nil pointer.
		if v := recover(); v != nil {
			e, held = a.failed(h, &PanicError{Value: fmt.Sprintf("%T: %v", err, v), Stack: debug.Stack()}), true
		}
	}()
	a.judged = true
	if a.lost {
		return entry{}, false
	}
	if err == nil {
		return a.ack(store.Finished, "finished", nil), true
	}
	if _, panicked := errors.AsType[*PanicError](err); panicked {
		return a.failed(h, err), true
	}
	if e, said := a.said(h, err); said {
		return e, true
	}
	var ended error
	if a.ctx != nil {
		ended = context.Cause(a.ctx)
	}
	switch {
	case errors.Is(ended, verdict.ErrDraining):
		return a.interrupted("deploy", a.runner.why()), true
	case errors.Is(ended, verdict.ErrLeaseLost):
		return a.interrupted("cut off", "the store did not answer"), true
	case errors.Is(ended, verdict.ErrCanceled):
		return a.ack(store.Discarded, "canceled", ended), true
	}
	return a.failed(h, err), true
}

// said follows an error that is a verdict in itself.
func (a *Attempt) said(h *Handler, err error) (e entry, said bool) {
	if snooze, ok := errors.AsType[*verdict.Snooze](err); ok {
		return a.snooze(snooze.D), true
	}
	if discard, ok := errors.AsType[*verdict.Discard](err); ok {
		return a.ack(store.Discarded, "discarded", discard), true
	}
	if _, ok := errors.AsType[*verdict.Bury](err); ok {
		return a.buried(h, err), true
	}
	switch {
	case errors.Is(err, verdict.ErrYield):
		return a.yield(), true
	case errors.Is(err, errExpired):
		return a.ack(store.Expired, "expired", nil), true
	case errors.Is(err, errNotBegun):
		return a.back("handed back"), true
	case errors.Is(err, errForeign):
		a.runner.foreign.warn(a.runner.log, a.job)
		return a.away("handed back", a.runner.foreign.delay(time.Now())), true
	case errors.Is(err, errCrowded):
		if a.runner.suspect.tell(a.job.JID) {
			a.runner.log.Info("job waits: it is suspected of crashes, and another suspect runs here", a.attrs()...)
		}
		return a.away("handed back", jitter(crowdedDelay)), true
	case errors.Is(err, errUnreadable):
		// The bytes stay as they are: nobody knows what they mean.
		a.runner.log.Error("job buried: its payload cannot be read", append(a.attrs(), "cause", err)...)
		return entry{move: bury, attempt: a, later: store.Later{Token: a.token}, fate: "buried", cause: err}, true
	}
	return entry{}, false
}

func (a *Attempt) ack(outcome store.Outcome, fate string, cause error) entry {
	a.logEnd(fate, cause)
	done := store.Done{Token: a.token, Outcome: outcome, Failed: cause != nil}
	return entry{move: ack, attempt: a, done: done, fate: fate, cause: cause}
}

// back gives the job back to the front of its queue, remembering what it has to.
func (a *Attempt) back(fate string) entry {
	e := entry{move: requeue, attempt: a, later: store.Later{Token: a.token}, fate: fate}
	if a.changed {
		e.later.Payload = a.job.WithHistory(a.history)
	}
	return e
}

// away puts the job off, remembering what it has to. In the scheduled set nothing but
// the payload tells Ruby's scheduler which queue it is of, so that says it from here on.
func (a *Attempt) away(fate string, d time.Duration) entry {
	e := entry{move: retry, attempt: a, later: store.Later{Token: a.token, Set: store.Scheduled, Delay: d}, fate: fate}
	var p wire.Patch
	if a.job.Queue != a.queue {
		p.SetString("queue", a.queue)
	}
	if a.changed {
		p.SetHistory(a.history)
	}
	if a.changed || a.job.Queue != a.queue {
		e.later.Payload = a.job.With(&p)
	}
	return e
}

// interrupted gives the job back to the front of its queue, unbilled.
func (a *Attempt) interrupted(cause, why string) entry {
	a.history.Interruptions++
	a.history.Settled = false // it begins anew
	a.note("interrupted", cause, why)
	fate := "handed back"
	if len(a.history.Checkpoint) > 0 {
		fate = "checkpointed"
	}
	a.runner.log.Info("job requeued", append(a.attrs(), "took", a.took(), "cause", why)...)
	return a.back(fate)
}

// yield gives the job back as its handler asked: to the front of the queue for
// another process while this one stops, else for a little later.
func (a *Attempt) yield() entry {
	a.clear()
	a.note("yielded", "", "")
	if a.runner.stopping() {
		return a.back("handed back")
	}
	return a.away("handed back", yieldDelay)
}

func (a *Attempt) snooze(d time.Duration) entry {
	a.clear()
	a.history.Snoozes++
	a.note("snoozed", "", d.String())
	return a.away("snoozed", d)
}

func (a *Attempt) buried(h *Handler, err error) entry {
	a.logEnd("buried", err)
	e := entry{move: bury, attempt: a, fate: "buried", cause: err}
	e.later = store.Later{Token: a.token, Failed: true, Payload: a.failure(h, err, a.queue)}
	return e
}

// failed decides what follows a failure: another try, the dead set, or nothing.
func (a *Attempt) failed(h *Handler, err error) entry {
	policy := &Policy{}
	if h != nil {
		policy = &h.Policy
	}
	count := a.job.Count + 1
	again, dead := policy.after(a.job, count, time.Now())
	switch {
	case again:
		queue := cmp.Or(policy.retryQueue(a.job), a.queue)
		e := entry{move: retry, attempt: a, fate: "failed", cause: err}
		e.later = store.Later{Token: a.token, Failed: true, Queue: queue, Payload: a.failure(h, err, queue), Delay: policy.delay(count, err)}
		a.runner.log.Warn("job failed and will be tried again", append(a.attrs(), "took", a.took(), "cause", err, "in", e.later.Delay)...)
		return e
	case dead:
		return a.buried(h, err)
	default:
		return a.ack(store.Discarded, "discarded", err)
	}
}

// failure returns the payload after a failed run. It names the queue where the job runs
// next even if it never did: to Ruby nothing else in the sets tells it.
func (a *Attempt) failure(h *Handler, err error, queue string) []byte {
	seen := *a.job
	if seen.Backtrace == 0 && h != nil {
		seen.Backtrace = h.Backtrace
	}
	f := wire.Failure{Class: errorClass(err), Message: fmt.Sprint(err), At: time.Now(), Queue: queue}
	if panicked, ok := errors.AsType[*PanicError](err); ok {
		f.Backtrace = panicked.backtrace()
		if seen.Backtrace == 0 {
			seen.Backtrace = panicLines
		}
	}
	a.clear()
	var p wire.Patch
	p.Fail(&seen, f)
	if a.changed {
		p.SetHistory(a.history)
	}
	return a.job.With(&p)
}
