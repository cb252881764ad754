package runner

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/wire"
)

const (
	defaultRetries = 25 // Sidekiq's
	panicLines     = 30 // of a panic's stack, kept where the job asks for none
)

// Policy is what counts for a kind where the payload says nothing.
type Policy struct {
	Retry      wire.Retry
	RetryFor   time.Duration
	RetryQueue string
	NoDead     bool
	Backtrace  int
	Timeout    time.Duration
	// Backoff says how long to wait after the n-th failure, from 1. No function, an
	// answer of zero or less, or a panic: as Sidekiq does.
	Backoff func(n int, err error) time.Duration
}

// after says whether a job goes on after a failure that makes its retry_count
// count, and whether it goes to the dead set if it does not. A time to go on for
// replaces the number of tries, as in Sidekiq 8.1.
func (p *Policy) after(job *wire.Job, count int, now time.Time) (again, dead bool) {
	retry := job.Retry
	if retry == wire.DefaultRetry || retry == wire.RetryTrue { // both leave it to the worker
		retry = p.Retry
	}
	limit, retries := retry.Limit(defaultRetries)
	if !retries {
		return false, false
	}
	again = count < limit
	if window := cmp.Or(job.RetryFor, p.RetryFor); window > 0 {
		again = job.FailedAt.IsZero() || now.Sub(job.FailedAt) < window
	}
	return again, !again && !job.NoDead && !p.NoDead
}

func (p *Policy) retryQueue(job *wire.Job) string { return cmp.Or(job.RetryQueue, p.RetryQueue) }

func (p *Policy) delay(count int, err error) (d time.Duration) {
	defer func() {
		if v := recover(); v != nil || d <= 0 {
			d = wire.RetryDelay(count, nil)
		}
	}()
	if p.Backoff != nil {
		d = p.Backoff(count+1, err)
	}
	return d
}

// errorClass names the type of an error for people, in the place where Ruby has
// its class: the first type within that says more than "an error".
func errorClass(err error) string {
	if _, ok := errors.AsType[*PanicError](err); ok {
		return "panic"
	}
	if errors.Is(err, verdict.ErrTimeout) {
		return "timeout"
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		name := strings.TrimPrefix(fmt.Sprintf("%T", e), "*")
		if !strings.HasPrefix(name, "errors.") && !strings.HasPrefix(name, "fmt.") && name != "verdict.Bury" {
			return name
		}
	}
	return "error"
}
