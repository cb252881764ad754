package ebb

import (
	"context"
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
