package storetest

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// When is the moment of a call at which it fails.
type When int

const (
	Before When = iota // nothing has moved
	After              // all has moved, and the reply is lost
)

// Fault is what happens to one call.
type Fault struct {
	When  When
	Err   error           // nil: the call does not fail
	Delay time.Duration   // the call waits so long first, or until its context ends
	Until <-chan struct{} // and then until this is closed, or its context ends
}

// Flaky is a store that fails on command. Methods are named as in store.Store;
// Describe and Close never fail. A name that is no method panics.
type Flaky struct {
	inner store.Store

	mu     sync.Mutex
	faults map[string][]Fault
	decide func(method string) Fault
	calls  map[string]int
}

var _ store.Store = (*Flaky)(nil)

// NewFlaky wraps a store that works. Closing either closes it.
func NewFlaky(inner store.Store) *Flaky {
	return &Flaky{inner: inner, faults: map[string][]Fault{}, calls: map[string]int{}}
}

// Fail makes the next calls of method fail with err, as many as times says. After
// means that the call is made and its reply lost.
func (f *Flaky) Fail(method string, when When, err error, times int) {
	for range times {
		f.Next(method, Fault{When: when, Err: err})
	}
}

// Block makes the next call of method wait until release is called or its context
// ends; then it is made. A second release does nothing.
func (f *Flaky) Block(method string) (release func()) {
	until := make(chan struct{})
	f.Next(method, Fault{Until: until})
	return sync.OnceFunc(func() { close(until) })
}

// Next adds what happens to the next call of method that nothing was said of yet.
func (f *Flaky) Next(method string, fault Fault) {
	known(method)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[method] = append(f.faults[method], fault)
}

// Each asks decide about every call of which Next says nothing. nil: they work.
func (f *Flaky) Each(decide func(method string) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide = decide
}

// Heal forgets everything that was still to happen.
func (f *Flaky) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.faults)
	f.decide = nil
}

