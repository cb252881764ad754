package runner

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
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

// notice is what handlers are told of a stop.
type notice struct {
	mu   sync.Mutex
	told chan struct{} // closed once they are told
	kill time.Time
	on   bool
}

func (n *notice) give(kill time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kill = kill
	if !n.on {
		n.on = true
		close(n.told)
	}
}

// takeBack is for jobs that ask from here on. Those that were told have been told.
func (n *notice) takeBack() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.on {
		n.on, n.kill, n.told = false, time.Time{}, make(chan struct{})
	}
}

func (n *notice) get() (<-chan struct{}, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.told, n.kill
}

func (n *notice) given() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.on
}

// message is an event, and who waits for it to take effect.
type message struct {
	event lifecycle.Event
	heard chan struct{} // nil: nobody waits
}

// inbox holds events until they are heard. It never fills up: there are no more
// than people and platforms send.
type inbox struct {
	mu       sync.Mutex
	messages []message
	closed   bool
	wake     chan struct{} // capacity 1: a level, not a count
}

func (b *inbox) put(m message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.messages = append(b.messages, m)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

func (b *inbox) take() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages := b.messages
	b.messages = nil
	return messages
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

// view is the lifecycle where everyone can look at it.
type view struct {
	mu      sync.Mutex
	machine *lifecycle.Machine
}

func (v *view) on(e lifecycle.Event) []lifecycle.Action {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.On(e, time.Now())
}

func (v *view) get() (lifecycle.State, lifecycle.Deadlines) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.State(), v.machine.Deadlines()
}

func (v *view) state() lifecycle.State {
	state, _ := v.get()
	return state
}

func (v *view) why() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.Why()
}

func (v *view) grace() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.Grace()
}

func (v *view) next() (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.Next()
}

func (v *view) preview(now time.Time) (time.Duration, lifecycle.Deadlines) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.Grace(), v.machine.Preview(now)
}

// lastWords is what an embedded process takes for its goodbye, whose hour has
// passed while it waited for a deaf job.
const lastWords = 5 * time.Second

// goodbye is when the process must be gone.
func (v *view) goodbye() time.Time {
	_, d := v.get()
	if time.Until(d.Goodbye) <= 0 {
		return time.Now().Add(lastWords)
	}
	return d.Goodbye
}

// journal keeps the phases of a process from its first notice on.
type journal struct {
	mu    sync.Mutex
	notes []store.Phase
	at    time.Time // when the current phase began
	start time.Time // of the stop
}

// enter begins a phase, and says which one ended and how long it took.
func (j *journal) enter(phase string, inFlight int) (before string, took time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	if last := len(j.notes) - 1; last >= 0 {
		took = now.Sub(j.at)
		before, j.notes[last].Took = j.notes[last].Name, took
	}
	if phase == "running" {
		j.notes, j.start = nil, time.Time{}
	} else if j.start.IsZero() {
		j.notes, j.start = nil, now
	}
	j.notes = append(j.notes, store.Phase{Name: phase, InFlight: inFlight})
	j.at = now
	return before, took
}

// phases returns those of the stop, the current one counted until now.
func (j *journal) phases() []store.Phase {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.start.IsZero() {
		return nil
	}
	notes := append([]store.Phase(nil), j.notes...)
	notes[len(notes)-1].Took = time.Since(j.at)
	return notes
}

func (j *journal) began() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.start
}

func (j *journal) total() time.Duration {
	if began := j.began(); !began.IsZero() {
		return time.Since(began)
	}
	return 0
}

// sleep waits for d; it reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// jitter spreads what would otherwise come all at once.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
