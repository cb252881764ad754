package ebbtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// memory is a store in memory that watches what passes through it. Jobs take the
// same way as in production; nothing is moved that a process would not move.
type memory struct {
	store.Store
	inline bool // a push waits until its jobs have run

	mu       sync.Mutex
	accepted []store.Item
	jids     map[store.Token]string
	returned map[string]error // by jid: what middleware and handler said last
	waves    map[string]*wave // by jid
	work     *work            // of the process that runs, or ran last
	served   map[string]bool  // its queues; nil: it is not there yet
	changed  chan struct{}    // closed with the next change
}

// work is what one process did.
type work struct {
	runs     int
	failures []error
}

func newMemory() *memory {
	return &memory{
		Store:    memstore.New(memstore.Options{}),
		jids:     map[store.Token]string{},
		returned: map[string]error{},
		waves:    map[string]*wave{},
		changed:  make(chan struct{}),
	}
}

// wave is what one push from outside sets off: its jobs, and all that these enqueue.
type wave struct {
	left   int // jobs without a verdict; under memory.mu
	errs   []error
	washed chan struct{} // closed once none is left
}

type waveKey struct{}

// Push keeps jobs, and inline also runs them. From within a handler it does not
// wait, or a process with one slot would wait for itself for ever.
func (m *memory) Push(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	if !m.inline {
		results, err := m.Store.Push(ctx, call, items...)
		m.accept(items, results, err)
		return results, err
	}
	if err := m.mayRun(ctx, items); err != nil {
		return nil, &verdict.Refused{Err: err}
	}
	outer, nested := ctx.Value(waveKey{}).(*wave)
	w := m.join(outer, items)
	results, err := m.Store.Push(ctx, call, items...)
	if err != nil || nested {
		return results, err
	}
	select {
	case <-w.washed:
	case <-ctx.Done():
		return results, &verdict.Refused{Err: fmt.Errorf("ebbtest: wait for the job to run: %w", context.Cause(ctx))}
	}
	if err := errors.Join(w.errs...); err != nil {
		return results, &verdict.Refused{Err: err}
	}
	return results, nil
}

// Schedule is Push where jobs run at once: their hour has come.
func (m *memory) Schedule(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	if !m.inline {
		results, err := m.Store.Schedule(ctx, call, items...)
		m.accept(items, results, err)
		return results, err
	}
	due := slices.Clone(items)
	for i := range due {
		due[i].Payload = wire.Stamp(due[i].Payload, "", time.Now())
		due[i].Delay, due[i].At = 0, time.Time{}
	}
	return m.Push(ctx, call, due...)
}

// Accepts joins any transaction, in that it takes no notice of it.
func (m *memory) Accepts(any) (store.Enqueuer, bool) { return m, true }

func (m *memory) accept(items []store.Item, results []store.Result, err error) {
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, item := range items {
		if !results[i].Repeated {
			m.accepted = append(m.accepted, item)
		}
	}
}

// mayRun waits for the process to be there, and refuses what it does not serve.
func (m *memory) mayRun(ctx context.Context, items []store.Item) error {
	for {
		m.mu.Lock()
		served, changed := m.served, m.changed
		m.mu.Unlock()
		if served == nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		for _, item := range items {
			if !served[item.Queue] {
				return notServed(item.Queue, served)
			}
		}
		return nil
	}
}

func notServed(queue string, served map[string]bool) error {
	return fmt.Errorf("ebbtest: nobody serves the queue %q: Config names %q", queue, slices.Sorted(maps.Keys(served)))
}

// join adds jobs to the wave they are part of, or to a new one.
func (m *memory) join(w *wave, items []store.Item) *wave {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w == nil {
		w = &wave{washed: make(chan struct{})}
	}
	w.left += len(items)
	for _, item := range items {
		m.waves[item.JID] = w
	}
	return w
}

// empty waits until nothing is held, and nothing is ready in a queue that is
// served; with all, until nothing is scheduled either.
func (m *memory) empty(ctx context.Context, all bool) error {
	for {
		m.mu.Lock()
		served, changed := m.served, m.changed
		m.mu.Unlock()
		busy, unserved, err := m.look(ctx, served)
		if err == nil && !busy && all {
			busy, err = m.hasten(ctx)
		}
		switch {
		case err != nil:
			return err
		case !busy && served != nil:
			return unserved
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("ebbtest: drain: %w", context.Cause(ctx))
		}
	}
}

