package drain

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// run is the drain of one worker.
type run struct {
	Worker
	*drain
	result *Result
	clock  *clock

	mine     bool      // nobody else is at it
	began    time.Time // by the clock of whoever came first
	deadline time.Time // TERM at the latest
	told     time.Time // when it was last told to go quiet
	thawed   time.Time // when it was last continued
	idle     string    // the beat of the first look that saw it idle
	termed   time.Time // when TERM was sent
	late     bool      // and why
	said     string    // the last trouble, which is told once
	quiet    bool      // seen so
}

func (r *run) say(format string, args ...any) { r.note(r.Worker, fmt.Sprintf(format, args...)) }

// trouble is told once, however often it comes back.
func (r *run) trouble(what string, err error) {
	if text := fmt.Sprintf("%s: %v", what, err); text != r.said {
		r.said = text
		r.say("%s", text)
	}
}

// drainOne looks and acts until it is over, or ctx ends.
func (r *run) drainOne(ctx context.Context) {
	for {
		var s State
		err := bounded(ctx, func(ctx context.Context) (err error) {
			s, err = r.State(ctx)
			return err
		})
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		if err != nil {
			r.trouble("cannot be looked at", err)
			s = r.result.State // what was last seen, and no proof of anything
		}
		outcome, failed := r.step(ctx, now, s, err == nil)
		r.update(func() {
			*r.result = Result{
				Name: r.Name(), Outcome: outcome, State: s, Since: now.Sub(r.began), Deadline: r.deadline, Joined: !r.mine, Err: failed,
			}
		})
		if outcome != Underway || pause(ctx) != nil {
			return
		}
	}
}

// step does what is due, given what was seen.
func (r *run) step(ctx context.Context, now time.Time, s State, seen bool) (Outcome, error) {
	if !r.mine && !s.Gone {
		r.join(now, s)
	}
	if !s.Ends.IsZero() && s.Ends.Before(r.deadline) {
		r.deadline = s.Ends // it ends its jobs then: the time is over
	}
	switch {
	case s.Gone:
		return r.ended(now), nil
	case !r.termed.IsZero():
		return r.lingers(now), nil
	case !r.mine && now.Before(r.deadline.Add(r.Needs+within)):
		return Underway, nil // the other run acts
	case s.Frozen && now.Before(r.deadline):
		return r.thaw(ctx, now)
	}
	r.watchQuiet(s)
	switch {
	case seen && r.isIdle(s):
		if r.NoTerm {
			r.say("idle after %s; TERM is left to the platform", took(now.Sub(r.began)))
			return Drained, nil
		}
		r.say("idle after %s: TERM", took(now.Sub(r.began)))
		return r.term(ctx, now)
	case !now.Before(r.deadline):
		return r.timeUp(ctx, now, s)
	case r.told.IsZero(), !s.Quiet && now.Sub(r.told) >= within:
		// Also one that is quiet is told once: it may not know the hour.
		return r.tell(ctx, now)
	}
	return Underway, nil
}

// join makes the worker ours, or says that another run has it. Whoever comes second,
// and whoever takes over from a run that died, goes by the clock of the first.
func (r *run) join(now time.Time, s State) {
	first := r.deadline.IsZero()
	r.mine = r.clock.claim()
	began, deadline, known := r.clock.read()
	// A clock that nobody minds, of a worker that is not quiet, is of a drain that was
	// taken back since. A title is a heartbeat late.
	known = known && (!r.mine || s.Quiet || now.Sub(began) < within)
	switch {
	case known && r.mine:
		r.began, r.deadline = began, earlier(deadline, r.Options.term(began, r.Needs))
	case known:
		r.began, r.deadline = began, deadline
	case first:
		r.began, r.deadline = now, r.Options.term(now, r.Needs)
	}
	if r.mine {
		r.clock.write(r.began, r.deadline)
	}
	switch {
	case first && !r.mine:
		r.say("another run drains it since %s: joined", r.began.Format(time.TimeOnly))
	case !r.mine:
	case known:
		r.say("goes on with a drain that began %s ago, until %s", took(now.Sub(r.began)), r.deadline.Format(time.TimeOnly))
	default:
		r.say("told to go quiet; TERM after %s at the latest", took(r.deadline.Sub(r.began)))
	}
}

