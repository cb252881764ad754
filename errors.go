package ebb

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Enqueueing. An error that matches none of these is about how the call was
// made: an option, a name, an argument. Nothing was pushed then.
var (
	// ErrFull: the store takes no more jobs. What runs goes on, and room comes back
	// as jobs are done with.
	ErrFull = store.ErrFull
	// ErrTooLarge: the payload is above the client's limit, see [WithMaxPayload].
	ErrTooLarge = errors.New("payload is too large")
	// ErrUncertain: the store gave no clear answer, so the job may have been accepted
	// or not. The Ref that comes with it is set. Enqueueing again makes another job;
	// a handler that is idempotent by its arguments makes that harmless.
	ErrUncertain = errors.New("the store did not answer, the job may have been accepted")
	// ErrNoTx: the store cannot enqueue inside this transaction, see [Client.InTx].
	ErrNoTx = errors.New("the store cannot join this transaction")
)

// Running: what [context.Cause] says of a job's context that has ended.
var (
	// ErrDraining: the process is stopping and its grace period is nearly over. The
	// job is given back, unbilled, once its handler has returned.
	ErrDraining = verdict.ErrDraining
	// ErrTimeout: the job ran for longer than its [Timeout].
	ErrTimeout = verdict.ErrTimeout
	// ErrCanceled: somebody canceled this job.
	ErrCanceled = verdict.ErrCanceled
	// ErrLeaseLost: another process has rescued the job and may run it already, or,
	// where the policy is [EndJobs], may soon. What this run returns counts only if
	// nobody has taken the job.
	ErrLeaseLost = verdict.ErrLeaseLost
)

// Returning: what a handler says of its job. Nil means done, whatever has become
// of the context meanwhile. Any error that wraps none of these is a failure: the
// job is tried again later, or buried once it is out of tries.

// ErrYield gives the job back, unbilled: to the front of its queue while the process
// stops, so that another one goes on with it at once, and else for a second later,
// so that it does not come straight back.
var ErrYield = verdict.ErrYield

// Snooze asks for another run in d, unbilled; zero or less means at once.
func Snooze(d time.Duration) error { return &verdict.Snooze{D: max(d, 0)} }

// Discard forgets the job: it is not worth another try. The reason is logged, and
// counted in the books as a discard. A nil err is a discard without a reason.
func Discard(err error) error { return &verdict.Discard{Err: err} }

// Bury sends the job to the dead set at once, for a person to look at. A nil err
// buries it without a reason.
func Bury(err error) error { return &verdict.Bury{Err: err} }

// PayloadError says why a payload cannot be read as a job. Such a job goes to the
// dead set, its bytes unchanged.
type PayloadError = wire.PayloadError

// ArgError says which argument of a job does not fit. It never holds a value,
// since arguments may be secret. In a handler's process it counts as a failure
// like any other: the job is tried again, perhaps by a newer release.
type ArgError struct {
	Kind     string // of the job
	Position int    // from 1
	Field    string // where the argument goes, with the path inside it; "" if it has no name
	Go       string // the Go type there; "" for a surplus argument
	JSON     string // object, array, string, number, bool or null; "" for a missing argument
	Err      error  // the cause, if there is one to tell
}

func (e *ArgError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "argument %d", e.Position)
	if target := strings.TrimSpace(e.Field + " " + e.Go); target != "" {
		fmt.Fprintf(&b, " (%s)", target)
	}
	switch {
	case e.JSON == "" && e.Err == nil:
		b.WriteString(" is missing")
	case e.JSON == "":
		fmt.Fprintf(&b, " cannot be encoded: %v", e.Err)
	case e.Go == "":
		fmt.Fprintf(&b, " is one too many: JSON %s", e.JSON)
	default:
		fmt.Fprintf(&b, " does not fit: JSON %s", e.JSON)
	}
	return b.String()
}

func (e *ArgError) Unwrap() error { return e.Err }
