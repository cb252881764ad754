package ebb

import (
	"context"
	"errors"
	"fmt"

	"github.com/ebbjobs/ebb/internal/runner"
	"github.com/ebbjobs/ebb/wire"
)

// handler is what a process does with jobs of one kind.
type handler struct {
	kind string
	opts options
	run  func(ctx context.Context, job *wire.Job) error
}

// HandleKind makes run the handler of a kind that is known only by name: of jobs that
// other programs define, or that are passed on as they are. It gets the job as it
// was fetched; its Args are as middleware has left them, its payload is untouched. What
// run returns is the verdict, as in [Job.Handle].
//
// HandleKind panics if kind is no name for a job, run is nil, an option means nothing
// here, the kind has a handler in p already, or p was started.
func (p *Process) HandleKind(kind string, run func(ctx context.Context, job *wire.Job) error, opts ...Option) {
	o, err := options{}.with(atHandle, opts)
	err = errors.Join(checkName("kind", kind), err)
	if run == nil {
		err = errors.Join(err, errors.New("the function is nil"))
	}
	if err != nil {
		panic(fmt.Sprintf("ebb: HandleKind(%q): %v", kind, err))
	}
	p.register(handler{kind, o, run})
}

// register gives the process a handler. It panics, as for any mistake of the
// program itself, if the kind has one already or the process was started.
func (p *Process) register(h handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runner != nil || p.over {
		panic(fmt.Sprintf("ebb: handler for %s comes after the process was started", h.kind))
	}
	if p.handlers[h.kind] != nil {
		panic(fmt.Sprintf("ebb: two handlers for %s", h.kind))
	}
	p.handlers[h.kind] = &runner.Handler{
		Run: served(p.config.Middleware, h.run),
		Policy: runner.Policy{
			Retry: h.opts.retry, RetryFor: h.opts.retryFor, RetryQueue: h.opts.retryQueue, NoDead: h.opts.noDead,
			Backtrace: h.opts.backtrace, Timeout: h.opts.timeout, Backoff: h.opts.backoff,
		},
	}
}
