package ebb

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Client puts jobs into a store. It may be used by many goroutines at once.
type Client struct {
	store      store.Store
	owned      bool // Close closes the store
	log        *slog.Logger
	maxPayload int
	middleware []Middleware
	id         store.Identity
	lanes      *lanes
	tx         store.Enqueuer // not nil: the caller's own transaction
}

// ClientOption is a setting of a [Client].
type ClientOption func(*Client)

// WithMiddleware adds middleware to what every job passes on its way in, the first
// one outermost.
func WithMiddleware(mw ...Middleware) ClientOption {
	return func(c *Client) { c.middleware = append(c.middleware, mw...) }
}

// WithLogger sets where the client logs; nil means [slog.Default]. It logs no
// arguments, and nothing that it returns as an error.
func WithLogger(log *slog.Logger) ClientOption {
	return func(c *Client) { c.log = log }
}

// WithMaxPayload sets how large a job may be, in bytes, once it is encoded: above
// it, enqueueing ends with [ErrTooLarge]. The default, also for zero or less, is
// 1 MiB.
func WithMaxPayload(bytes int) ClientOption {
	return func(c *Client) { c.maxPayload = bytes }
}

// Open opens the store that url names, such as "sqlite:ebb.db" or
// "redis://localhost:6379/0", whose driver must have been imported. [Client.Close]
// closes it.
func Open(ctx context.Context, url string, opts ...ClientOption) (*Client, error) {
	s, err := store.Open(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("ebb: open: %w", err)
	}
	c := NewClient(s, opts...)
	c.owned = true
	return c, nil
}

