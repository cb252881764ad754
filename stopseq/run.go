package stopseq

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// Target is the process that a sequence is run on.
type Target struct {
	// Signal sends a signal. syscall.ESRCH and os.ErrProcessDone say that the process
	// is gone.
	Signal func(syscall.Signal) error
	// Idle returns nil once nothing runs, and an error if it cannot tell any more. It
	// returns soon after its context has ended. Nil: nobody can tell.
	Idle func(context.Context) error
	// Gone is closed when the process has ended. Nil: nobody can tell.
	Gone <-chan struct{}
}

// Run does step after step and tells note, unless that is nil, of each as it begins:
// when, and when it ends at the latest. It returns nil when all steps are done, and
// as soon as the process is gone, to which nothing more is sent. It returns the cause
// of ctx when that ends first, and the error of a signal that could not be sent; the
// steps left are then not done.
//
// A step does not ask what has happened but what is: a process that is idle before
// its idle step begins is idle then, and one that nobody can tell of, or no longer,
// takes the whole time of the step. The sequence runs once, however often it is
// asked for: who is told to stop again while it runs has nothing to do.
func (q Sequence) Run(ctx context.Context, grace time.Duration, t Target, note func(Hour)) error {
	r := run{target: t}
	defer r.asked.Wait()
	began := time.Now()
	for i, step := range q {
		if gone, err := r.over(ctx); gone || err != nil {
			return err
		}
		h := q.hour(i, time.Since(began), grace)
		if note != nil {
			note(h)
		}
		if step.Kind != Signal {
			r.wait(ctx, step.Kind, h.To-h.From)
			continue
		}
		switch err := t.Signal(step.Signal); {
		case errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone):
			return nil
		case err != nil:
			return fmt.Errorf("stopseq: send %s: %w", SignalName(step.Signal), err)
		}
	}
	return nil
}

// run is one call of Run.
type run struct {
	target Target
	asked  sync.WaitGroup // the questions under way
}

// over reports whether the process is gone, and why ctx has ended if it has. Gone
// comes first: then all is well.
func (r *run) over(ctx context.Context) (gone bool, err error) {
	select {
	case <-r.target.Gone:
		return true, nil
	default:
		return false, context.Cause(ctx)
	}
}

// wait lets a time pass, less if the process is gone, ctx ends or, in an idle step,
// nothing runs. A question that is not answered in time holds nothing up.
func (r *run) wait(ctx context.Context, kind Kind, most time.Duration) {
	enough := time.NewTimer(most)
	defer enough.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var quiet chan struct{}
	if kind == Idle && r.target.Idle != nil && most > 0 {
		quiet = make(chan struct{})
		r.asked.Go(func() {
			if r.target.Idle(ctx) == nil {
				close(quiet)
			}
		})
	}
	select {
	case <-enough.C:
	case <-quiet:
	case <-r.target.Gone:
	case <-ctx.Done():
	}
}
