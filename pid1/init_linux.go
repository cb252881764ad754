package pid1

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ebbjobs/ebb/stopseq"
)

// Main is the whole program behind its name. It returns the exit code: the child's,
// 128 and the signal it died of, 127 if there is no such command, 126 if it cannot
// be run, 1 for a mistake in args. It is called once, as the first thing that a
// process does.
func Main(args, environ []string) (exit int) {
	heard, ended := listen()
	// By default there is a thread for each core to collect what little is thrown away
	// here, and that only when it has come to 4 MB.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(20)   // by default the heap would grow to 4 MB before it is looked at
	defer signal.Stop(heard) // in a test the process goes on
	t := newTeller(warnings)
	defer func() {
		if bug := recover(); bug != nil {
			t.say(0, "this is a bug: %v\n%s", bug, debug.Stack())
			exit = 1
		}
	}()
	o, err := parse(args, environ)
	switch {
	case err != nil:
		return refuse(t, err)
	case o.show != "":
		os.Stdout.WriteString(page(o.show))
		return 0
	}
	t.verbosity = o.verbosity
	// Signal masks and the signal of a parent's death are a thread's.
	runtime.LockOSThread()
	cleanSignals()
	self := os.Getpid()
	if self != 1 {
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // kernels have it since 3.4
	}
	if o.parentDeath != 0 {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(o.parentDeath), 0, 0, 0); err != nil {
			t.say(warnings, "cannot ask for a signal at the parent's death: %v", err)
		}
	}
	for _, w := range o.sequence.Lint(stopseq.Facts{Grace: o.grace}) {
		t.say(warnings, "--stop: %s; better: %s", w.Happens, w.Fix)
	}
	i := &supervisor{
		options: o, teller: t, environ: environ, self: self, proc: newProc(), memory: memoryEvents(os.DirFS("/")),
		heard: heard, ended: ended, asked: make(chan request), terminal: terminal(),
	}
	i.blind = !i.proc.sees(self)
	return i.run()
}

// refuse tells of a mistake in the flags and what to try.
func refuse(t *teller, err error) int {
	t.say(0, "%s", strings.TrimPrefix(err.Error(), "stopseq: "))
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		t.say(0, "hint: %s", h.Hint())
	}
	return 1
}

// supervisor is the state of the one goroutine, in which all its methods run unless
// they say otherwise.
type supervisor struct {
	options
	*teller
	environ  []string
	self     int
	proc     *proc
	blind    bool // proc is not there, or another namespace's: signals go to the group
	memory   memory
	heard    chan os.Signal
	ended    chan os.Signal
	asked    chan request // by the goroutine of the stop sequence
	terminal bool         // ours to hand to the child

	child  child
	told   map[incarnation]bool // who has been sent TERM
	stop   time.Time            // when it began; zero: there is none
	alone  bool                 // no process is left that we would have to wait for
	gone   chan struct{}        // closed when a child and all that descends from it have ended
	errand errand               // of the undertaker
}

// child is one start of the command.
type child struct {
	pid    int // 0: it has ended
	group  int // which outlives it
	boot   string
	began  time.Time
	ended  time.Time
	status syscall.WaitStatus
	ooms   int // that the cgroup had seen before
}

// code is what the child's end makes our exit code, before --success.
func (c child) code() int {
	if c.status.Signaled() {
		return 128 + int(c.status.Signal())
	}
	return c.status.ExitStatus()
}

// run starts the child, waits for its end and that of all it leaves behind, and
// returns the exit code.
func (i *supervisor) run() int {
	for delay := pause(0); ; delay = pause(delay) {
		if err := i.start(); err != nil {
			i.say(0, "%s: %v", i.command[0], err)
			return exitOf(err)
		}
		i.until(func() bool { return i.child.pid == 0 }, never)
		i.reclaimTerminal()
		i.clear()
		code := i.child.code()
		if i.success[code] {
			code = 0
		}
		if code != 0 {
			i.undertake()
		}
		if code == 0 || !i.restart || !i.stop.IsZero() {
			return code
		}
		ran := i.child.ended.Sub(i.child.began)
		if ran > longRun {
			delay = pause(0)
		}
		i.say(warnings, "%s %s after %v; it is started again in %v", i.command[0], i.child.how(), ran.Round(time.Millisecond), delay)
		again := time.Now().Add(delay)
		i.until(func() bool { return !i.stop.IsZero() }, func() time.Time { return again })
		if !i.stop.IsZero() {
			return code
		}
	}
}

// A child that crashes at once is started again more and more slowly.
const (
	firstPause   = time.Second
	longestPause = time.Minute
	longRun      = time.Minute // after which a crash counts as the first
)

func pause(last time.Duration) time.Duration {
	return min(max(firstPause, 2*last), longestPause)
}

// start starts the child under a new boot name.
func (i *supervisor) start() error {
	boot := newBoot()
	ooms := i.memory.kills()
	pid, err := spawn(i.command, with(i.environ, "EBB_BOOT", boot), nil)
	if err != nil {
		return err
	}
	if i.terminal {
		handTerminal(pid)
	}
	i.child = child{pid: pid, group: pid, boot: boot, began: time.Now(), ooms: ooms}
	i.told, i.alone, i.gone = map[incarnation]bool{}, false, make(chan struct{})
	i.say(news, "%s is process %d", i.command[0], pid)
	return nil
}