// NewClient returns a client of a store that the caller has opened, and closes.
func NewClient(s store.Store, opts ...ClientOption) *Client {
	c := &Client{store: s, id: store.NewIdentity(), lanes: &lanes{}}
	for _, opt := range opts {
		opt(c)
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	if c.maxPayload <= 0 {
		c.maxPayload = wire.DefaultMaxPayload
	}
	return c
}

// Store returns the client's store.
func (c *Client) Store() store.Store { return c.store }

// Close closes the store if [Open] opened it. Calls under way may end with
// [ErrUncertain]. A second call does nothing.
func (c *Client) Close() error {
	if !c.owned {
		return nil
	}
	if err := c.store.Close(); err != nil {
		return fmt.Errorf("ebb: close: %w", err)
	}
	return nil
}

// Pause stops all processes from taking jobs of a queue; what they have taken goes
// on, and new jobs may be enqueued. It counts for every fetch that begins after it
// has returned nil, and lasts until [Client.Unpause], restarts included. A queue that
// does not exist yet may be paused, and one that is paused may be paused again.
func (c *Client) Pause(ctx context.Context, queue string) error { return c.pause(ctx, queue, true) }

// Unpause lets a queue go on. One that is not paused stays as it is.
func (c *Client) Unpause(ctx context.Context, queue string) error { return c.pause(ctx, queue, false) }

func (c *Client) pause(ctx context.Context, queue string, paused bool) error {
	if err := checkQueue(queue); err != nil {
		return err
	}
	if err := c.store.Pause(ctx, queue, paused); err != nil {
		return fmt.Errorf("ebb: pause queue %s: %w", queue, err)
	}
	return nil
}

// InTx returns a client that enqueues within tx, a transaction of the caller's on
// the same database, such as an *sql.Tx of an SQLite store: the jobs are there once
// tx is committed, and never if it is not. It is good for as long as tx is, and
// every call of it ends with [ErrNoTx] if the store cannot join tx, as Redis never
// can.
func (c *Client) InTx(tx any) *Client {
	joined := *c
	joined.owned = false
	if s, ok := c.store.(interface {
		Accepts(tx any) (store.Enqueuer, bool)
	}); ok {
		if joined.tx, ok = s.Accepts(tx); ok {
			return &joined
		}
	}
	joined.tx = noTx{store.WithHint(
		fmt.Errorf("%w: %s, with a %T", ErrNoTx, c.store.Describe().Driver, tx),
		"enqueue after the commit, or keep the jobs in an SQLite store in the same file as your data")}
	return &joined
}

// noTx is a transaction that the store cannot join.
type noTx struct{ err error }

func (n noTx) Push(context.Context, store.Call, ...store.Item) ([]store.Result, error) {
	return nil, n.err
}

func (n noTx) Schedule(context.Context, store.Call, ...store.Item) ([]store.Result, error) {
	return nil, n.err
}

// Ref is a job that was enqueued.
type Ref struct {
	JID   string // empty: not enqueued
	Queue string
	Kind  string
}

// Push enqueues a job of any kind, also one that only another program knows. It
// fails and repeats as [Job.Enqueue] does.
func (c *Client) Push(ctx context.Context, e Envelope, opts ...Option) (Ref, error) {
	o, err := options{queue: e.Queue, tags: e.Tags, jid: e.JID}.with(atEnqueue, opts)
	if err != nil {
		return Ref{}, fmt.Errorf("ebb: push %s: %w", e.Kind, err)
	}
	e.Extra = maps.Clone(e.Extra)
	e.fill(&o, time.Now())
	if err := e.check(); err != nil {
		return Ref{}, fmt.Errorf("ebb: push %s: %w", e.Kind, err)
	}
	return c.enqueue(ctx, &e, &o)
}

// fill completes an envelope by the options.
func (e *Envelope) fill(o *options, now time.Time) {
	e.JID, e.Queue, e.Tags = o.jid, cmp.Or(o.queue, "default"), slices.Clone(o.tags)
	if e.JID == "" {
		e.JID = wire.NewJID(now)
	}
	if len(e.Args) == 0 {
		e.Args = json.RawMessage("[]")
	}
	for _, field := range o.fields {
		if e.Extra == nil {
			e.Extra = make(map[string]json.RawMessage, len(o.fields))
		}
		e.Extra[field.Key] = field.Value
	}
}

// check says what is wrong with an envelope that others have written.
func (e *Envelope) check() error {
	problems := []error{checkName("kind", e.Kind), checkName("jid", e.JID), checkQueue(e.Queue), checkTags(e.Tags)}
	if args := bytes.TrimLeft(e.Args, " \t\r\n"); len(args) == 0 || args[0] != '[' || !json.Valid(args) {
		problems = append(problems, errNoArray)
	}
	for key, value := range e.Extra {
		problems = append(problems, checkField(key))
		if !json.Valid(value) {
			problems = append(problems, fmt.Errorf("the field %q is not JSON", key))
		}
	}
	return errors.Join(problems...)
}

// enqueue takes one complete envelope through the middleware into the store.
func (c *Client) enqueue(ctx context.Context, e *Envelope, o *options) (Ref, error) {
	var ref Ref
	err := c.through(ctx, e, func(ctx context.Context) error {
		now := time.Now()
		item, err := c.item(e, o, now)
		if err != nil {
			return err
		}
		err = c.send(ctx, o.later(now), item)
		if err == nil || errors.Is(err, ErrUncertain) {
			ref = refOf(item)
		}
		return err
	})
	if err != nil {
		return ref, fmt.Errorf("ebb: enqueue %s: %w", e.Kind, err)
	}
	return ref, nil
}

// chunkBytes bounds what one call to the store carries, beside store.MaxBatch.
const chunkBytes = 8 << 20

// enqueueMany is enqueue for a batch. Nothing is sent before all of it has passed.
func (c *Client) enqueueMany(ctx context.Context, batch []Envelope, o *options) ([]Ref, error) {
	refs := make([]Ref, len(batch))
	items := make([]store.Item, 0, len(batch))
	from := make([]int, 0, len(batch)) // where in batch each item comes from
	now := time.Now()
	for i := range batch {
		err := c.through(ctx, &batch[i], func(context.Context) error {
			item, err := c.item(&batch[i], o, now)
			if err == nil {
				items, from = append(items, item), append(from, i)
			}
			return err
		})
		if err != nil {
			return refs, fmt.Errorf("ebb: enqueue %s: args[%d]: %w", batch[i].Kind, i, err)
		}
	}
	for done := 0; done < len(items); {
		n := chunk(items[done:])
		err := c.send(ctx, o.later(now), items[done:done+n]...)
		if err == nil || errors.Is(err, ErrUncertain) {
			for k := done; k < done+n; k++ {
				refs[from[k]] = refOf(items[k])
			}
		}
		if err != nil {
			return refs, fmt.Errorf("ebb: enqueue %d jobs, of which %d are accepted: %w", len(items), done, err)
		}
		done += n
	}
	return refs, nil
}

// through runs final behind the middleware, at most once, and checks again what
// that may have written.
func (c *Client) through(ctx context.Context, e *Envelope, final func(context.Context) error) error {
	if len(c.middleware) == 0 {
		return final(ctx)
	}
	jid, passed := e.JID, false
	return chain(c.middleware, e, func(ctx context.Context) error {
		if passed {
			return errors.New("a middleware called next twice")
		}
		passed = true
		e.JID = cmp.Or(e.JID, jid)
		if err := e.check(); err != nil {
			return fmt.Errorf("after middleware: %w", err)
		}
		return final(ctx)
	})(ctx)
}

// chunk is how many of items one call carries.
func chunk(items []store.Item) int {
	size := 0
	for n := range min(len(items), store.MaxBatch) {
		if size += len(items[n].Payload); size > chunkBytes && n > 0 {
			return n
		}
	}
	return min(len(items), store.MaxBatch)
}

func refOf(item store.Item) Ref { return Ref{JID: item.JID, Queue: item.Queue, Kind: item.Kind} }

// later reports whether the job is for a time to come. A moment that has passed is
// now, whichever clock that is: the store promotes what is due at once.
func (o *options) later(now time.Time) bool { return o.in > 0 || o.at.After(now) }

// item encodes an envelope.
func (c *Client) item(e *Envelope, o *options, now time.Time) (store.Item, error) {
	job := wire.New{
		Kind: e.Kind, JID: e.JID, Queue: e.Queue, Args: e.Args, Tags: e.Tags,
		Retry: o.retry, RetryQueue: o.retryQueue, RetryFor: o.retryFor, NoDead: o.noDead, Backtrace: o.backtrace,
		CreatedAt: now,
		History:   wire.History{Timeout: o.timeout, NoArgs: o.hideArgs},
	}
	if job.Retry == wire.DefaultRetry {
		job.Retry = wire.RetryTrue // some Ruby processes drop a failed job that has no such field
	}
	item := store.Item{JID: e.JID, Queue: e.Queue, Kind: e.Kind}
	due := now
	if o.later(now) {
		item.Delay, item.At = o.in, o.at
		due = now.Add(o.in)
		if !o.at.IsZero() {
			due = o.at
		}
	} else {
		job.EnqueuedAt = now
	}
	if o.expires > 0 {
		job.History.Expires = due.Add(o.expires)
	}
	if len(e.Extra) > 0 {
		for _, key := range slices.Sorted(maps.Keys(e.Extra)) {
			job.Extra = append(job.Extra, wire.Field{Key: key, Value: e.Extra[key]})
		}
	}
	item.Payload = job.Append(make([]byte, 0, 256+len(e.Args)))
	if size := len(item.Payload); size > c.maxPayload {
		return store.Item{}, store.WithHint(
			fmt.Errorf("%w: %d bytes, and the limit is %d", ErrTooLarge, size, c.maxPayload),
			"keep the data elsewhere and pass its name, or raise the limit by WithMaxPayload")
	}
	return item, nil
}

// No further attempt at a push begins after pushBudget; one under way is left to
// the store's own time limits, since cutting it could only make its fate unknown.
const (
	pushBudget = 3 * time.Second
	firstPause = 10 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// refusals are answers by which a store says that it took nothing, beside
// verdict.Refused. Any other error may hide a push that went through.
var refusals = []error{
	store.ErrFull, store.ErrReadOnly, store.ErrCorrupt, store.ErrTooNew, store.ErrReplaced, store.ErrStale,
}

func isRefusal(err error) bool {
	if _, ok := errors.AsType[*verdict.Refused](err); ok {
		return true
	}
	return slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) })
}

