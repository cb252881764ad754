package drain

import (
	"context"
	"errors"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Target is a process that runs jobs. Its methods are called by one goroutine, and
// each may be called again at any time.
type Target interface {
	// Name says which one it is, for people.
	Name() string
	// State looks at it. An error means that nothing was seen this time.
	State(context.Context) (State, error)
	// Quiet lets it fetch nothing new, and continues it if it is frozen. It is told
	// the hour of the KILL where it can be told one; zero: not known. ErrPermission
	// means that trying again is of no use.
	Quiet(ctx context.Context, kill time.Time) error
	// Term lets it hand over and end.
	Term(ctx context.Context, kill time.Time) error
}

// State is what a target was seen to be.
type State struct {
	Gone   bool
	Blind  bool // it does not say what it does: the rest is unknown
	Frozen bool // stopped by a signal, so that it hears no other
	Quiet  bool
	Busy   int         // jobs that run
	Runs   []store.Run // those of them that are known by name
	// Beat tells readings apart: two with the same Beat may be one and the same look of
	// the target at itself.
	Beat string
	// Ends is when the target itself ends the contexts of its jobs. Zero: not known.
	Ends time.Time
}

// Worker is a target with what matters about it while it is drained.
type Worker struct {
	Target
	// PID is its number where this process can see it, else 0.
	PID int
	// Key is one word for this boot of it, the same for everybody who drains it.
	Key string
	// App tells the workers of one application from those of another.
	App string
	// Needs is what it takes from TERM on to give its jobs back. TERM comes so long
	// before the KILL. Zero: it has been told the hour of the KILL, and sees to that.
	Needs time.Duration
}

// What a target may answer.
var (
	ErrPermission = errors.New("drain: not allowed to signal")
	// ErrNotYet says that it does not handle the signal, which would do it harm.
	ErrNotYet = errors.New("drain: the signal is not handled")
)
