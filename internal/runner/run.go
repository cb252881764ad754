package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/wire"
)

// Handler runs jobs of one kind.
type Handler struct {
	Run func(ctx context.Context, job *wire.Job) error
	Policy
}

// Why a job was not run. Each has a verdict of its own.
var (
	errUnreadable = errors.New("payload cannot be read")
	errExpired    = errors.New("expired before it began")
	errForeign    = errors.New("left to others")
	errCrowded    = errors.New("another suspect runs here")
	errNotBegun   = errors.New("not begun, as it may be held by another process")
	errGoexit     = errors.New("handler ended its goroutine")
)

// UnknownKindError says that a process has no handler for a kind.
type UnknownKindError struct{ Kind string }

func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("no handler for the kind %s in this process", e.Kind)
}

// PanicError is a panic of a handler.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns what the handler panicked with, if that was an error.
func (e *PanicError) Unwrap() error { err, _ := e.Value.(error); return err }

// run calls the job's handler, if it has one and is to be run. It returns nil only
// if the handler has.
func (a *Attempt) run(slot string, h *Handler) error {
	shared, expires := a.runner.shared, a.job.History.Expires
	switch {
	case a.unread != nil:
		return fmt.Errorf("%w: %w", errUnreadable, a.unread)
	case begun(a.job) == 0 && !expires.IsZero() && time.Now().After(expires):
		return errExpired
	case shared && (h == nil || a.job.BID != ""):
		return errForeign
	case h == nil:
		return &UnknownKindError{a.job.Kind}
	}
	ctx, end, ok := a.begin(slot, h)
	if !ok {
		return errNotBegun
	}
	defer end()
	crashpoint.At(crashpoint.InHandler)
	err := call(ctx, h.Run, a.job)
	if err != nil && errors.Is(context.Cause(ctx), verdict.ErrTimeout) {
		err = fmt.Errorf("%w: %w", verdict.ErrTimeout, err)
	}
	return err
}

// begun counts the runs that a job has had.
func begun(job *wire.Job) int {
	return job.Count + 1 + job.History.Interruptions + job.History.Snoozes
}

// begin makes the handler's context. It reports false if another process has the
// job, or may have it since this one was away for a moment just now.
func (a *Attempt) begin(slot string, h *Handler) (context.Context, context.CancelFunc, bool) {
	ctx, cancel := context.WithCancelCause(context.WithValue(a.runner.jobs, attemptKey{}, a))
	end := func() { cancel(nil) }
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost || !a.runner.heart.Unbroken(a.epoch) {
		end()
		return nil, nil, false
	}
	a.slot, a.since, a.cancel, a.ctx = slot, time.Now(), cancel, ctx
	if a.history.Interruptions > 0 {
		a.note("resumed", "", "")
	}
	limit := a.job.History.Timeout
	if limit == 0 {
		limit = h.Timeout
	}
	if limit > 0 {
		timer := time.AfterFunc(limit, func() { cancel(verdict.ErrTimeout) })
		end = func() { timer.Stop(); cancel(nil) }
	}
	if a.runner.log.Enabled(ctx, slog.LevelDebug) {
		a.runner.log.Debug("job begun", a.attrs()...)
	}
	return ctx, end, true
}

// call calls a handler, and makes an error of its panic.
func call(ctx context.Context, run func(context.Context, *wire.Job) error, job *wire.Job) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return run(ctx, job)
}

// backtrace returns the lines of the stack below the panic, as "file:line in func".
func (e *PanicError) backtrace() []string {
	lines := strings.Split(strings.TrimSpace(string(e.Stack)), "\n")
	var frames []string
	for i := 1; i+1 < len(lines); i += 2 { // after the goroutine's line: a function, then where
		where, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +0x")
		name := lines[i]
		if paren := strings.LastIndexByte(name, '('); paren > 0 {
			name = name[:paren]
		}
		frames = append(frames, where+" in "+name)
		if strings.HasPrefix(name, "panic") {
			frames = frames[:0] // what lies above is how the panic was caught
		}
	}
	return frames
}
