package drain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Inspector is what the store is asked.
type Inspector interface {
	Processes(context.Context) ([]store.Process, error)
	Command(context.Context, store.Identity, store.Command) error
}

// memory is how long an answer of the store counts, and life how old a heartbeat may
// be of a process that is taken to live.
const (
	memory = time.Second
	life   = 30 * time.Second
)

// fleet is what the store has of the processes on this host. It may be nil, and is
// used by all targets at once.
type fleet struct {
	inspector Inspector
	host      string

	mu    sync.Mutex
	asked time.Time
	all   []store.Process
	err   error
}

// list returns the processes of this host that are not known to be gone.
func (f *fleet) list(ctx context.Context) ([]store.Process, error) {
	if f == nil {
		return nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.asked.IsZero() && time.Since(f.asked) < memory {
		return f.all, f.err
	}
	found, err := f.inspector.Processes(ctx)
	f.asked, f.all, f.err = time.Now(), nil, err
	for _, p := range found {
		// One that was killed stays in the list of Ruby's processes, and containers give
		// the same number to everyone.
		if p.Host == f.host && !p.Lapsed && time.Since(p.Beat) < life {
			f.all = append(f.all, p)
		}
	}
	return f.all, err
}

// at finds the process with that number on this host, if there is just one: all
// containers have a process 1.
func (f *fleet) at(ctx context.Context, pid int) (found store.Process, ok bool) {
	all, err := f.list(ctx)
	if err != nil {
		return found, false
	}
	for _, p := range all {
		if p.PID == pid {
			if ok {
				return store.Process{}, false
			}
			found, ok = p, true
		}
	}
	return found, ok
}

// recorded is a worker that only the store knows of: it is told and answers with its
// heartbeats.
type recorded struct {
	id    store.Identity
	tag   string
	lang  string
	fleet *fleet
}

func (r *recorded) Name() string {
	name := r.lang + " worker"
	if r.tag != "" {
		name += " " + r.tag
	}
	return fmt.Sprintf("%s (%s:%d, by the store)", name, r.id.Host(), r.id.PID())
}

func (r *recorded) State(ctx context.Context) (State, error) {
	all, err := r.fleet.list(ctx)
	if err != nil {
		return State{}, err
	}
	for _, p := range all {
		if p.ID == r.id {
			return State{
				Quiet: p.State != "running", Busy: len(p.Busy), Runs: p.Busy, Beat: p.Beat.String(),
			}, nil
		}
	}
	return State{Gone: true}, nil
}

func (r *recorded) Quiet(ctx context.Context, _ time.Time) error { return r.tell(ctx, store.Quiet) }

func (r *recorded) Term(ctx context.Context, _ time.Time) error { return r.tell(ctx, store.Stop) }

func (r *recorded) tell(ctx context.Context, v store.Verb) error {
	err := r.fleet.inspector.Command(ctx, r.id, store.Command{Verb: v})
	if errors.Is(err, store.ErrUnknownProcess) {
		return nil // State will say so
	}
	return err
}
