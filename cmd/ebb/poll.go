package main

import (
	"context"
	"errors"
	"time"

	"github.com/ebbjobs/ebb/store"
)

const (
	pollFirst = 50 * time.Millisecond
	pollMost  = time.Second
	// A store that has answered before may be away for so long: it is restarted, or
	// another takes over.
	pollOutage = 15 * time.Second
)

// poll asks done again and again, with pauses that grow up to a second, until it
// says yes or fails. It returns errTimeUp after timeout, unless that is 0.
func poll(ctx context.Context, timeout time.Duration, done func(context.Context) (bool, error)) error {
	began := time.Now()
	var answered time.Time
	for pause := pollFirst; ; pause = min(pause*3/2, pollMost) {
		ok, err := done(ctx)
		switch {
		case err == nil && ok:
			return nil
		case err == nil:
			answered = time.Now()
		case !errors.Is(err, store.ErrUnreachable) || answered.IsZero() || time.Since(answered) > pollOutage:
			return err
		}
		if timeout > 0 {
			left := timeout - time.Since(began)
			if left <= 0 {
				return errTimeUp
			}
			pause = min(pause, left)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// errTimeUp is the end of the time that a person gave.
var errTimeUp = errors.New("the time given is over")

// sleep waits, or returns the cause of ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