// thaw lets a worker hear signals again that has been stopped by one: by a dumb-init
// that makes STOP of TSTP, for one.
func (r *run) thaw(ctx context.Context, now time.Time) (Outcome, error) {
	if now.Sub(r.thawed) < time.Second {
		return Underway, nil
	}
	r.thawed, r.told = now, time.Time{}
	r.say("frozen by a signal, so that it hears no other: continued")
	outcome, err := r.tell(ctx, now)
	r.told = time.Time{} // who knows what it has heard
	return outcome, err
}

// tell lets the worker go quiet.
func (r *run) tell(ctx context.Context, now time.Time) (Outcome, error) {
	if !r.told.IsZero() {
		r.say("not quiet %s after it was told: told again", took(within))
	}
	err := bounded(ctx, func(ctx context.Context) error { return r.Quiet(ctx, r.kill(r.began)) })
	switch {
	case errors.Is(err, ErrPermission):
		r.say("%v", err)
		return Refused, err
	case err != nil:
		r.trouble("cannot be told to go quiet yet", err) // and is told again at the next look
		return Underway, nil
	}
	r.told = now
	return Underway, nil
}

// watchQuiet says once that the worker is quiet.
func (r *run) watchQuiet(s State) {
	if s.Quiet && !r.quiet {
		r.say("quiet, %s", running(s.Busy))
	}
	r.quiet = s.Quiet
}

// isIdle wants two looks at different heartbeats that saw nothing run: a job that was
// fetched just before the worker went quiet may not show in the first.
func (r *run) isIdle(s State) bool {
	if s.Blind || !s.Quiet || s.Busy > 0 || s.Frozen {
		r.idle = ""
		return false
	}
	if r.idle == "" {
		r.idle = s.Beat
	}
	return r.idle != s.Beat
}

// timeUp is the deadline: TERM makes the worker give its jobs back.
func (r *run) timeUp(ctx context.Context, now time.Time, s State) (Outcome, error) {
	what := running(s.Busy)
	if s.Blind {
		what = "nobody knows what runs"
	}
	if r.NoTerm {
		r.say("the time is over after %s, %s; TERM is left to the platform%s", took(now.Sub(r.began)), what, names(s.Runs, now))
		return Late, nil
	}
	r.late = true
	r.say("the time is over after %s, %s: TERM%s", took(now.Sub(r.began)), what, names(s.Runs, now))
	return r.term(ctx, now)
}

// term sends TERM, once.
func (r *run) term(ctx context.Context, now time.Time) (Outcome, error) {
	err := bounded(ctx, func(ctx context.Context) error { return r.Term(ctx, r.kill(r.began)) })
	if err != nil {
		r.say("cannot be told to end: %v", err)
		return Refused, err
	}
	r.termed = now
	return Underway, nil
}

// ended is for a worker that is there no more.
func (r *run) ended(now time.Time) Outcome {
	last := r.result.State
	switch {
	case !r.termed.IsZero():
		r.say("gone %s after TERM", took(now.Sub(r.termed)))
	case last.Busy > 0:
		r.say("gone by itself after %s, %s when last seen", took(now.Sub(r.began)), running(last.Busy))
	default:
		r.say("gone by itself after %s", took(now.Sub(r.began)))
	}
	// A worker that was told the hour ends its jobs without being told again.
	if r.late || r.termed.IsZero() && last.Busy > 0 && !now.Before(r.deadline) {
		return Late
	}
	return Drained
}

// lingers waits for the end of a worker that has got TERM, but not for ever.
func (r *run) lingers(now time.Time) Outcome {
	until := r.termed.Add(max(r.Needs, margin))
	if r.Grace > 0 {
		until = earlier(until, r.began.Add(r.Grace-time.Second))
	}
	if now.Before(until) {
		return Underway
	}
	r.say("still there %s after TERM", took(now.Sub(r.termed)))
	if r.late {
		return Late
	}
	return Drained
}

// close lets others have the worker. The clock goes on for one that was left behind.
func (r *run) close() { r.clock.close(r.result.Outcome == Drained || r.result.State.Gone) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
