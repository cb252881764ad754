package ebb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/ebbjobs/ebb/wire"
)

// Job is a kind of job whose arguments are an A. It is made once by [Define], and a
// program that only enqueues needs no handler for it.
type Job[A any] struct{ def *definition }

// definition is a Job without its type.
type definition struct {
	kind     string
	defaults options
	codec    *codec
}

// Define makes a kind of job. The kind is its name on the wire, Sidekiq's class,
// and never changes while jobs of it wait; opts are its defaults.
//
// A is what its handler takes. The exported fields of a struct, in their order, are
// Sidekiq's positional arguments, so that
//
//	type Welcome struct {
//		UserID int64
//		Locale string   `ebb:"optional"`
//		Extras []string `ebb:"rest"`
//	}
//
// is Ruby's perform(user_id, locale = nil, *extras). An optional field may be
// missing or null, and stays zero then; at the end of the arguments a zero one is
// not sent. A rest field takes what is left, and "-" leaves a field out. The order
// of fields is wire format: add new ones at the end, as optional. Other types than
// structs, and those with a JSON form of their own such as time.Time, travel as a
// single argument, struct{} as none, and with [AsObject] a struct or map travels as
// one JSON object. Each value is encoded by the rules of encoding/json. Numbers
// keep all their digits: in an empty interface they arrive as json.Number.
//
// Define panics if the kind, a default, or the shape of A is wrong.
func Define[A any](kind string, opts ...Option) Job[A] {
	typ := reflect.TypeFor[A]()
	defaults, optErr := options{}.with(atDefine, opts)
	codec, err := newCodec(kind, typ, defaults.asObject)
	if err := errors.Join(checkName("kind", kind), optErr, err); err != nil {
		panic(fmt.Sprintf("ebb: Define[%v](%q): %v", typ, kind, err))
	}
	return Job[A]{&definition{kind: kind, defaults: defaults, codec: codec}}
}

// Kind returns the job's name on the wire; empty if Define did not make it.
func (j Job[A]) Kind() string {
	if j.def == nil {
		return ""
	}
	return j.def.kind
}

// Enqueue puts a job into its queue, or into the scheduled set with [In] or [At].
// A nil error means that the store keeps it, as durably as it promises to.
//
// A push whose fate is unknown, since the store was out of reach or its reply was
// lost, is repeated for up to three seconds, unless ctx ends sooner. Repeating makes
// no second copy. If there is no clear answer by then, the error is [ErrUncertain].
//
// The Ref has a jid if and only if the job was accepted, or may have been. So it has
// one beside the error of a middleware that failed after the push, and none without
// any error where a middleware dropped the job.
func (j Job[A]) Enqueue(ctx context.Context, c *Client, args A, opts ...Option) (Ref, error) {
	if j.def == nil {
		return Ref{}, errUndefined
	}
	o, err := j.def.defaults.with(atEnqueue, opts)
	if err != nil {
		return Ref{}, fmt.Errorf("ebb: enqueue %s: %w", j.def.kind, err)
	}
	e, err := j.def.envelope(reflect.ValueOf(&args).Elem(), &o, time.Now())
	if err != nil {
		return Ref{}, fmt.Errorf("ebb: enqueue %s: %w", j.def.kind, err)
	}
	return c.enqueue(ctx, &e, &o)
}

// EnqueueMany is Enqueue for many jobs in few round trips, with the same options for
// all. The refs are in the order of args; one without a jid was not enqueued. Nothing
// is sent unless all can be encoded. A large batch goes in parts of up to a thousand,
// and an error ends it: those with a jid are accepted, or may be if it is
// [ErrUncertain]. An empty batch does nothing.
func (j Job[A]) EnqueueMany(ctx context.Context, c *Client, args []A, opts ...Option) ([]Ref, error) {
	if j.def == nil {
		return nil, errUndefined
	}
	o, err := j.def.defaults.with(atEnqueue, opts)
	if err == nil && o.jid != "" && len(args) > 1 {
		err = errors.New("option JID names one job, and the batch has more")
	}
	if err != nil {
		return nil, fmt.Errorf("ebb: enqueue %s: %w", j.def.kind, err)
	}
	batch, now := make([]Envelope, len(args)), time.Now()
	for i, all := 0, reflect.ValueOf(args); i < len(args); i++ {
		if batch[i], err = j.def.envelope(all.Index(i), &o, now); err != nil {
			return nil, fmt.Errorf("ebb: enqueue %s: args[%d]: %w", j.def.kind, i, err)
		}
	}
	return c.enqueueMany(ctx, batch, &o)
}

// Handle makes fn run the jobs of this kind in p; it may be a method value, whose
// receiver holds what it needs. What fn returns is the verdict on the job, see
// [Snooze] and its neighbours; nil is done. A panic is an error with its stack. Jobs
// whose arguments do not fit fail without reaching fn, with an [*ArgError].
//
// Handle panics if fn is nil, an option means nothing here, the kind has a handler in
// p already, or p was started.
func (j Job[A]) Handle(p *Process, fn func(ctx context.Context, args A) error, opts ...Option) {
	if j.def == nil {
		panic(errUndefined.Error())
	}
	o, err := j.def.defaults.with(atHandle, opts)
	if fn == nil {
		err = errors.Join(err, errors.New("the function is nil"))
	}
	if err != nil {
		panic(fmt.Sprintf("ebb: Handle(%q): %v", j.def.kind, err))
	}
	p.register(handler{j.def.kind, o, func(ctx context.Context, job *wire.Job) error {
		args, err := j.Decode(job.Args)
		if err != nil {
			return err
		}
		return fn(ctx, args)
	}})
}

// Decode reads the array of arguments of a payload as a handler would get it. What
// does not fit is an [*ArgError].
func (j Job[A]) Decode(args json.RawMessage) (A, error) {
	var a A
	if j.def == nil {
		return a, errUndefined
	}
	if err := j.def.codec.decode(args, reflect.ValueOf(&a).Elem()); err != nil {
		return a, fmt.Errorf("ebb: decode %s: %w", j.def.kind, err)
	}
	return a, nil
}

var errUndefined = errors.New("ebb: a job that was not made by Define")

// envelope is one job with these arguments, complete.
func (d *definition) envelope(args reflect.Value, o *options, now time.Time) (Envelope, error) {
	raw, err := d.codec.encode(args)
	if err != nil {
		return Envelope{}, err
	}
	e := Envelope{Kind: d.kind, Args: raw}
	e.fill(o, now)
	return e, nil
}
