// Package crew starts processes of this very program as workers, and sees them end.
// Each is on a leash: its standard input, which ends with whoever started it,
// however that ends.
package crew

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Member is a process that was started.
type Member struct {
	cmd   *exec.Cmd
	leash io.Closer
	said  bytes.Buffer
	done  chan struct{}
	ended time.Time
}

// Start starts a process, which must end when its standard input does; see Leashed.
// It is not of our process group: a ^C reaches us alone, and we let it finish what
// it can. What it says on standard error is kept, unless cmd sends that elsewhere.
func Start(cmd *exec.Cmd) (*Member, error) {
	m := &Member{cmd: cmd, done: make(chan struct{})}
	if cmd.Stderr == nil {
		cmd.Stderr = &m.said
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	leash, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("crew: %w", err)
	}
	m.leash = leash
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("crew: start %s: %w", cmd.Path, err)
	}
	go func() {
		cmd.Wait()
		m.ended = time.Now()
		close(m.done)
	}()
	return m, nil
}

// PID is its number, for people and for files; it may be another's once it is done.
func (m *Member) PID() int { return m.cmd.Process.Pid }

// Signal sends a signal through its handle, never to whoever has its number by now.
// One that has ended is no error.
func (m *Member) Signal(s os.Signal) error {
	if err := m.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("crew: signal %v to %d: %w", s, m.PID(), err)
	}
	return nil
}

// Dismiss ends the leash, and with it the process, by and by. A second call does
// nothing.
func (m *Member) Dismiss() { m.leash.Close() }

// Done is closed when the process has ended. How, when and what it said before may
// be asked then.
func (m *Member) Done() <-chan struct{} { return m.done }

// Ended is when it did.
func (m *Member) Ended() time.Time { return m.ended }

// How it ended: its exit code, -1 if a signal ended it, and the same in words, as
// "signal: killed".
func (m *Member) How() (exit int, words string) {
	return m.cmd.ProcessState.ExitCode(), m.cmd.ProcessState.String()
}

// Said is what it wrote on standard error.
func (m *Member) Said() string { return m.said.String() }

// Leashed is a context for a process that Start started: it ends when told does.
func Leashed(ctx context.Context, told io.Reader) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, told)
		end()
	}()
	return ctx, end
}
