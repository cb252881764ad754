package pid1

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/ebbjobs/ebb/stopseq"
)

// follow runs the stop sequence, in a goroutine of its own.
func (i *supervisor) follow(pid int, gone <-chan struct{}) {
	defer func() {
		if bug := recover(); bug != nil {
			i.say(0, "this is a bug: %v\n%s", bug, debug.Stack())
			i.ask(gone, syscall.SIGTERM) // whatever was planned, this much was meant
		}
	}()
	workers := &workers{proc: newProc(), self: i.self, pid: pid, dirs: socketDirs(i.environ)}
	first := true
	err := i.sequence.Run(context.Background(), i.grace, stopseq.Target{
		Signal: func(s syscall.Signal) error {
			if first {
				first = false
				workers.announce(s, killHour(i.sequence, i.grace))
			}
			return i.ask(gone, s)
		},
		Idle: workers.idle,
		Gone: gone,
	}, func(h stopseq.Hour) { i.say(warnings, "stop: %s", hourText(h)) })
	if err != nil {
		i.say(warnings, "stop: %v", err)
	}
}

// request is a signal to be sent by the one goroutine that may.
type request struct {
	signal syscall.Signal
	answer chan error
}

// ask has a signal sent, from another goroutine.
func (i *supervisor) ask(gone <-chan struct{}, s syscall.Signal) error {
	r := request{s, make(chan error, 1)}
	select {
	case i.asked <- r:
		return <-r.answer
	case <-gone:
		return os.ErrProcessDone
	}
}

// killHour is when the child is killed at the latest, counted from the beginning of
// the stop: by the sequence or, with a grace, by the platform. Zero: nobody knows.
func killHour(q stopseq.Sequence, grace time.Duration) time.Duration {
	for _, h := range q.Plan(grace) {
		if h.Step.Kind == stopseq.Signal && h.Step.Signal == syscall.SIGKILL && (grace == 0 || h.From < grace) {
			return h.From
		}
	}
	return grace
}

func hourText(h stopseq.Hour) string {
	if h.To == h.From {
		return h.Step.String()
	}
	return fmt.Sprintf("%s, until %s at the latest", h.Step, time.Now().Add(h.To-h.From).Format(time.TimeOnly))
}

// clear waits, once the child has ended, until all that it left behind have too. They
// get TERM first, unless they had it, and KILL if they take too long.
func (i *supervisor) clear() {
	i.until(func() bool { i.dismiss(); return i.alone }, i.patience)
	if i.alone {
		return
	}
	i.say(warnings, "%s: what it left behind is killed after %v", i.command[0], time.Since(i.child.ended).Round(time.Millisecond))
	dead := time.Now().Add(time.Second) // those in the kernel's hands, waiting for a disk, may not die
	i.until(func() bool { i.kill(); return i.alone }, func() time.Time { return dead })
}

// patience is the hour at which waiting for what the child left behind ends. In a stop
// of unknown grace there is none: the platform will tell.
func (i *supervisor) patience() time.Time {
	switch {
	case i.stop.IsZero():
		return i.child.ended.Add(i.linger)
	case i.grace == 0:
		return time.Time{}
	case i.child.code() != 0 && i.keepsJobs():
		return i.stop.Add(i.grace - min(lastWords, i.grace/2))
	}
	return i.stop.Add(i.grace)
}

// lastWords is what the undertaker is left of the grace.
const lastWords = 2 * time.Second

// dismiss sends TERM to what the child left behind, to each process once: many end
// the hard way when they get a second one. Who does not care for TERM dies of it: if
// that one is still there it was about to become another program, and has lost it.
func (i *supervisor) dismiss() {
	if i.alone {
		return
	}
	if i.blind {
		if group := (incarnation{pid: -i.child.group}); !i.told[group] {
			i.told[group] = true
			_ = syscall.Kill(-i.child.group, syscall.SIGTERM)
		}
		return
	}
	roots, children := i.roots()
	for _, p := range i.proc.concerned(roots, children, syscall.SIGTERM) {
		if i.told[p.incarnation] && i.proc.cares(p.pid, syscall.SIGTERM) {
			continue
		}
		i.told[p.incarnation] = true
		if err := i.send(p, syscall.SIGTERM); err != nil {
			i.say(warnings, "TERM cannot be sent: %v", err)
		}
	}
}

// kill ends all that the child left behind.
func (i *supervisor) kill() {
	if i.blind {
		_ = syscall.Kill(-i.child.group, syscall.SIGKILL)
		return
	}
	for _, p := range below(i.roots()) {
		_ = i.proc.send(p, syscall.SIGKILL)
	}
}
