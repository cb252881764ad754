// Package verdict holds the errors by which a handler says what is to become of
// its job, where both the public package and the runner can see them.
package verdict

import (
	"errors"
	"fmt"
	"time"
)

// ErrYield gives the job back, unbilled.
var ErrYield = errors.New("ebb: yield")

// Snooze asks for another run in D, unbilled.
type Snooze struct{ D time.Duration }

func (s *Snooze) Error() string { return fmt.Sprintf("ebb: snooze %v", s.D) }

// Discard forgets the job.
type Discard struct{ Err error }

func (d *Discard) Error() string { return "ebb: discard: " + text(d.Err) }
func (d *Discard) Unwrap() error { return d.Err }

// Bury sends the job to the dead set.
type Bury struct{ Err error }

func (b *Bury) Error() string { return "ebb: bury: " + text(b.Err) }
func (b *Bury) Unwrap() error { return b.Err }

func text(err error) string {
	if err == nil {
		return "no reason given"
	}
	return err.Error()
}

// The causes for which a running job's context ends.
var (
	ErrDraining  = errors.New("ebb: process is draining")
	ErrTimeout   = errors.New("ebb: job ran past its timeout")
	ErrCanceled  = errors.New("ebb: job was canceled")
	ErrLeaseLost = errors.New("ebb: job was rescued by another process")
)
