package runner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/beat"
	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/store"
)

// move is a way out of keeping, or a checkpoint within it.
type move int

const (
	save move = iota
	ack
	retry
	bury
	requeue
	moves int = iota
)

func (m move) String() string {
	return [...]string{"checkpoint", "ack", "retry", "bury", "requeue"}[m]
}

// entry is a verdict on its way to the store.
type entry struct {
	move    move
	attempt *Attempt // nil: a stray token, known only to the store
	done    store.Done
	later   store.Later
	fate    string // for the stop report
	took    time.Duration
	cause   error        // of the fate
	written chan<- error // save: told once, with capacity 1; nil: nobody waits
}

func (e *entry) token() store.Token {
	if e.move == ack {
		return e.done.Token
	}
	return e.later.Token
}

// recorder tells the store the verdicts, one call at a time on one lane. What
// arrives while a call is under way rides in the next one, so that many short jobs
// cost few calls. It repeats a call until it is answered: no verdict is dropped
// before the process itself ends.
type recorder struct {
	fetcher store.Fetcher
	id      store.Identity
	outage  *beat.Outage
	// settled gets what the store has answered. lost says for each entry whether
	// its job was no longer held.
	settled func(batch []entry, lost []bool)
	dropped func(e entry, err error) // told of each verdict that had to be given up
	window  time.Duration            // how long a verdict waits for others; belongs to run

	mu      sync.Mutex
	pending [moves][]entry
	sending bool
	seq     uint64
	wake    chan struct{} // capacity 1: a level, not a count
	now     chan struct{} // as wake, but without waiting for company
	again   chan struct{} // capacity 1: the store may be back
	empty   chan struct{} // closed once nothing is pending or under way; nil: nobody waits
}

// put hands over a verdict. It never waits.
func (r *recorder) put(entries ...entry) {
	r.mu.Lock()
	for _, e := range entries {
		r.pending[e.move] = append(r.pending[e.move], e)
	}
	r.mu.Unlock()
	r.rouse()
}

func (r *recorder) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// save asks for the checkpoint of a to be written, and tells written if it is not
// nil.
func (r *recorder) save(a *Attempt, written chan<- error) {
	r.put(entry{move: save, attempt: a, written: written, later: store.Later{Token: a.token}})
	if written != nil {
		r.hurry()
	}
}

// hurry sends what there is without waiting for more.
func (r *recorder) hurry() {
	r.mu.Lock()
	nothing := r.left() == 0
	r.mu.Unlock()
	if nothing {
		return
	}
	select {
	case r.now <- struct{}{}:
	default:
	}
}

// run records until ctx ends. What is left then was never recorded: the store
// still has this process holding it.
func (r *recorder) run(ctx context.Context) {
	company := time.NewTimer(0)
	defer company.Stop()
	for ctx.Err() == nil {
		select {
		case <-r.now:
		case <-ctx.Done():
		case <-r.wake:
			company.Reset(r.window)
			select {
			case <-r.now:
			case <-company.C:
			case <-ctx.Done():
			}
		}
		r.pass(ctx)
	}
	r.abandon(context.Cause(ctx))
}

// pass sends what is pending, one call for each move.
func (r *recorder) pass(ctx context.Context) {
	for m := range move(moves) {
		batch := r.take(m)
		if len(batch) == 0 {
			continue
		}
		err := r.send(ctx, m, batch)
		if err != nil {
			r.fail(batch, err)
		}
		if m == ack && err == nil {
			crashpoint.At(crashpoint.AfterAck)
		}
		if ctx.Err() != nil {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sending = false
	if r.left() > 0 {
		r.rouse()
	} else if r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
}

// take removes the next batch of a move.
func (r *recorder) take(m move) []entry {
	r.mu.Lock()
	n := min(len(r.pending[m]), store.MaxBatch)
	batch := r.pending[m][:n:n]
	r.pending[m] = r.pending[m][n:]
	if len(r.pending[m]) == 0 {
		r.pending[m] = nil
	}
	r.sending = r.sending || n > 0
	r.mu.Unlock()
	if m == save {
		batch = latest(batch)
	}
	return batch
}

// latest gives each checkpoint the payload of this moment, which may be later than
// the one it was asked for. One that a verdict has overtaken needs no writing. Where
// somebody waits it is sent without a payload, behind the one that carries it: the
// answer still tells whether the job is held.
func latest(batch []entry) []entry {
	kept := batch[:0]
	for _, e := range batch {
		e.later.Payload = e.attempt.unsavedPayload()
		if e.later.Payload != nil || e.written != nil {
			kept = append(kept, e)
		}
	}
	return kept
}

// recordTimeout bounds one try of a call, not the recording.
const recordTimeout = 10 * time.Second

// send makes one call, repeating it until it is answered or cannot be.
func (r *recorder) send(ctx context.Context, m move, batch []entry) error {
	r.mu.Lock()
	r.seq++
	call := store.Call{By: r.id, Lane: store.LaneVerdict, Seq: r.seq}
	r.mu.Unlock()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		try, cancel := context.WithTimeout(ctx, recordTimeout)
		sent := time.Now()
		err := r.call(try, call, m, batch)
		cancel()
		if err == nil || errors.Is(err, store.ErrNotHeld) {
			r.outage.Note("record", sent, nil)
			r.window = min(time.Since(sent)/2, maxWindow)
			r.settle(batch, err)
			return nil
		}
		if ctx.Err() != nil || beat.Final(err) || errors.Is(err, store.ErrStale) {
			return err
		}
		r.outage.Note("record", sent, err)
		r.rest(ctx, jitter(pause))
	}
}

// rest waits before a call is repeated, but no longer than until retry.
func (r *recorder) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.again:
	case <-ctx.Done():
	}
}

