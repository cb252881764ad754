// Package bulk changes many jobs at once as one thing with a name of its own, which
// can be counted before it happens, stopped on its way, resumed, and taken back.
//
// [Freeze] walks over the jobs that a query matches and remembers which they are.
// [Frozen.Run] then changes these and no others, a batch at a time, each batch as one
// call of the store. Before every batch it records how far it is, so that a KILL at
// any moment leaves a [store.Change] from which [Resume] goes on. [Undo] takes a
// change back while the store keeps what that needs.
//
// Jobs that are held by a process are never touched.
package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Verb is what is done to each job.
type Verb string

// The verbs.
const (
	Retry      Verb = "retry"      // to its queue, now
	Reschedule Verb = "reschedule" // to run at a moment
	Bury       Verb = "bury"       // to the dead set
	Delete     Verb = "delete"
	Move       Verb = "move"  // from its queue to another
	Clear      Verb = "clear" // delete, from a queue
)

// from are the places from which a verb takes jobs.
var from = map[Verb][]store.Place{
	Retry:      {store.Scheduled, store.Retrying, store.Dead},
	Reschedule: {store.Ready, store.Scheduled, store.Retrying, store.Dead},
	Bury:       {store.Ready, store.Scheduled, store.Retrying},
	Delete:     {store.Ready, store.Scheduled, store.Retrying, store.Dead},
	Move:       {store.Ready},
	Clear:      {store.Ready},
}

// Places are where jobs must be for the verb to be possible.
func (v Verb) Places() []store.Place { return slices.Clone(from[v]) }

// Order is what somebody wants done to which jobs.
type Order struct {
	Verb  Verb
	Query *query.Query
	At    time.Time // Reschedule: when they run
	Queue string    // Move: where they go
	Limit int64     // at most so many, those in front; 0: all
	By    string    // who wants it, as user@host
	Why   string
}

const (
	// UndoFor is for how long a change may be taken back.
	UndoFor = 10 * time.Minute
	// MaxUndoBytes is the most, in payloads, that a store is made to keep for that.
	MaxUndoBytes = 64 << 20
)

// Frozen is an order and the jobs that it was found to be about.
type Frozen struct {
	ID    string
	Order Order
	Count int64
	Bytes int64 // of their payloads
	Soon  int64 // of those that wait for a time to come, how many run within a minute anyway
	// Searched is among how many jobs they were found.
	Searched int64
	// ForGood, set before Run, has the store keep nothing for Undo, for which it may
	// have no room.
	ForGood bool

	st     store.Inspector
	query  *query.Query // the order's, within the verb's places
	set    set
	latest time.Time // the last that had happened to any of them
	change store.Change
	resume *rest // not nil: of the run that this one goes on with
}

// Undoable reports whether the change can be taken back. One that would have the
// store keep too much is for good, too.
func (f *Frozen) Undoable() bool { return !f.ForGood && f.Bytes <= MaxUndoBytes }

// Resumable reports whether [Resume] could go on with the change if it were stopped.
// One with a limit cannot be told from its neighbours later: the same order, with a
// smaller limit, goes on with it as well.
func (f *Frozen) Resumable() bool { return f.Order.Limit == 0 }

// Total is how many jobs the whole change is about, those that earlier runs changed
// included.
func (f *Frozen) Total() int64 { return max(f.Count, f.change.Wanted) }

// ErrNothingToResume says that a change is over, or never was one that can be gone on
// with.
var ErrNothingToResume = errors.New("there is nothing to go on with")

// Freeze finds out which jobs an order is about. Nothing is changed yet. looked, if
// not nil, is told how many jobs were looked at, of about how many.
func Freeze(ctx context.Context, st store.Inspector, o Order, looked func(n, of int64)) (*Frozen, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("bulk: %s: %w", o.Verb, err)
	}
	o.At = o.At.UTC().Truncate(time.Millisecond) // as exact as any store keeps it
	f := &Frozen{Order: o, st: st, query: o.selection()}
	if err := f.find(ctx, looked); err != nil {
		return nil, fmt.Errorf("bulk: %s: %w", o.Verb, err)
	}
	var err error
	f.ID, err = NewID(ctx, st)
	return f, err
}

func (o *Order) check() error {
	switch {
	case from[o.Verb] == nil:
		return errors.New("there is no such verb")
	case o.Query == nil:
		return errors.New("of which jobs?")
	case o.Verb == Reschedule && o.At.IsZero():
		return errors.New("to when?")
	case o.Verb == Move && o.Queue == "":
		return errors.New("to which queue?")
	}
	return nil
}

// selection is the query, within what the verb can be done to.
func (o *Order) selection() *query.Query {
	q := o.Query.And(query.InPlaces(from[o.Verb]...))
	if o.Verb == Move {
		q = q.And(query.NotInQueue(o.Queue))
	}
	return q
}

