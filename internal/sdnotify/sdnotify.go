// Package sdnotify tells systemd how a process does, by the datagrams of sd_notify(3):
// that it is ready, what it does, that it stops and still needs time, and that it is
// alive. It does nothing where nobody listens.
package sdnotify

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/lifecycle"
)

const (
	// often is how soon a change is told.
	often = time.Second
	// extension is how much time a process that stops asks for at once. It must tell
	// again within it, so that one that hangs is not waited for any longer.
	extension = 30 * time.Second
	// patience is with a socket whose reader does not read.
	patience = time.Second
)

// Process is what is told of. Its methods may be called from the beginning on.
type Process interface {
	// Status tells how things are now.
	Status() control.Status
	// Notice returns once the event loop has heard an event; an error says that the
	// process has ended.
	Notice(lifecycle.Event) error
	// Started is closed when the process is registered with its store.
	Started() <-chan struct{}
}

// Notifier speaks with one service manager.
type Notifier struct {
	to       io.Writer     // each write is a datagram
	watchdog time.Duration // 0: nobody watches
	log      *slog.Logger
	failing  bool // the last datagram was not sent
}

// New makes a notifier for process pid from what systemd has put into the
// environment. It returns nil where that is nothing.
func New(getenv func(string) string, pid int, log *slog.Logger) (*Notifier, error) {
	name := getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil
	}
	if name[0] != '/' && name[0] != '@' {
		return nil, fmt.Errorf("sdnotify: NOTIFY_SOCKET %q is neither a path nor an abstract name", name)
	}
	n := &Notifier{to: socket(name), log: log}
	// Children inherit the variables, so they count only for the process they name.
	if of := getenv("WATCHDOG_PID"); of == "" || of == strconv.Itoa(pid) {
		usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
		if err == nil && usec > 0 {
			n.watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return n, nil
}

// Run tells of p until ctx ends, which is when p has ended. A message that is not
// sent is logged, once until one is sent again.
func (n *Notifier) Run(ctx context.Context, p Process) {
	tick := time.NewTicker(often)
	defer tick.Stop()
	var heartbeat <-chan time.Time
	if n.watchdog > 0 {
		t := time.NewTicker(n.watchdog / 2)
		defer t.Stop()
		heartbeat = t.C
	}
	var told telling
	started := p.Started()
	for {
		select {
		case <-started:
			started = nil
			n.send(append([]string{"READY=1"}, told.news(p)...)...)
		case <-tick.C:
			n.send(told.news(p)...)
		case <-heartbeat:
			if alive(p) {
				n.send("WATCHDOG=1")
			}
		case <-ctx.Done():
			if !told.stopping {
				n.send("STOPPING=1")
			}
			return
		}
	}
}

// alive waits until the event loop of p hears something, for as long as that takes:
// of a process that hangs nothing is told any more, so that its time runs out.
func alive(p Process) bool { return p.Notice(lifecycle.Event{Kind: lifecycle.Tick}) == nil }

// telling is what systemd was told.
type telling struct {
	stopping bool
	status   string
	extended time.Time
}

// news is what there is to tell of p now.
func (t *telling) news(p Process) (news []string) {
	if !alive(p) {
		return nil // it has ended, or is about to
	}
	s := p.Status()
	if !t.stopping && (s.State == lifecycle.Draining.String() || s.State == lifecycle.Stopped.String()) {
		t.stopping = true
		news = append(news, "STOPPING=1")
	}
	if status := describe(s); status != t.status {
		t.status = status
		news = append(news, "STATUS="+status)
	}
	now := time.Now()
	// Never past the hour of the kill, by which this process wants to be gone.
	left := min(extension, s.Deadlines.Kill.Sub(now))
	if !s.Deadlines.IsZero() && left > 0 && now.Sub(t.extended) >= extension/3 {
		t.extended = now
		news = append(news, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", left.Microseconds()))
	}
	return news
}

func describe(s control.Status) string {
	if len(s.Busy) == 1 {
		return s.State + ", 1 job runs"
	}
	return fmt.Sprintf("%s, %d jobs run", s.State, len(s.Busy))
}

// send sends messages as one datagram.
func (n *Notifier) send(messages ...string) {
	if len(messages) == 0 {
		return
	}
	_, err := io.WriteString(n.to, strings.Join(messages, "\n"))
	switch {
	case err != nil && !n.failing:
		n.log.Warn("systemd is not told how this process does", "cause", err)
	case err == nil && n.failing:
		n.log.Info("systemd is told again how this process does")
	}
	n.failing = err != nil
}

// socket is the name of a datagram socket. It is looked up for each message, since
// whoever listens may have been started anew.
type socket string

func (s socket) Write(message []byte) (int, error) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: string(s), Net: "unixgram"})
	if err != nil {
		return 0, fmt.Errorf("sdnotify: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, fmt.Errorf("sdnotify: %w", err)
	}
	return conn.Write(message)
}