// retry says that the store may be back, for a call that rests.
func (r *recorder) retry() {
	select {
	case r.again <- struct{}{}:
	default:
	}
}

func (r *recorder) call(ctx context.Context, call store.Call, m move, batch []entry) error {
	if m == ack {
		done := make([]store.Done, len(batch))
		for i := range batch {
			done[i] = batch[i].done
		}
		return r.fetcher.Ack(ctx, call, done...)
	}
	later := make([]store.Later, len(batch))
	for i := range batch {
		later[i] = batch[i].later
	}
	switch m {
	case retry:
		return r.fetcher.Retry(ctx, call, later...)
	case bury:
		return r.fetcher.Bury(ctx, call, later...)
	case requeue:
		crashpoint.At(crashpoint.DuringRequeue)
		return r.fetcher.Requeue(ctx, call, later...)
	default:
		return r.fetcher.Checkpoint(ctx, call, later...)
	}
}

// settle tells everyone what became of a batch that was answered.
func (r *recorder) settle(batch []entry, err error) {
	lost := make([]bool, len(batch))
	if missing, ok := errors.AsType[*store.NotHeldError](err); ok {
		tokens := make(map[store.Token]bool, len(missing.Tokens))
		for _, token := range missing.Tokens {
			tokens[token] = true
		}
		for i := range batch {
			lost[i] = tokens[batch[i].token()]
		}
	}
	r.settled(batch, lost)
	for i, e := range batch {
		if e.written == nil {
			continue
		}
		if lost[i] {
			e.written <- verdict.ErrLeaseLost
		} else {
			e.written <- nil
		}
	}
}

// fail gives up a batch: the store was closed under us, or the process ends.
func (r *recorder) fail(batch []entry, err error) {
	for _, e := range batch {
		if e.written != nil {
			e.written <- err
		}
		if e.move != save && e.attempt != nil {
			r.dropped(e, err)
		}
	}
}

// abandon gives up all that is left.
func (r *recorder) abandon(err error) {
	for m := range move(moves) {
		for batch := r.take(m); len(batch) > 0; batch = r.take(m) {
			r.fail(batch, err)
		}
	}
}

// flushEvery is how long a store that was away may be back before flush finds out. It
// is short beside the reserve of the shortest grace.
const flushEvery = 50 * time.Millisecond

// flush returns once everything handed over so far has been recorded, or ctx ends.
func (r *recorder) flush(ctx context.Context) {
	for ctx.Err() == nil {
		r.mu.Lock()
		if r.left() == 0 && !r.sending {
			r.mu.Unlock()
			return
		}
		if r.empty == nil {
			r.empty = make(chan struct{})
		}
		empty := r.empty
		r.mu.Unlock()
		r.hurry()
		r.retry()
		select {
		case <-empty:
		case <-time.After(flushEvery):
		case <-ctx.Done():
		}
	}
}

// left counts what is pending.
func (r *recorder) left() (n int) {
	for _, entries := range r.pending {
		n += len(entries)
	}
	return n
}

// next numbers the call that follows all verdicts.
func (r *recorder) next() store.Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	return store.Call{By: r.id, Lane: store.LaneVerdict, Seq: r.seq}
}