func (i *supervisor) reclaimTerminal() {
	if i.terminal {
		handTerminal(unix.Getpgrp())
	}
}

func never() time.Time { return time.Time{} }

// until handles what happens until done, or until an hour that may change with each
// event; a zero one never comes.
func (i *supervisor) until(done func() bool, hour func() time.Time) {
	tick := time.NewTicker(time.Second) // CHLD may be merged with another, or lost
	defer tick.Stop()
	for i.reap(); !done(); i.reap() {
		var over <-chan time.Time
		if h := hour(); !h.IsZero() {
			left := time.Until(h)
			if left <= 0 {
				return
			}
			over = time.After(left)
		}
		i.safely(func() {
			select {
			case s := <-i.heard:
				i.hear(s.(syscall.Signal))
			case r := <-i.asked:
				r.answer <- i.deliver(r.signal, true)
			case <-i.ended:
			case <-tick.C:
			case <-over:
			}
		})
	}
}

// safely keeps a mistake of ours from ending all processes of a container.
func (i *supervisor) safely(f func()) {
	defer func() {
		if bug := recover(); bug != nil {
			i.say(0, "this is a bug: %v\n%s", bug, debug.Stack())
		}
	}()
	f()
}

// reap takes in all that have ended. It is the only one that waits for processes.
func (i *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil: // ECHILD
			i.alone = true
			if i.child.pid == 0 && i.gone != nil {
				close(i.gone)
				i.gone = nil
			}
			return
		case pid == 0:
			return
		case status.Stopped():
			// It asked for the terminal before that was its own.
			if s := status.StopSignal(); i.terminal && pid == i.child.pid && (s == syscall.SIGTTIN || s == syscall.SIGTTOU) {
				_ = syscall.Kill(-pid, syscall.SIGCONT)
			}
		case pid == i.child.pid:
			i.child.pid, i.child.status, i.child.ended = 0, status, time.Now()
			i.say(news, "%s %s", i.command[0], i.child.how())
		case pid == i.errand.pid:
			i.errand.pid, i.errand.status = 0, status
		case i.warnReaped:
			i.say(warnings, "reaped process %d", pid)
		}
	}
}

// hear is told of a signal that this process got.
func (i *supervisor) hear(s syscall.Signal) {
	if s == syscall.SIGPIPE && i.own() {
		return
	}
	if s == i.on && i.stop.IsZero() {
		i.stop = time.Now()
		if len(i.sequence) > 0 && !i.alone && i.child.pid != 0 {
			i.say(signals, "%s: the stop sequence begins", stopseq.SignalName(s))
			go i.follow(i.child.pid, i.gone)
		}
	}
	if s == i.on && len(i.sequence) > 0 {
		return // it has begun, and is neither begun again nor cut short
	}
	as, changed := i.rewrite[s]
	if !changed {
		as = s
	}
	if as == 0 || deaf[s] && !changed {
		return
	}
	if err := i.deliver(as, false); err != nil && !errors.Is(err, os.ErrProcessDone) {
		i.say(warnings, "%s cannot be passed on: %v", stopseq.SignalName(as), err)
	}
}

// deliver sends a signal to those it is for. In a stop sequence TSTP asks to go quiet:
// it would freeze those who do not handle it, and they are passed over.
func (i *supervisor) deliver(s syscall.Signal, inSequence bool) error {
	i.say(signals, "sends %s", stopseq.SignalName(s))
	pid := i.child.pid
	switch {
	case i.alone:
		return os.ErrProcessDone
	case pid != 0 && i.reach == toChild:
		return syscall.Kill(pid, s)
	case pid != 0 && (i.reach == toGroup || i.blind):
		return syscall.Kill(-pid, s)
	}
	roots, children := i.roots()
	var errs error
	for _, p := range i.proc.concerned(roots, children, s) {
		if inSequence && s == syscall.SIGTSTP && !i.proc.cares(p.pid, s) {
			continue
		}
		if s == syscall.SIGTERM {
			i.told[p.incarnation] = true
		}
		errs = errors.Join(errs, i.send(p, s))
	}
	return errs
}

// send signals one process; that it has ended is no error. One that is stopped is
// woken to hear a TERM, as systemd does.
func (i *supervisor) send(p process, s syscall.Signal) error {
	err := i.proc.send(p, s)
	if err == nil && s == syscall.SIGTERM && p.stopped {
		err = i.proc.send(p, syscall.SIGCONT)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process %d: %w", p.pid, err)
	}
	return nil
}

// roots are the child, or once it has ended all those that it left to us, and what
// descends from them.
func (i *supervisor) roots() (roots []process, children map[int][]process) {
	children = i.proc.children()
	for _, p := range children[i.self] {
		if i.child.pid == 0 || p.pid == i.child.pid {
			roots = append(roots, p)
		}
	}
	return roots, children
}
