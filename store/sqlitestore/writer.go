package sqlitestore

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
)

// class orders the calls of one transaction: what frees a slot comes before what
// fills it, so that a verdict and the slot's next job are one commit.
type class int

const (
	frees class = iota
	other
	fills
)

// call is one caller's part of a transaction.
type call struct {
	class   class
	jobs    int
	accepts bool // brings new jobs: refused while the disk is full
	// apply makes the changes. It may be run again after a rollback, and returns an
	// error only where the transaction must be dropped; an answer to the caller is
	// left where the caller looks for it.
	apply func(*tx) error
	// point names the moment after the commit and before the answer, for crash tests.
	point string

	since time.Time
	done  chan error
}

// run is apply, with a panic as an error: the neighbours are not to blame.
func (c *call) run(t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return c.apply(t)
}

// writer gathers the calls that wait and commits them together: as many as are
// there when its turn has come, at most store.MaxBatch jobs. It needs no timer,
// since calls gather while the commit before is being synced.
type writer struct {
	s    *Store
	conn *writeConn
	gate *turnstile

	mu      sync.Mutex
	pending []*call
	waits   waits
	closed  bool
	work    chan struct{} // capacity 1: something is pending, or closed
	done    chan struct{}
	endErr  error
}

// waits is what the writer waits for.
type waits int

const (
	forNothing waits = iota
	forGate          // the other processes' writers
	forLock          // a transaction that was begun past the turnstile
)

func (w *writer) waitsFor(what waits) {
	w.mu.Lock()
	w.waits = what
	w.mu.Unlock()
}

func newWriter(s *Store, conn *writeConn, gate *turnstile) *writer {
	return &writer{s: s, conn: conn, gate: gate, work: make(chan struct{}, 1), done: make(chan struct{})}
}

// do has c committed. The end of ctx takes back a call that is still waiting; one
// that has begun is always waited for, so that the caller knows its answer.
func (w *writer) do(ctx context.Context, c *call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.since, c.done = time.Now(), make(chan error, 1)
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return store.ErrClosed
	}
	w.pending = append(w.pending, c)
	w.mu.Unlock()
	select {
	case w.work <- struct{}{}:
	default:
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		if w.withdraw(c) {
			return w.late(ctx.Err(), time.Since(c.since))
		}
		return <-c.done
	}
}

// late is the error of a call whose deadline passed before the writer came to it.
func (w *writer) late(why error, waited time.Duration) error {
	w.mu.Lock()
	waits := w.waits
	w.mu.Unlock()
	switch {
	case why == context.Canceled:
	case waits == forGate:
		return w.gate.late(why, waited)
	case waits == forLock:
		return store.WithHint(fmt.Errorf("%w: locked for writing for %v by another program", why, waited.Round(time.Millisecond)), hintBusy)
	}
	return why
}

func (w *writer) withdraw(c *call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.pending, c)
	if i >= 0 {
		w.pending = slices.Delete(w.pending, i, i+1)
	}
	return i >= 0
}

// take removes the next batch from those pending, in the order of their classes.
func (w *writer) take() []*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, jobs := 0, 0
	for n < len(w.pending) && (n == 0 || jobs+w.pending[n].jobs <= store.MaxBatch) {
		jobs += w.pending[n].jobs
		n++
	}
	batch := slices.Clone(w.pending[:n])
	w.pending = slices.Delete(w.pending, 0, n)
	if len(w.pending) > 0 {
		select {
		case w.work <- struct{}{}:
		default:
		}
	}
	slices.SortStableFunc(batch, func(a, b *call) int { return int(a.class) - int(b.class) })
	return batch
}

// refuse answers every pending call for which which is true.
func (w *writer) refuse(err error, which func(*call) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = slices.DeleteFunc(w.pending, func(c *call) bool {
		if !which(c) {
			return false
		}
		c.done <- err
		return true
	})
}

func everyCall(*call) bool { return true }

// run commits until the store is closed.
func (w *writer) run() {
	defer close(w.done)
	for range w.work {
		w.mu.Lock()
		idle, closed := len(w.pending) == 0, w.closed
		w.mu.Unlock()
		if closed {
			break
		}
		if !idle {
			w.turn()
		}
	}
	w.refuse(store.ErrClosed, everyCall)
	w.endErr = w.conn.close()
	if err := w.gate.close(); w.endErr == nil {
		w.endErr = err
	}
}

