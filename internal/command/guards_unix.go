//go:build unix

package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	// idleFor is how long a guard without work is kept for the next program.
	idleFor = 30 * time.Second
	// closing is how long Close waits for guards, and so for what KILL does not end.
	closing = 5 * time.Second
)

// Guards are the guards of one worker: as many as programs ran at once of late. They
// may be used by many goroutines at once.
type Guards struct {
	log     *slog.Logger
	idleFor time.Duration

	mu      sync.Mutex
	idle    []*guard // the one used last is the last
	all     map[*guard]bool
	shrink  *time.Timer // nil: none is idle
	closed  bool
	waiting sync.WaitGroup // for the ends of all
}

// NewGuards makes an empty set, which starts guards as they are needed. A nil log is
// slog.Default().
func NewGuards(log *slog.Logger) *Guards {
	if log == nil {
		log = slog.Default()
	}
	return &Guards{log: log, idleFor: idleFor, all: map[*guard]bool{}}
}

var errClosed = errors.New("the worker is ending")

// guard is a guard, seen from its worker.
type guard struct {
	pid   int
	conn  *net.UnixConn
	news  chan news // closed when the guard is gone
	since time.Time // idle
}

// take returns a guard that is free and has got this order.
func (g *Guards) take(first order) (*guard, error) {
	for {
		x, err := g.free()
		fresh := x == nil && err == nil
		if fresh {
			x, err = g.start()
		}
		if err != nil {
			return nil, fmt.Errorf("start a guard: %w", err)
		}
		if err = send(x.conn, first); err == nil {
			return x, nil
		}
		g.drop(x) // somebody has killed it
		if fresh {
			return nil, fmt.Errorf("reach a guard: %w", err)
		}
	}
}

// free returns an idle guard, nil if there is none.
func (g *Guards) free() (*guard, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, errClosed
	}
	last := len(g.idle) - 1
	if last < 0 {
		return nil, nil
	}
	x := g.idle[last]
	g.idle = g.idle[:last]
	return x, nil
}

// start makes another guard. That takes some milliseconds, in which others go on.
func (g *Guards) start() (*guard, error) {
	self, err := selfPath()
	if err != nil {
		return nil, err
	}
	conn, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := &exec.Cmd{
		Path: self, Args: []string{guardName}, ExtraFiles: []*os.File{theirs},
		Stderr: os.Stderr, // of which it makes no use unless it crashes
		// It has nothing to do in parallel.
		Env:         append(os.Environ(), "GOMAXPROCS=1"),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		conn.Close()
		return nil, errClosed
	}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	// Room for all that a run may be told, so that who reads never waits for who runs.
	x := &guard{pid: cmd.Process.Pid, conn: conn, news: make(chan news, 2)}
	g.all[x] = true
	g.waiting.Go(func() { x.listen() })
	g.waiting.Go(func() { _ = cmd.Wait() }) // how it ended says nothing that the socket does not
	return x, nil
}

// give takes a guard back that is free, and keeps it for a while.
func (g *Guards) give(x *guard) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	x.since = time.Now()
	g.idle = append(g.idle, x)
	if g.shrink == nil {
		g.shrink = time.AfterFunc(g.idleFor, g.dismiss)
	}
}

// drop lets go of a guard that is of no more use. It ends what it still has to, and
// then itself.
func (g *Guards) drop(x *guard) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x.conn.Close()
	delete(g.all, x)
}

// dismiss ends the guards that have been idle for long.
func (g *Guards) dismiss() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shrink = nil
	for len(g.idle) > 0 {
		x := g.idle[0]
		if rest := g.idleFor - time.Since(x.since); rest > 0 {
			if !g.closed {
				g.shrink = time.AfterFunc(rest, g.dismiss)
			}
			return
		}
		g.idle = g.idle[1:]
		x.conn.Close()
		delete(g.all, x)
	}
}

// Close ends all guards, and with them what they still run, and waits until they are
// gone: at most for five seconds, after which what is left ends without us. No
// program can be started any more. A second call only waits.
func (g *Guards) Close() {
	g.mu.Lock()
	g.closed = true
	if g.shrink != nil {
		g.shrink.Stop()
	}
	for x := range g.all {
		x.conn.Close()
	}
	g.all, g.idle = map[*guard]bool{}, nil
	g.mu.Unlock()

	gone := make(chan struct{})
	go func() { g.waiting.Wait(); close(gone) }()
	late := time.NewTimer(closing)
	defer late.Stop()
	select {
	case <-gone:
	case <-late.C:
		g.log.Error("guards of command handlers have not ended: what they run does not die of KILL")
	}
}

// socketpair makes a control socket: our end, and the one to be inherited. No other
// child may have either, or the guard would not notice our end.
func socketpair() (ours *net.UnixConn, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "control")
	if ours, err = toUnixConn(os.NewFile(uintptr(fds[0]), "control")); err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// listen passes on what the guard tells, until it is gone.
func (x *guard) listen() {
	defer close(x.news)
	for dec := json.NewDecoder(x.conn); ; {
		var n news
		if err := dec.Decode(&n); err != nil {
			return
		}
		x.news <- n
	}
}
