//go:build unix

package command

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// guardName is what a guard is called in lists of processes, and how a program's
// main knows that it is to be one.
const guardName = "ebb-guard"

const (
	// settle is what processes that outlive their program have to end by themselves.
	// Those at the end of a pipe need a moment.
	settle = 100 * time.Millisecond
	// linger is what they have after TERM.
	linger = time.Second
	// stubborn is how long after KILL there is still hope. What the kernel itself
	// keeps, as in a read from a server that is gone, does not die of it.
	stubborn = 5 * time.Second
)

// IsGuard reports whether this process is to be a guard. A main that runs programs
// as handlers asks before anything else.
func IsGuard(args []string) bool { return len(args) == 1 && args[0] == guardName }

// GuardMain is a guard's main. It does not return.
func GuardMain() {
	// The program is killed when the thread that started it ends, so that it does not
	// outlive a guard that is killed. This thread is the guard's to its end.
	runtime.LockOSThread()
	// What is sent to the worker and all about it is not for us. To ignore the signals
	// instead would let the programs ignore them as well.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGPIPE)

	conn, err := toUnixConn(os.NewFile(3, "control"))
	if err != nil {
		fmt.Fprintln(os.Stderr, guardName+": is started by ebb, not by hand:", err)
		os.Exit(64)
	}
	w := &warden{
		conn: conn, orders: make(chan order), adopts: seclude(),
		children: make(chan os.Signal, 1), // a level, not a count
	}
	signal.Notify(w.children, syscall.SIGCHLD)
	go w.listen()
	scratch := ""
	for o := range w.orders {
		if o.Scratch != nil {
			scratch = string(o.Scratch)
		}
		if o.Run != nil {
			w.run(o)
		}
	}
	if scratch != "" {
		_ = os.RemoveAll(scratch) // the worker has done so, unless it was killed
	}
	os.Exit(0)
}

// toUnixConn takes over one end of a pair of sockets.
func toUnixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("%T is no unix socket", conn)
	}
	return unix, nil
}

// warden is a guard, seen from within.
type warden struct {
	conn     *net.UnixConn
	orders   chan order     // closed when the worker is gone
	children chan os.Signal // one of ours has ended
	adopts   bool           // what a program leaves becomes our child, however it tried to get away
}

// listen passes on what the worker says, until it is gone.
func (w *warden) listen() {
	defer close(w.orders)
	r := &receiver{conn: w.conn}
	for dec := json.NewDecoder(r); ; {
		var o order
		if err := dec.Decode(&o); err != nil {
			return
		}
		if o.Run != nil { // files never come without one
			o.files = r.take()
		}
		w.orders <- o
	}
}

// tell tells the worker. One that is gone is noticed elsewhere.
func (w *warden) tell(n news) { _ = send(w.conn, n) }

// run runs a program, and returns when nothing of it is left.
func (w *warden) run(o order) {
	standard, lease := o.files[:min(3, len(o.files))], o.files[min(3, len(o.files)):]
	// Not before nothing runs any more that it protects.
	defer closeAll(lease)
	pid, err := start(o.Run, standard)
	closeAll(standard) // or what the program prints would not end when it does
	if err != nil {
		errno, ok := err.(syscall.Errno)
		if !ok {
			errno = syscall.EIO
		}
		w.tell(news{Failed: errno})
		return
	}
	w.tell(news{Started: pid})

	c := &charge{warden: w, pid: pid}
	c.wait(nil, func() bool { return c.ended || c.hurry })
	c.wait(time.After(settle), c.gone)
	left := 0
	if !c.hurry && !c.gone() {
		left = c.signal(syscall.SIGTERM)
		c.wait(time.After(linger), c.gone)
	}
	stuck := c.kill(stubborn)
	w.tell(news{Exit: &exit{Status: c.status, Left: left, Stuck: stuck}})
	if stuck > 0 {
		// The worker lets go of a guard that is not free. The lease stays locked until
		// there is really nothing left.
		c.wait(nil, func() bool { return c.alone })
		c.kill(0)
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// start starts a program in a process group of its own. It is given nothing but the
// three standard files: all others are closed when a program is executed.
func start(p *program, files []*os.File) (pid int, err error) {
	attr := &syscall.ProcAttr{Dir: string(p.Dir), Env: toStrings(p.Env), Sys: ownGroup()}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	return syscall.ForkExec(string(p.Path), toStrings(p.Argv), attr)
}

// charge is a program in a warden's care, with all that it has started.
type charge struct {
	*warden
	pid    int // of its first process, and of its group
	ended  bool
	status syscall.WaitStatus
	hurry  bool // all of it is to end at once
	alone  bool // since there is no worker any more
}

// wait follows what happens until it is enough, late comes, or everything is to end
// at once. If late is nil, only enough counts.
func (c *charge) wait(late <-chan time.Time, enough func() bool) {
	orders := c.orders
	for c.reap(); !enough() && (late == nil || !c.hurry); c.reap() {
		select {
		case o, ok := <-orders:
			if !ok {
				orders, c.alone, c.hurry = nil, true, true
			} else {
				c.pass(o)
			}
		case <-c.children:
		case <-late:
			return
		}
	}
}

// pass passes a signal on. Until the program's first process is reaped its number
// is nobody else's.
func (c *charge) pass(o order) {
	switch {
	case o.Signal == syscall.SIGKILL:
		c.hurry = true
	case c.ended: // too late
	case o.Group:
		_ = syscall.Kill(-c.pid, o.Signal)
	default:
		_ = syscall.Kill(c.pid, o.Signal)
	}
}

// reap takes note of all children that have ended, and reports whether there is
// none left.
func (c *charge) reap() (none bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil: // ECHILD
			return true
		case pid == 0:
			return false
		case pid == c.pid:
			c.ended, c.status = true, status
		}
	}
}

// gone reports whether nothing is left of the program. Whoever adopts orphans has no
// descendants once it has no children; else there is the group to ask.
func (c *charge) gone() bool {
	if none := c.reap(); !none {
		return false
	}
	return c.adopts || syscall.Kill(-c.pid, 0) == syscall.ESRCH
}

// signal sends s to all that is left of the program, and returns to how many
// processes at least.
func (c *charge) signal(s syscall.Signal) int {
	sent := signalDescendants(s)
	if !c.ended || sent == 0 { // none found: perhaps there is no proc to look into
		if syscall.Kill(-c.pid, s) == nil {
			sent = max(sent, 1)
		}
	}
	return sent
}

// kill ends all that is left. It returns how much is left all the same after limit;
// without one, and while the program's own first process lives, it goes on for as
// long as that takes.
func (c *charge) kill(limit time.Duration) (stuck int) {
	began := time.Now()
	for pause := time.Millisecond; !c.gone(); pause = min(2*pause, 100*time.Millisecond) {
		left := c.signal(syscall.SIGKILL)
		if limit > 0 && c.ended && !c.alone && time.Since(began) > limit {
			return max(left, 1)
		}
		select {
		case <-c.children:
		case <-time.After(pause):
		}
	}
	return 0
}
