//go:build unix

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/wire"
)

const (
	// lookEvery is how often the checkpoint is looked at.
	lookEvery = 250 * time.Millisecond
	// patience is what a program has between TERM and KILL when no stop is near, and
	// rescued what it has when another process may be about to run its job.
	patience = 5 * time.Second
	rescued  = time.Second
	// rumour is how much later than its programs a worker may hear of a stop: some
	// platforms send TERM to every process there is.
	rumour = time.Second
)

// fits says what of s cannot be on this system.
func (s Spec) fits() error {
	switch n, ok := s.Notice.(syscall.Signal); {
	case s.Notice == nil:
		return nil
	case !ok:
		return fmt.Errorf("notice %v is no signal of this system", s.Notice)
	case n == syscall.SIGKILL || n == syscall.SIGSTOP:
		return fmt.Errorf("%s is no notice: no program can heed it", unix.SignalName(n))
	}
	return nil
}

// run is one run of a program.
type run struct {
	h     *Handler
	ctx   context.Context
	log   *slog.Logger
	dir   scratch
	saved *checkpoint

	guard  *guard
	unfit  bool           // the guard cannot be used again
	pid    int            // of the program and its group; 0: not started yet
	told   bool           // that a stop has begun
	notice syscall.Signal // that was sent because of it; 0: none
	over   time.Time      // when its context ended and it was sent TERM; zero: not yet
	killed bool
}

// Run runs the program for one job, and returns when nothing of it is left. The
// error is the verdict on the job. With a context that is not a handler's, no
// checkpoint is kept.
func (h *Handler) Run(ctx context.Context, job *wire.Job) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	path, err := h.spec.program()
	if err != nil {
		return &StartError{err}
	}
	dir := newScratch()
	// The guard knows of the folder before it is there, so that it never stays behind.
	guard, err := h.opt.Guards.take(order{Scratch: []byte(dir)})
	if err != nil {
		return &StartError{err}
	}
	r := &run{h: h, ctx: ctx, log: h.opt.Log.With("jid", job.JID, "kind", job.Kind), dir: dir, guard: guard}
	defer func() {
		if r.unfit {
			h.opt.Guards.drop(guard)
		} else {
			h.opt.Guards.give(guard)
		}
	}()
	if err := r.prepare(); err != nil {
		return &StartError{err}
	}
	defer func() {
		if err := r.dir.remove(); err != nil {
			r.log.Warn("the folder of a job was not removed", "cause", err)
		}
	}()
	s, err := r.open(job.Payload())
	if err != nil {
		return &StartError{err}
	}
	defer s.close()
	done, err := r.follow(path, job, s, newOutput(h.opt.Output, h.spec.Kind, job.JID))
	if err != nil {
		return err
	}
	r.tidy(done)
	if done.Status != 0 { // else there is no next run
		r.saved.look(true)
	}
	return r.verdict(done.Status, s.end.String())
}

// prepare makes the run's folder, with what the last run has left in it.
func (r *run) prepare() error {
	if err := r.dir.make(); err != nil {
		return err
	}
	if err := r.restore(); err != nil {
		return errors.Join(fmt.Errorf("restore the checkpoint: %w", err), r.dir.remove())
	}
	return nil
}

// tell gives the guard an order.
func (r *run) tell(o order, files ...*os.File) error {
	if err := send(r.guard.conn, o, files...); err != nil {
		r.unfit = true
		return fmt.Errorf("reach a guard: %w", err)
	}
	return nil
}

// restore puts what the last run has left where the program finds it.
func (r *run) restore() error {
	r.saved = &checkpoint{
		path: r.dir.checkpoint(), log: r.log,
		save: func(value any) error { return ebb.Checkpoint(r.ctx, value) },
	}
	value, _, err := ebb.Resume[json.RawMessage](r.ctx)
	if err != nil {
		return err
	}
	return r.saved.restore(value)
}

// open makes what the program is given.
func (r *run) open(payload []byte) (*streams, error) {
	stdin, err := r.dir.stdin(payload)
	if err != nil {
		return nil, err
	}
	s := &streams{given: []*os.File{stdin}}
	if err := s.pipes(); err != nil {
		s.close()
		return nil, err
	}
	if r.h.opt.LeaseFile == nil {
		return s, nil
	}
	lease, err := r.h.opt.LeaseFile(ebb.Info(r.ctx).Process)
	if err != nil {
		s.close()
		return nil, fmt.Errorf("hold the lease: %w", err)
	}
	s.given = append(s.given, lease)
	return s, nil
}

// follow has the guard start the program, and stays with it until nothing of it is
// left. An error means that it was never started, or lost with its guard.
func (r *run) follow(path string, job *wire.Job, s *streams, out *output) (exit, error) {
	info := ebb.Info(r.ctx)
	if info.JID == "" { // no handler's context
		info.Queue, info.Attempt = job.Queue, job.Count+2
	}
	spec := r.h.spec
	err := r.tell(order{Run: &program{
		Path: []byte(path), Argv: toBytes(spec.Argv), Dir: []byte(spec.Dir),
		Env: toBytes(environment(os.Environ(), spec.Env, job, info, r.deadline(job), r.saved.path)),
	}}, s.given...)
	s.handOver()
	if err != nil {
		return exit{}, &StartError{err}
	}
	s.read(out)
	defer s.finish()
	return r.watch(path)
}

