package store

import (
	"errors"
	"fmt"
	"strings"
)

// What callers branch on, by the moment when it happens. Drivers wrap these.
var (
	// Opening.
	ErrUnreachable = errors.New("store unreachable")
	ErrReadOnly    = errors.New("store is read-only")
	ErrCorrupt     = errors.New("store is damaged or not one")
	ErrTooNew      = errors.New("store was made by a newer ebb")
	ErrReplaced    = errors.New("store was replaced or deleted while open")

	// Accepting.
	ErrFull = errors.New("store is full")

	// Holding.
	ErrNotHeld        = errors.New("job is no longer held")
	ErrLeaseLost      = errors.New("process holds no lease")
	ErrLeft           = errors.New("process has left")
	ErrStale          = errors.New("call is older than one already answered")
	ErrUnknownProcess = errors.New("no such process")

	// Any time.
	ErrClosed = errors.New("store is closed")
)

// NotHeldError names the tokens that a verdict found no longer held. It matches
// ErrNotHeld.
type NotHeldError struct{ Tokens []Token }

func (e *NotHeldError) Error() string {
	return fmt.Sprintf("%v: %d of the batch", ErrNotHeld, len(e.Tokens))
}

// Is reports whether target is ErrNotHeld.
func (e *NotHeldError) Is(target error) bool { return target == ErrNotHeld }

// NotHeld returns nil for no tokens, else a *NotHeldError.
func NotHeld(tokens []Token) error {
	if len(tokens) == 0 {
		return nil
	}
	return &NotHeldError{Tokens: tokens}
}

// hinted is an error that knows the one thing to try.
type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }

// WithHint adds to err the one thing to try, for the edge that shows it to a
// person.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hinted{err, fmt.Sprintf(format, args...)}
}

// Hint returns the one thing to try about err, or "".
func Hint(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return strings.TrimSpace(h.Hint())
	}
	return ""
}
