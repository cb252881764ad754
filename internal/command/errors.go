package command

import (
	"fmt"
	"strings"
)

// ExitError is a program that says that it has failed.
type ExitError struct {
	Code   int
	Stderr string // the end of it
}

func (e *ExitError) Error() string { return with(fmt.Sprintf("exit status %d", e.Code), e.Stderr) }

// SignalError is a program that a signal has ended.
type SignalError struct {
	Signal string // as in SIGKILL
	Ours   bool   // sent by ebb
	Stderr string // the end of it
}

func (e *SignalError) Error() string {
	switch {
	case e.Ours:
		return with("ended by "+e.Signal, e.Stderr)
	case e.Signal == "SIGKILL":
		return with("killed by SIGKILL, which ebb has not sent (was memory short?)", e.Stderr)
	default:
		return with("killed by "+e.Signal+", which ebb has not sent", e.Stderr)
	}
}

// StartError is a program that has not been started.
type StartError struct{ Err error }

func (e *StartError) Error() string { return "program was not started: " + e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// GuardError is a program that was killed since its guard was.
type GuardError struct{}

func (*GuardError) Error() string {
	return "the guard of the program was killed, and the program with it"
}

// with says what happened, below the last line of standard error, which mostly says
// why: lists have room for the beginning only. If there is more, all of it follows.
func with(what, stderr string) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	switch {
	case last == "":
		return what
	case len(lines) == 1:
		return last + " (" + what + ")"
	}
	return last + " (" + what + ")\n" + stderr
}