func (f *Frozen) find(ctx context.Context, looked func(n, of int64)) error {
	search := query.Search{Looked: func(n, of int64) {
		f.Searched = n
		if looked != nil {
			looked(n, of)
		}
	}}
	soon := time.Now().Add(time.Minute)
	var hashes []uint64
	for e, err := range f.query.Find(ctx, f.st, search) {
		if err != nil {
			return err
		}
		job, _ := wire.Parse(e.Payload) // of one that cannot be read, what can be
		touched := query.Touched(&e, job)
		if f.resume != nil && !f.resume.admits(&e, touched) {
			continue
		}
		if touched.After(f.latest) {
			f.latest = touched
		}
		if (e.Place == store.Scheduled || e.Place == store.Retrying) && e.At.Before(soon) {
			f.Soon++
		}
		f.Bytes += int64(len(e.Payload))
		hashes = append(hashes, hash(e.Key))
		if f.Count++; f.Count == f.Order.Limit {
			break
		}
	}
	f.set = newSet(hashes)
	return nil
}

// rest is what Resume needs to know of a change that did not come to its end.
type rest struct {
	Query  string    `json:"query"`
	At     time.Time `json:"at,omitzero"`
	Queue  string    `json:"queue,omitempty"`
	Limit  int64     `json:"limit,omitempty"`
	Bytes  int64     `json:"bytes"`
	Latest time.Time `json:"latest,omitzero"` // the last that had happened to any of the frozen jobs
	// Trying is how many jobs the batch has that was sent next, Marks some of them by
	// their keys: none of them is there any more if the batch was done.
	Trying int      `json:"trying,omitempty"`
	Marks  []string `json:"marks,omitempty"`

	verb Verb
	seen bool // one of Marks
}

// skew is how far ahead of ours the clocks of others may be before we stop believing
// the times they wrote.
const skew = time.Minute

// admits reports whether e may be one of the jobs that were frozen then and have not
// been changed yet. What happened to a job after that gave it another time.
func (r *rest) admits(e *store.Entry, touched time.Time) bool {
	if r.verb == Reschedule && e.At.Sub(r.At).Abs() < time.Millisecond {
		return false
	}
	r.seen = r.seen || len(r.Marks) > 0 && slices.Contains(r.Marks, mark(e.Key))
	return !touched.After(r.Latest)
}

func (f *Frozen) rest(batch []store.Pick) json.RawMessage {
	r := rest{
		Query: f.Order.Query.String(), At: f.Order.At, Queue: f.Order.Queue, Limit: f.Order.Limit,
		Bytes: f.Bytes, Latest: f.latest, Trying: len(batch),
	}
	const marks = 8
	for i := 0; i < len(batch); i += max(1, len(batch)/marks) {
		r.Marks = append(r.Marks, mark(batch[i].Key))
	}
	text, _ := json.Marshal(r) // nothing in it can fail
	return text
}

// Resume freezes again what is left to do of a change that was stopped or killed. Of
// the jobs that came after its first freeze none is in it.
func Resume(ctx context.Context, st store.Inspector, id string, looked func(n, of int64)) (*Frozen, error) {
	c, err := Lookup(ctx, st, id)
	if err != nil {
		return nil, err
	}
	f, err := resume(ctx, st, c, looked)
	if err != nil {
		return nil, fmt.Errorf("bulk: resume %s: %w", c.ID, err)
	}
	return f, nil
}

func resume(ctx context.Context, st store.Inspector, c store.Change, looked func(n, of int64)) (*Frozen, error) {
	r := &rest{verb: Verb(c.Verb)}
	switch {
	case from[r.verb] == nil || len(c.Rest) == 0:
		return nil, fmt.Errorf("%w: %s is no change to many jobs", ErrNothingToResume, c.Verb)
	case !c.Undone.IsZero():
		return nil, fmt.Errorf("%w: it was undone", ErrNothingToResume)
	case !c.Ended.IsZero():
		return nil, fmt.Errorf("%w: it has come to its end", ErrNothingToResume)
	}
	if err := json.Unmarshal(c.Rest, r); err != nil {
		return nil, err
	}
	if left := r.Limit - c.Done - c.Missed; r.Limit > 0 {
		return nil, store.WithHint(fmt.Errorf("%w: it had a limit", ErrNothingToResume), "the same again with --limit %d goes on with it", max(left, 1))
	}
	q, err := query.Parse(r.Query, c.Began)
	if err != nil {
		return nil, err
	}
	if latest := c.Began.Add(skew); r.Latest.After(latest) {
		r.Latest = latest
	}
	o := Order{Verb: r.verb, Query: q, At: r.At, Queue: r.Queue, By: c.By, Why: c.Why}
	f := &Frozen{ID: c.ID, Order: o, st: st, query: o.selection(), change: c, resume: r}
	if err := f.find(ctx, looked); err != nil {
		return nil, err
	}
	f.settle(r)
	return f, nil
}

// settle counts what the run before did in its last batch, of which it could not
// say, and what has gone its own way since. Never more is left than was confirmed.
func (f *Frozen) settle(r *rest) {
	c := &f.change
	if r.Trying > 0 && !r.seen {
		c.Done += min(int64(r.Trying), c.Wanted-c.Done-c.Missed)
	}
	left := max(0, c.Wanted-c.Done-c.Missed)
	if surplus := f.Count - left; surplus > 0 {
		f.set.drop(surplus)
		f.Count = left
	}
	c.Missed += left - f.Count
	f.latest, f.Bytes = r.Latest, r.Bytes
}
