//go:build unix

package command

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ebbjobs/ebb"
)

// exitAgain asks for another try later, as EX_TEMPFAIL does among mailers.
const exitAgain = 75

// bySignal is what shells add to a signal's number in the exit code of a program
// that died of it.
const bySignal = 128

// ending is all that decides about a run that is over.
type ending struct {
	status   syscall.WaitStatus
	cause    error          // why its context has ended; nil: it has not
	notice   syscall.Signal // that it was sent; 0: none
	stopping bool           // the worker is
	snooze   time.Duration
	stderr   string // the end of it
}

// signal is what the program died of, or says that it ended because of; 0: neither.
func (e ending) signal() syscall.Signal {
	switch {
	case e.status.Signaled():
		return e.status.Signal()
	case e.status.ExitStatus() > bySignal:
		return syscall.Signal(e.status.ExitStatus() - bySignal)
	}
	return 0
}

// asked reports whether somebody has asked the program to end.
func (e ending) asked() bool { return e.signal() == syscall.SIGTERM || e.signal() == syscall.SIGINT }

// interrupted reports whether the program ended because it was to: by a signal of
// ours, or by the one that the platform has sent to all.
func (e ending) interrupted() bool {
	s := e.signal()
	switch {
	case s == 0:
		return false
	case e.cause != nil && (s == syscall.SIGTERM || s == syscall.SIGKILL):
		return true
	case e.notice != 0 && (s == e.notice || s == syscall.SIGTERM):
		return true
	}
	return e.stopping && e.asked()
}

// verdict is the error that a handler in Go would return.
func (e ending) verdict() error {
	interrupted := e.interrupted()
	switch code := e.status.ExitStatus(); {
	case code == 0:
		return nil
	case code == exitAgain && errors.Is(e.cause, ebb.ErrCanceled):
		return e.cause
	case code == exitAgain && (e.stopping || errors.Is(e.cause, ebb.ErrDraining)):
		return ebb.ErrYield
	case code == exitAgain:
		return ebb.Snooze(e.snooze)
	case interrupted && e.cause == nil:
		return ebb.ErrYield
	case interrupted && !errors.Is(e.cause, ebb.ErrTimeout): // whose failure says how it ended
		return e.cause
	case e.status.Signaled():
		return &SignalError{Signal: unix.SignalName(e.status.Signal()), Ours: interrupted, Stderr: e.stderr}
	default:
		return &ExitError{Code: code, Stderr: e.stderr}
	}
}
