package drain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"syscall"
	"time"
)

// signalled is a worker that is told by signals, and looked at in /proc: it tells what
// it does by its title, as Sidekiq does, or by what the store has of it.
type signalled struct {
	root    fs.FS
	process        // as it was found
	fleet   *fleet // nil: no store was given
	send    func(syscall.Signal) error
	text    string    // its title, as last read
	since   time.Time // when that was first read
	changes int       // of the title, so far
}

func newSignalled(root fs.FS, p process, f *fleet) *signalled {
	return &signalled{root: root, process: p, fleet: f, send: func(s syscall.Signal) error { return send(root, p.pid, p.born, s) }}
}

// Name is told from the title, or where it has none from its program.
func (s *signalled) Name() string {
	if t, ok := parseTitle(s.title()); ok && t.ebb() {
		return fmt.Sprintf("ebb worker (pid %d)", s.pid)
	} else if ok {
		name := "sidekiq " + t.version
		if t.tag != "" {
			name += " " + t.tag
		}
		return fmt.Sprintf("%s (pid %d)", name, s.pid)
	}
	if isSidekiq(s.argv) {
		return fmt.Sprintf("sidekiq (pid %d)", s.pid)
	}
	return fmt.Sprintf("%s (pid %d)", s.name, s.pid)
}

func (s *signalled) State(ctx context.Context) (State, error) {
	p, err := readProcess(s.root, s.pid)
	if err != nil || p.born != s.born || p.ended() {
		return State{Gone: true}, nil
	}
	state := State{Frozen: p.frozen(), Blind: true}
	if t, ok := parseTitle(p.title()); ok {
		state.Blind, state.Quiet, state.Busy, state.Beat = false, t.quiet, t.busy, s.beat(t, p.title())
	}
	if known, ok := s.fleet.at(ctx, s.pid); ok {
		// A heartbeat writes the title and then the store. What is true of both is true of
		// the one whose time the store tells.
		quiet := known.State != "running"
		state.Quiet = quiet && (state.Blind || state.Quiet)
		state.Busy = max(state.Busy, len(known.Busy))
		state.Blind, state.Runs, state.Beat = false, known.Busy, known.Beat.String()
	}
	return state, nil
}

// beat tells the heartbeats of a title apart. One that does not change is a new one
// only after the time that lies between two.
func (s *signalled) beat(t title, text string) string {
	now := time.Now()
	if text != s.text {
		s.text, s.since = text, now
		s.changes++
	}
	return strconv.Itoa(s.changes) + "." + strconv.Itoa(int(now.Sub(s.since)/t.heartbeat()))
}

func (s *signalled) Quiet(_ context.Context, _ time.Time) error {
	p, err := readProcess(s.root, s.pid)
	if err != nil || p.born != s.born {
		return nil // State will say so
	}
	if p.frozen() {
		if err := s.tell(sigContinue); err != nil {
			return err
		}
	}
	quiet := sigQuiet
	if t, ok := parseTitle(p.title()); ok && t.major < 5 {
		quiet = sigOldQuiet
	}
	// Who does not handle the one is frozen by it, and who does not handle the other
	// dies of it.
	if !p.handles(quiet) {
		return ErrNotYet
	}
	return s.tell(quiet)
}

func (s *signalled) Term(context.Context, time.Time) error {
	if p, err := readProcess(s.root, s.pid); err == nil && p.frozen() {
		defer s.tell(sigContinue)
	}
	return s.tell(sigTerm)
}

// tell sends a signal. To one that has ended there is nothing to tell.
func (s *signalled) tell(sig syscall.Signal) error {
	if err := s.send(sig); !errors.Is(err, errGone) {
		return err
	}
	return nil
}