// stop ends the writer after the commit that is under way. It does not wait for
// the turnstile: the kernel gives that up when it likes, and the writer ends then.
func (w *writer) stop() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.refuse(store.ErrClosed, everyCall)
	select {
	case w.work <- struct{}{}:
	default:
	}
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	for {
		select {
		case <-w.done:
			return w.endErr
		case <-patience.C:
			w.mu.Lock()
			atGate := w.waits == forGate
			w.mu.Unlock()
			if atGate {
				return nil
			}
			patience.Reset(time.Second)
		}
	}
}

// turn waits for this process's turn among all writers and commits one batch.
func (w *writer) turn() {
	if err := w.enter(); err != nil {
		w.refuse(explainFile(err), everyCall)
		return
	}
	defer w.gate.unlock()
	w.waitsFor(forLock)
	_, err := w.conn.exec(begin)
	w.waitsFor(forNothing)
	if err != nil {
		w.refuse(explain(err), everyCall)
		return
	}
	// Callers that were answered a moment ago are about to call again: let them.
	runtime.Gosched()
	batch := w.take() // only now: what came while we waited rides along
	if len(batch) == 0 {
		w.conn.exec(rollback)
		return
	}
	t, err := w.apply(batch)
	if err == nil {
		w.answer(t, batch, w.s.intact())
		return
	}
	// One call's trouble, or the disk's, has undone all: each goes alone.
	if noSpace(err) {
		w.s.reserve.spend()
	}
	for _, c := range batch {
		w.alone(c)
	}
}

// enter takes the turnstile. Calls that have waited too long for it meanwhile are
// answered by who holds it.
func (w *writer) enter() error {
	if ok, err := w.gate.tryLock(); ok || err != nil {
		return err
	}
	wait := w.s.opts.lockWait()
	w.mu.Lock()
	w.waits = forGate
	var watch *time.Timer
	watch = time.AfterFunc(wait, func() {
		err := w.gate.late(store.ErrUnreachable, wait)
		w.refuse(err, func(c *call) bool { return time.Since(c.since) >= wait })
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.waits == forGate {
			watch.Reset(wait / 10)
		}
	})
	w.mu.Unlock()
	err := w.gate.lock()
	w.mu.Lock()
	w.waits = forNothing
	watch.Stop()
	w.mu.Unlock()
	return err
}

// apply runs batch in the transaction that was begun and commits it. On an error
// nothing of it is left.
func (w *writer) apply(batch []*call) (*tx, error) {
	t := &tx{session: w.conn, names: &w.s.names, histories: &w.s.histories, now: w.s.now(), full: w.s.reserve.isSpent()}
	var err error
	for _, c := range batch {
		if c.accepts && t.full {
			continue // answered below
		}
		if err = c.run(t); err != nil {
			break
		}
	}
	if err == nil {
		err = t.flush()
	}
	if err == nil {
		_, err = w.conn.exec(commit)
	}
	if err != nil {
		w.conn.exec(rollback) // SQLite may have done it already
		return nil, err
	}
	return t, nil
}

// alone gives c a transaction of its own, and one more try if it was the disk
// that failed it: spending the reserve has made room.
func (w *writer) alone(c *call) {
	var t *tx
	var err error
	for range 2 {
		if _, err = w.conn.exec(begin); err != nil {
			break
		}
		if t, err = w.apply([]*call{c}); err == nil {
			w.answer(t, []*call{c}, w.s.intact())
			return
		}
		if !noSpace(err) || !w.s.reserve.spend() {
			break
		}
	}
	c.done <- explain(err)
}

// answer tells the callers of a committed batch, and all who wait for jobs.
func (w *writer) answer(t *tx, batch []*call, err error) {
	if err == nil {
		t.committed()
		if t.ready {
			w.s.wake.ring()
		}
	}
	for _, c := range batch {
		if err == nil && c.accepts && t.full {
			c.done <- w.s.reserve.refusal()
			continue
		}
		if c.point != "" {
			crashpoint.At(c.point)
		}
		c.done <- err
	}
}

// intact reports whether the path still names the file that is open. Inserts into
// a deleted database succeed, so that nothing else would tell.
func (s *Store) intact() error {
	if s.replaced.Load() {
		return errReplaced
	}
	if now, err := identify(s.path); err != nil || now != s.file {
		s.replaced.Store(true)
		return errReplaced
	}
	return nil
}

var errReplaced = store.WithHint(store.ErrReplaced, hintReplaced)

// fileID tells files apart for as long as one is open.
type fileID struct{ dev, ino uint64 }

// whoami is what this process writes into the turnstile for those who wait.
var whoami = sync.OnceValue(func() string {
	host, _ := os.Hostname()
	name := "?"
	if exe, err := os.Executable(); err == nil {
		name = exe
	}
	return fmt.Sprintf("pid %d on %s (%s)", os.Getpid(), host, name)
})