// send hands items to the store, and repeats the very same call while its fate is
// unknown: however often it arrives, it counts once.
func (c *Client) send(ctx context.Context, later bool, items ...store.Item) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var to store.Enqueuer = c.store
	if c.tx != nil {
		to = c.tx
	}
	put := to.Push
	if later {
		put = to.Schedule
	}
	if c.tx != nil {
		// Whether it counts is decided by the commit, so there is nothing to repeat.
		_, err := put(ctx, store.Call{By: c.id}, items...)
		return err
	}
	return c.repeat(ctx, put, items)
}

func (c *Client) repeat(ctx context.Context, put putter, items []store.Item) error {
	call := c.lanes.take(c.id)
	defer c.lanes.give(call)
	begun, pause := time.Now(), firstPause
	for attempt := 1; ; attempt++ {
		_, err := put(ctx, call, items...)
		switch {
		case err == nil && attempt > 1:
			c.log.Info("push repeated", "attempt", attempt, "jobs", len(items), "jid", items[0].JID, "took", time.Since(begun))
			return nil
		case err == nil:
			return nil
		case attempt == 1 && isRefusal(err):
			return err
		case isRefusal(err), errors.Is(err, store.ErrClosed), time.Since(begun)+pause > pushBudget:
			return fmt.Errorf("%w: %w", ErrUncertain, err)
		}
		select {
		case <-ctx.Done():
			if !errors.Is(err, ctx.Err()) {
				err = fmt.Errorf("%w, after: %w", ctx.Err(), err)
			}
			return fmt.Errorf("%w: %w", ErrUncertain, err)
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, maxPause)
	}
}

// putter is one of the methods of store.Enqueuer.
type putter func(context.Context, store.Call, ...store.Item) ([]store.Result, error)

// lanes hands out the lanes of a client, one for each call under way. A lane goes
// on with a higher number even if its last call's fate is unknown: that is what
// makes a late copy of that call stale.
type lanes struct {
	mu   sync.Mutex
	idle []store.Call // the last call of each
	made int
}

func (l *lanes) take(by store.Identity) store.Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	call := store.Call{By: by, Lane: store.LanePush + l.made}
	if n := len(l.idle); n > 0 {
		call, l.idle = l.idle[n-1], l.idle[:n-1]
	} else {
		l.made++
	}
	call.Seq++
	return call
}

func (l *lanes) give(call store.Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, call)
}
