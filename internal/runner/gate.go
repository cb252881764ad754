package runner

import (
	"context"
	"sync"
)

// gate lets in those who fetch, promote and rescue, and calls them off.
type gate struct {
	mu      sync.Mutex
	parent  context.Context
	ctx     context.Context // of those who are in; ended while the gate is closed
	end     context.CancelFunc
	changed chan struct{} // closed when the gate opens; nil while it is open
}

// open opens the gate for the first time. Whoever is let in is called off when
// parent ends, too.
func (g *gate) open(parent context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parent = parent
	g.ctx, g.end = context.WithCancel(parent)
}

// close calls off whoever is in. A second call does nothing.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed == nil {
		g.end()
		g.changed = make(chan struct{})
	}
}

// reopen takes close back.
func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed != nil {
		g.ctx, g.end = context.WithCancel(g.parent)
		close(g.changed)
		g.changed = nil
	}
}

// while calls run each time that the gate opens, until ctx ends. run returns when
// its context ends.
func (g *gate) while(ctx context.Context, run func(context.Context)) {
	for ctx.Err() == nil {
		g.mu.Lock()
		in, changed := g.ctx, g.changed
		g.mu.Unlock()
		if changed == nil {
			run(in)
			<-in.Done() // run may have found that there is no more to do
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