// look reports whether there is work for the process, and names a queue with jobs
// that it does not serve.
func (m *memory) look(ctx context.Context, served map[string]bool) (busy bool, unserved, err error) {
	queues, err := m.Queues(ctx)
	if err != nil {
		return false, nil, fmt.Errorf("ebbtest: drain: %w", err)
	}
	for _, q := range queues {
		switch {
		case q.Held > 0, q.Waiting > 0 && served[q.Name] && !q.Paused:
			busy = true
		case q.Waiting > 0 && served[q.Name]:
			unserved = errors.Join(unserved, fmt.Errorf("ebbtest: the queue %q is paused", q.Name))
		case q.Waiting > 0:
			unserved = errors.Join(unserved, notServed(q.Name, served))
		}
	}
	return busy, unserved, nil
}

// hasten makes what is scheduled ready, and reports whether there was anything.
func (m *memory) hasten(ctx context.Context) (bool, error) {
	var picks []store.Pick
	for e, err := range m.Jobs(ctx, store.Query{Place: store.Scheduled, Limit: store.MaxBatch}) {
		if err != nil {
			return false, fmt.Errorf("ebbtest: drain: %w", err)
		}
		picks = append(picks, store.Pick{Key: e.Key})
	}
	if len(picks) == 0 {
		return false, nil
	}
	moved, err := m.Move(ctx, store.Undoable{}, store.Ready, picks...)
	if err != nil {
		return false, fmt.Errorf("ebbtest: drain: %w", err)
	}
	if moved > 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.change() // so that the caller looks again
	}
	return true, nil
}

// middleware is the outermost of a process: it sees what all others return.
func (m *memory) middleware(ctx context.Context, e *ebb.Envelope, next func(context.Context) error) error {
	jid := e.JID
	m.mu.Lock()
	m.work.runs++
	delete(m.returned, jid)
	if w := m.waves[jid]; w != nil {
		ctx = context.WithValue(ctx, waveKey{}, w)
	}
	m.mu.Unlock()
	err := next(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.returned[jid] = err
	return err
}

// Beat takes note of what the process serves.
func (m *memory) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	orders, err := m.Store.Beat(ctx, p, ttl)
	if err != nil {
		return orders, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.served == nil {
		m.served = map[string]bool{}
		for _, g := range p.Groups {
			for _, q := range g.Queues {
				m.served[q.Queue] = true
			}
		}
		m.change()
	}
	return orders, err
}

func (m *memory) Fetch(ctx context.Context, call store.Call, plan store.Plan, n int, wait time.Duration) ([]store.Held, store.Woken, error) {
	held, woken, err := m.Store.Fetch(ctx, call, plan, n, wait)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range held {
		m.jids[h.Token], _ = wire.JIDOf(h.Payload)
	}
	return held, woken, err
}

func (m *memory) Ack(ctx context.Context, call store.Call, done ...store.Done) error {
	err := m.Store.Ack(ctx, call, done...)
	if moved(err) {
		for _, d := range done {
			m.ended(d.Token, nil)
		}
	}
	return err
}

func (m *memory) Retry(ctx context.Context, call store.Call, later ...store.Later) error {
	err := m.Store.Retry(ctx, call, later...)
	if moved(err) {
		m.failed(ctx, later)
	}
	return err
}

func (m *memory) Bury(ctx context.Context, call store.Call, later ...store.Later) error {
	err := m.Store.Bury(ctx, call, later...)
	if moved(err) {
		m.failed(ctx, later)
	}
	return err
}

// moved reports whether a verdict call has done what it could.
func moved(err error) bool { return err == nil || errors.Is(err, store.ErrNotHeld) }

// failed notes the jobs that production would count as failures. Whoever enqueued
// one inline has the error and decides, so there it is not tried again.
func (m *memory) failed(ctx context.Context, later []store.Later) {
	for _, l := range later {
		if !l.Failed {
			m.ended(l.Token, nil) // a snooze
			continue
		}
		job, _ := wire.Parse(l.Payload)
		if m.inline {
			for e, err := range m.Jobs(ctx, store.Query{Place: store.Retrying, JID: job.JID}) {
				if err == nil {
					m.Delete(ctx, store.Undoable{}, store.Pick{Key: e.Key})
				}
			}
		}
		m.ended(l.Token, job)
	}
}

// ended settles a job that has its verdict. It counts as failed if there is a
// payload that tells of the failure.
func (m *memory) ended(token store.Token, failed *wire.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	jid := m.jids[token]
	w := m.waves[jid]
	if failed != nil {
		err := m.returned[jid]
		if err == nil { // the handler was not called, or panicked
			err = errors.New(failed.ErrorMessage)
		}
		err = fmt.Errorf("%s %s: %w", failed.Kind, jid, err)
		m.work.failures = append(m.work.failures, err)
		if w != nil {
			w.errs = append(w.errs, err)
		}
	}
	if w != nil {
		if w.left--; w.left == 0 {
			close(w.washed)
		}
	}
	delete(m.jids, token)
	delete(m.returned, jid)
	m.change()
}

// change wakes those who wait for anything. The lock is held.
func (m *memory) change() {
	close(m.changed)
	m.changed = make(chan struct{})
}