// deadline is when the job's context is going to end, if that is known.
func (r *run) deadline(job *wire.Job) time.Time {
	limit := job.History.Timeout
	if limit == 0 {
		limit = r.h.spec.Timeout
	}
	if limit == 0 {
		return time.Time{}
	}
	return time.Now().Add(limit)
}

// watch tells the program what it has to know, until its guard tells its end.
func (r *run) watch(path string) (exit, error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	kill := time.NewTimer(time.Hour)
	defer kill.Stop()
	for {
		stopping, hour := ebb.Stopping(r.ctx)
		if r.told {
			stopping = nil
		}
		ended := r.ctx.Done()
		if !r.over.IsZero() {
			ended = nil
			kill.Reset(time.Until(killAt(r.over, context.Cause(r.ctx), hour))) // the hour may have moved
		}
		select {
		case n, ok := <-r.guard.news:
			switch {
			case !ok:
				return exit{}, r.orphaned()
			case n.Failed != 0:
				return exit{}, r.refused(path, n.Failed)
			case n.Exit != nil:
				return *n.Exit, nil
			}
			r.pid = n.Started
		case <-stopping:
			r.told = true
			if s, ok := r.h.spec.Notice.(syscall.Signal); ok {
				r.notice = s
				r.signal(s, false)
			}
			r.saved.look(false)
		case <-ended:
			r.over = time.Now()
			r.signal(syscall.SIGTERM, true)
		case <-kill.C:
			if !r.over.IsZero() && !r.killed {
				r.killed = true
				r.signal(syscall.SIGKILL, true)
			}
		case <-look.C:
			r.saved.look(false)
		}
	}
}

// signal has the program signalled: its first process, or its whole group; KILL is
// for all that it has started, wherever that is. If the guard is gone there is news
// of that.
func (r *run) signal(s syscall.Signal, group bool) { _ = r.tell(order{Signal: s, Group: group}) }

// killAt is when a program whose context ended at over, because of cause, is killed.
// If the worker is going to be killed itself, that leaves it the time to see the
// program's end before it gives its jobs up.
func killAt(over time.Time, cause error, hour time.Time) time.Time {
	at := over.Add(patience)
	switch {
	case errors.Is(cause, ebb.ErrLeaseLost):
		at = over.Add(rescued)
	case errors.Is(cause, ebb.ErrDraining) && !hour.IsZero():
		at = hour
	}
	if !hour.IsZero() {
		if stop := over.Add(hour.Sub(over) / 2); stop.Before(at) {
			at = stop
		}
	}
	return at
}

// refused says why a program that is there could not be started.
func (r *run) refused(path string, errno syscall.Errno) error {
	err := error(errno)
	switch _, missing := os.Stat(path); {
	case errno == syscall.ENOEXEC:
		err = fmt.Errorf("%w (a script's first line names its interpreter, as in #!/bin/sh)", errno)
	case errno == syscall.ENOENT && r.h.spec.Dir != "" && !isDir(r.h.spec.Dir):
		err = fmt.Errorf("folder %s: %w", r.h.spec.Dir, errno)
	case errno == syscall.ENOENT && !errors.Is(missing, fs.ErrNotExist):
		err = errInterpreter
	}
	return &StartError{fmt.Errorf("%s: %w", path, err)}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// orphaned ends a program whose guard is gone, as far as it has not got away. Its
// first process dies with the guard.
func (r *run) orphaned() error {
	r.unfit = true
	for range 100 {
		if !killOrphans(r.guard.pid, r.pid) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return &GuardError{}
}

// tidy tells what the program had left behind.
func (r *run) tidy(done exit) {
	if done.Left > 0 {
		r.log.Warn("program had left processes running, which were ended", "processes", done.Left)
	}
	if done.Stuck > 0 {
		r.unfit = true
		r.log.Error("program has left processes that not even KILL ends", "processes", done.Stuck)
	}
}

// verdict says what is to become of the job.
func (r *run) verdict(status syscall.WaitStatus, stderr string) error {
	stopping, _ := ebb.Stopping(r.ctx)
	e := ending{status: status, notice: r.notice, snooze: r.h.spec.snooze(), stderr: stderr}
	if e.asked() && r.over.IsZero() && r.notice == 0 {
		late := time.NewTimer(rumour)
		defer late.Stop()
		select {
		case <-stopping:
		case <-r.ctx.Done():
		case <-late.C:
		}
	}
	e.cause = context.Cause(r.ctx)
	select {
	case <-stopping:
		e.stopping = true
	default:
	}
	return e.verdict()
}
