package drain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// why is what a stop report says of a stop that began here.
const why = "ebb drain"

// listening is a worker of ebb's with a control socket. Where that does not answer
// the worker is told by signal.
type listening struct {
	path  string
	id    store.Identity // "" until it has answered
	proc  *signalled     // nil: it is not seen in /proc
	looks int
}

func (l *listening) Name() string {
	if l.proc != nil {
		return fmt.Sprintf("ebb worker (pid %d)", l.proc.pid)
	}
	return fmt.Sprintf("ebb worker (%s)", l.path)
}

func (l *listening) State(ctx context.Context) (State, error) {
	if l.proc != nil {
		if s, err := l.proc.State(ctx); err != nil || s.Gone || s.Frozen {
			s.Blind = false
			return s, err
		}
	}
	s, err := l.ask(ctx, (*control.Client).Status)
	switch {
	case err == nil:
	case l.proc == nil && nobodyListens(err):
		return State{Gone: true}, nil
	default:
		return State{}, err
	}
	l.looks++
	return State{
		Quiet: s.State != lifecycle.Running.String(), Busy: len(s.Busy), Runs: s.Busy,
		Beat: strconv.Itoa(l.looks), Ends: s.Deadlines.JobsEnd,
	}, nil
}

func (l *listening) Quiet(ctx context.Context, kill time.Time) error {
	if l.proc != nil {
		if p, err := readProcess(l.proc.root, l.proc.pid); err == nil && p.frozen() {
			if err := l.proc.tell(sigContinue); err != nil {
				return err
			}
		}
	}
	_, err := l.ask(ctx, func(c *control.Client, ctx context.Context) (control.Status, error) {
		return c.Quiet(ctx, control.Notice{Kill: kill, Why: why})
	})
	if err == nil || l.proc == nil {
		return err
	}
	// A signal goes through where the socket does not, but carries no hour.
	if err := l.proc.Quiet(ctx, kill); err != nil {
		return err
	}
	return fmt.Errorf("told by signal alone: %w", err)
}

func (l *listening) Term(ctx context.Context, kill time.Time) error {
	_, err := l.ask(ctx, func(c *control.Client, ctx context.Context) (control.Status, error) {
		return c.Stop(ctx, control.Notice{Kill: kill, Why: why})
	})
	switch {
	case err == nil, l.proc == nil && nobodyListens(err):
		return nil
	case l.proc != nil:
		return l.proc.Term(ctx, kill)
	}
	return err
}

// ask puts one question to the worker that this is about, and to no other that may
// listen there since.
func (l *listening) ask(ctx context.Context, question func(*control.Client, context.Context) (control.Status, error)) (control.Status, error) {
	ctx, end := context.WithTimeout(ctx, patience/2) // what is left is for a signal
	defer end()
	c, err := control.Dial(ctx, l.path)
	if err != nil {
		return control.Status{}, err
	}
	defer c.Close()
	s, err := c.Status(ctx)
	if err != nil {
		return s, err
	}
	if l.id = cmp.Or(l.id, s.ID); s.ID != l.id {
		return s, fs.ErrNotExist
	}
	return question(c, ctx)
}

func nobodyListens(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// listening makes a worker of the socket at path, or says why there is none. One that
// does not answer is one nonetheless if it is seen in /proc.
func (s Search) listening(ctx context.Context, path string) (Worker, error) {
	ctx, end := context.WithTimeout(ctx, patience)
	defer end()
	c, err := control.Dial(ctx, path)
	if err != nil {
		return Worker{}, err
	}
	defer c.Close()
	l := &listening{path: path}
	w := Worker{Target: l, App: fmt.Sprintf("user %d", os.Getuid())}
	// Its own number may be that of another namespace; the kernel knows ours.
	if pid := peer(ctx, path); pid > 0 {
		if p, err := readProcess(s.Root, pid); err == nil {
			l.proc = newSignalled(s.Root, p, nil)
			w.PID, w.Key, w.App = pid, p.key(), p.app("")
		}
	}
	status, err := c.Status(ctx)
	if err != nil && l.proc == nil {
		return Worker{}, err
	}
	l.id = status.ID
	w.Key = cmp.Or(w.Key, string(status.ID))
	return w, nil
}