// Calls counts the calls of method, failed ones too.
func (f *Flaky) Calls(method string) int {
	known(method)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

func known(method string) {
	if _, ok := reflect.TypeFor[store.Store]().MethodByName(method); !ok {
		panic(fmt.Sprintf("storetest: a store has no method %q", method))
	}
}

func (f *Flaky) next(method string) Fault {
	f.mu.Lock()
	f.calls[method]++
	if queue := f.faults[method]; len(queue) > 0 {
		f.faults[method] = queue[1:]
		f.mu.Unlock()
		return queue[0]
	}
	decide := f.decide
	f.mu.Unlock()
	if decide == nil {
		return Fault{}
	}
	return decide(method)
}

// through makes one call as its fault says. A call whose context ends while it is
// held up goes on, with that context.
func (f *Flaky) through(ctx context.Context, method string, call func() error) error {
	fault := f.next(method)
	if fault.Delay > 0 {
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if fault.Until != nil {
		select {
		case <-fault.Until:
		case <-ctx.Done():
		}
	}
	if fault.Err == nil {
		return call()
	}
	if fault.When == After {
		if err := call(); err != nil {
			return err
		}
	}
	return fault.Err
}

// replied is through for calls that return more than an error; when the reply is
// lost, that is lost with it.
func replied[T any](ctx context.Context, f *Flaky, method string, call func() (T, error)) (T, error) {
	var reply T
	err := f.through(ctx, method, func() (err error) {
		reply, err = call()
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return reply, nil
}

func (f *Flaky) Push(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	return replied(ctx, f, "Push", func() ([]store.Result, error) { return f.inner.Push(ctx, call, items...) })
}

func (f *Flaky) Schedule(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	return replied(ctx, f, "Schedule", func() ([]store.Result, error) { return f.inner.Schedule(ctx, call, items...) })
}

func (f *Flaky) Fetch(ctx context.Context, call store.Call, plan store.Plan, n int, wait time.Duration) ([]store.Held, store.Woken, error) {
	var woken store.Woken
	jobs, err := replied(ctx, f, "Fetch", func() (jobs []store.Held, err error) {
		jobs, woken, err = f.inner.Fetch(ctx, call, plan, n, wait)
		return jobs, err
	})
	if err != nil {
		return nil, store.Idle, err
	}
	return jobs, woken, nil
}

func (f *Flaky) Ack(ctx context.Context, call store.Call, done ...store.Done) error {
	return f.through(ctx, "Ack", func() error { return f.inner.Ack(ctx, call, done...) })
}

func (f *Flaky) Retry(ctx context.Context, call store.Call, later ...store.Later) error {
	return f.through(ctx, "Retry", func() error { return f.inner.Retry(ctx, call, later...) })
}

func (f *Flaky) Bury(ctx context.Context, call store.Call, later ...store.Later) error {
	return f.through(ctx, "Bury", func() error { return f.inner.Bury(ctx, call, later...) })
}

func (f *Flaky) Requeue(ctx context.Context, call store.Call, back ...store.Later) error {
	return f.through(ctx, "Requeue", func() error { return f.inner.Requeue(ctx, call, back...) })
}

func (f *Flaky) Checkpoint(ctx context.Context, call store.Call, saves ...store.Later) error {
	return f.through(ctx, "Checkpoint", func() error { return f.inner.Checkpoint(ctx, call, saves...) })
}

func (f *Flaky) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	return replied(ctx, f, "Beat", func() (store.Orders, error) { return f.inner.Beat(ctx, p, ttl) })
}

func (f *Flaky) Promote(ctx context.Context, p store.Promotion) (int, time.Duration, error) {
	var next time.Duration
	moved, err := replied(ctx, f, "Promote", func() (moved int, err error) {
		moved, next, err = f.inner.Promote(ctx, p)
		return moved, err
	})
	if err != nil {
		return 0, 0, err
	}
	return moved, next, nil
}

func (f *Flaky) Orphans(ctx context.Context, max int, dead ...store.Identity) ([]store.Lost, error) {
	return replied(ctx, f, "Orphans", func() ([]store.Lost, error) { return f.inner.Orphans(ctx, max, dead...) })
}

func (f *Flaky) Rescue(ctx context.Context, g store.Salvage) (int, error) {
	return replied(ctx, f, "Rescue", func() (int, error) { return f.inner.Rescue(ctx, g) })
}

func (f *Flaky) Audit(ctx context.Context, by store.Identity, d time.Duration) ([]store.Identity, error) {
	return replied(ctx, f, "Audit", func() ([]store.Identity, error) { return f.inner.Audit(ctx, by, d) })
}

func (f *Flaky) Suspect(ctx context.Context, id store.Identity, d time.Duration) error {
	return f.through(ctx, "Suspect", func() error { return f.inner.Suspect(ctx, id, d) })
}

func (f *Flaky) Leave(ctx context.Context, call store.Call, w store.Farewell) error {
	return f.through(ctx, "Leave", func() error { return f.inner.Leave(ctx, call, w) })
}

func (f *Flaky) Queues(ctx context.Context) ([]store.Queue, error) {
	return replied(ctx, f, "Queues", func() ([]store.Queue, error) { return f.inner.Queues(ctx) })
}

func (f *Flaky) Processes(ctx context.Context) ([]store.Process, error) {
	return replied(ctx, f, "Processes", func() ([]store.Process, error) { return f.inner.Processes(ctx) })
}

// Jobs fails, whatever the moment, before its first element.
func (f *Flaky) Jobs(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return walked(ctx, f, "Jobs", f.inner.Jobs(ctx, q))
}

func (f *Flaky) Stats(ctx context.Context) (store.Stats, error) {
	return replied(ctx, f, "Stats", func() (store.Stats, error) { return f.inner.Stats(ctx) })
}

// Stops fails, whatever the moment, before its first element.
func (f *Flaky) Stops(ctx context.Context) iter.Seq2[store.StopReport, error] {
	return walked(ctx, f, "Stops", f.inner.Stops(ctx))
}

func walked[T any](ctx context.Context, f *Flaky, method string, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err := f.through(ctx, method, func() error { return nil }); err != nil {
			var none T
			yield(none, err)
			return
		}
		seq(yield)
	}
}

func (f *Flaky) Move(ctx context.Context, u store.Undoable, to store.Place, picks ...store.Pick) (int, error) {
	return replied(ctx, f, "Move", func() (int, error) { return f.inner.Move(ctx, u, to, picks...) })
}

func (f *Flaky) Delete(ctx context.Context, u store.Undoable, picks ...store.Pick) (int, error) {
	return replied(ctx, f, "Delete", func() (int, error) { return f.inner.Delete(ctx, u, picks...) })
}

func (f *Flaky) Undo(ctx context.Context, change string, max int) (store.Undone, error) {
	return replied(ctx, f, "Undo", func() (store.Undone, error) { return f.inner.Undo(ctx, change, max) })
}

func (f *Flaky) Record(ctx context.Context, c store.Change) error {
	return f.through(ctx, "Record", func() error { return f.inner.Record(ctx, c) })
}

// Changes fails, whatever the moment, before its first element.
func (f *Flaky) Changes(ctx context.Context) iter.Seq2[store.Change, error] {
	return walked(ctx, f, "Changes", f.inner.Changes(ctx))
}

func (f *Flaky) Pause(ctx context.Context, queue string, paused bool) error {
	return f.through(ctx, "Pause", func() error { return f.inner.Pause(ctx, queue, paused) })
}

func (f *Flaky) Command(ctx context.Context, id store.Identity, c store.Command) error {
	return f.through(ctx, "Command", func() error { return f.inner.Command(ctx, id, c) })
}

func (f *Flaky) Series(ctx context.Context, q store.SeriesQuery) ([]store.Point, error) {
	return replied(ctx, f, "Series", func() ([]store.Point, error) { return f.inner.Series(ctx, q) })
}

func (f *Flaky) Marks(ctx context.Context, since time.Time) ([]store.Mark, error) {
	return replied(ctx, f, "Marks", func() ([]store.Mark, error) { return f.inner.Marks(ctx, since) })
}

// Ended fails, whatever the moment, before its first element.
func (f *Flaky) Ended(ctx context.Context, jid string) iter.Seq2[store.Ended, error] {
	return walked(ctx, f, "Ended", f.inner.Ended(ctx, jid))
}

// Describe is the inner store's.
func (f *Flaky) Describe() store.Description { return f.inner.Describe() }

// Close closes the inner store.
func (f *Flaky) Close() error { return f.inner.Close() }
