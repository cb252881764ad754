package ebbtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Inline returns a client with a process behind it: to enqueue a job is to run it.
// Enqueue, EnqueueMany and Push return once the job has its verdict, and so have
// all jobs that it enqueued in turn with its handler's context. Jobs for later run
// at once, too.
//
// The error of a handler comes back from the call that enqueued the job, wrapped,
// with those of the jobs it led to; nothing is tried again. Snooze, Discard and
// ErrYield are no errors; a job that snoozes or yields runs again when its time
// comes, if the test still runs then. A call returns early, with an error, when its
// context ends, and at once if no queue of cfg is the job's. In a handler, Enqueue
// does not wait.
//
// The handlers that register names run in goroutines of their own, so they must
// not call t.FailNow. The process is drained when the test ends. Unless cfg says
// otherwise it logs to the test's output.
func Inline(t testing.TB, cfg ebb.Config, register func(*ebb.Process), opts ...ebb.ClientOption) *ebb.Client {
	t.Helper()
	m := newMemory()
	m.inline = true
	client := ebb.NewClient(m, opts...)
	_, stop, err := m.start(t.Context(), t, client, cfg, register)
	if err != nil {
		t.Fatalf("ebbtest: start a process: %v", err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("ebbtest: drain the process: %v", err)
		}
	})
	return client
}

// Recorder is what a fake client has enqueued. It may be used by many goroutines
// at once.
type Recorder struct {
	t      testing.TB
	client *ebb.Client
	memory *memory
	turn   chan struct{} // capacity 1: one Drain at a time
}

// Fake returns a client that only keeps what is enqueued, and the record of it.
// What the client's middleware drops is not enqueued.
func Fake(t testing.TB, opts ...ebb.ClientOption) (*ebb.Client, *Recorder) {
	t.Helper()
	m := newMemory()
	r := &Recorder{t: t, client: ebb.NewClient(m, opts...), memory: m, turn: make(chan struct{}, 1)}
	return r.client, r
}

// Enqueued returns the arguments of every job of one kind that was enqueued so far,
// for now or for later, in that order, whether or not it has run since. Arguments
// that do not fit an A, as a Push by hand can have them, end the test.
func Enqueued[A any](r *Recorder, job ebb.Job[A]) []A {
	r.t.Helper()
	var all []A
	for _, item := range r.Items() {
		if item.Kind != job.Kind() {
			continue
		}
		parsed, err := wire.Parse(item.Payload)
		if err != nil {
			r.t.Fatalf("ebbtest: read job %s: %v", item.JID, err)
		}
		args, err := job.Decode(parsed.Args)
		if err != nil {
			r.t.Fatalf("ebbtest: read job %s: %v", item.JID, err)
		}
		all = append(all, args)
	}
	return all
}

// Items returns every job that was enqueued so far, of any kind, as it travels:
// with its queue, its delay and its payload.
func (r *Recorder) Items() []store.Item {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	return slices.Clone(r.memory.accepted)
}

// Drain runs the jobs that are ready, with all that they enqueue, until none is
// left, and returns how many runs that took. A job for later waits on.
//
// The error joins those of all runs that failed. Such jobs are in the retry set
// then, or in the dead set, as in production, and Drain does not try them again.
// It is also an error if ready jobs are left in queues that cfg does not name, and
// if ctx ended: then jobs were given back, as by any stop.
func (r *Recorder) Drain(ctx context.Context, cfg ebb.Config, register func(*ebb.Process)) (int, error) {
	return r.drain(ctx, cfg, register, false)
}

// DrainAll is Drain, for which the hour of every job has come: scheduled ones run
// too, and those that snooze or yield run again. If one does so each time, DrainAll
// ends only with ctx.
func (r *Recorder) DrainAll(ctx context.Context, cfg ebb.Config, register func(*ebb.Process)) (int, error) {
	return r.drain(ctx, cfg, register, true)
}

func (r *Recorder) drain(ctx context.Context, cfg ebb.Config, register func(*ebb.Process), all bool) (int, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return 0, fmt.Errorf("ebbtest: drain: %w", context.Cause(ctx))
	}
	m := r.memory
	work, stop, err := m.start(ctx, r.t, r.client, cfg, register)
	if err != nil {
		return 0, fmt.Errorf("ebbtest: drain: start a process: %w", err)
	}
	left := m.empty(ctx, all)
	err = errors.Join(left, stop())
	m.mu.Lock()
	defer m.mu.Unlock()
	return work.runs, errors.Join(errors.Join(work.failures...), err)
}

// start starts a process on m. What it returns ends the process and waits for it.
func (m *memory) start(ctx context.Context, t testing.TB, client *ebb.Client, cfg ebb.Config, register func(*ebb.Process)) (*work, func() error, error) {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	cfg.Middleware = append([]ebb.Middleware{m.middleware}, cfg.Middleware...)
	m.mu.Lock()
	m.work, m.served = &work{}, nil
	m.mu.Unlock()
	p := ebb.NewProcess(client, cfg)
	register(p)
	// Whoever ends ctx has stopped waiting; the process is ended by stop alone, so
	// that what it holds is handed back before anyone looks.
	if err := p.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, nil, err
	}
	stop := func() error {
		drain := context.WithoutCancel(ctx)
		if ctx.Err() != nil {
			var cancel context.CancelFunc
			drain, cancel = context.WithTimeout(drain, hurry)
			defer cancel()
		}
		_, err := p.Drain(drain)
		<-p.Done()
		return err
	}
	return m.work, stop, nil
}

// hurry is what jobs have left once nobody waits for them any more.
const hurry = time.Second
