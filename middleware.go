package ebb

import (
	"context"
	"encoding/json"

	"github.com/ebbjobs/ebb/wire"
)

// Envelope is a job without the types of its arguments: what middleware sees, and
// what [Client.Push] sends to a kind that only another program knows.
type Envelope struct {
	Kind  string
	JID   string          // empty in Push: made up
	Queue string          // empty in Push: the Queue option, else "default"
	Args  json.RawMessage // an array; empty in Push: no arguments
	Tags  []string
	// Extra are further fields of the payload, beside those that have a meaning: the
	// place for headers such as a trace or a tenant. Nil until there are any.
	Extra map[string]json.RawMessage
}

// Middleware wraps the enqueueing of a job, where a [Client] was given it, or the
// run of a job, where a [Process] was. The first one given is the outermost.
//
// In a client, next pushes the job. What middleware changes in e before next is
// what is pushed; a jid that it empties comes back. Not calling next drops the
// job: Enqueue then returns what the middleware returned, and a Ref without a jid.
// A second call of next is an error. In [Job.EnqueueMany] every job passes alone,
// and next returns nil before the whole batch is sent.
//
// In a process, next runs the handler and returns its verdict, and what the
// middleware returns is the verdict that counts. Changes of e.Args before next
// reach the handler in this run; the stored payload stays as it was.
type Middleware func(ctx context.Context, e *Envelope, next func(context.Context) error) error

// chain nests final in mw, the first outermost.
func chain(mw []Middleware, e *Envelope, final func(context.Context) error) func(context.Context) error {
	if len(mw) == 0 {
		return final
	}
	return func(ctx context.Context) error {
		return mw[0](ctx, e, chain(mw[1:], e, final))
	}
}

// envelopeOf shows a fetched job to middleware.
func envelopeOf(job *wire.Job) *Envelope {
	e := &Envelope{Kind: job.Kind, JID: job.JID, Queue: job.Queue, Args: job.Args, Tags: job.Tags}
	for _, field := range job.Extra() {
		if e.Extra == nil {
			e.Extra = make(map[string]json.RawMessage)
		}
		e.Extra[field.Key] = field.Value
	}
	return e
}

// served is run behind mw: what a process calls for each job.
func served(mw []Middleware, run func(context.Context, *wire.Job) error) func(context.Context, *wire.Job) error {
	if len(mw) == 0 {
		return run
	}
	return func(ctx context.Context, job *wire.Job) error {
		e := envelopeOf(job)
		return chain(mw, e, func(ctx context.Context) error {
			seen := *job
			seen.Args = e.Args
			return run(ctx, &seen)
		})(ctx)
	}
}
