package runner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
)

// group is a set of queues with slots of its own. One goroutine fetches for it, on
// a lane of its own, and each slot is a goroutine that runs one job at a time.
type group struct {
	runner *Runner
	lane   int
	conf   store.Group
	plan   store.Plan
	first  int // number of its first slot, counted through all groups

	// work has room for a job for each slot, so that handing out never waits.
	work chan *Attempt

	mu         sync.Mutex
	free       int                // slots
	unrecorded int                // verdicts of this group that the store has not answered yet
	enough     int                // free slots that are worth waking the fetching goroutine for
	freed      chan struct{}      // capacity 1: a level, not a count
	endWait    context.CancelFunc // of the fetch under way; nil: none

	// These belong to the fetching goroutine.
	seq    uint64        // of the last fetch
	handed time.Time     // when jobs were last handed out
	window time.Duration // how long from there a fetch waits for more slots
}

// maxWindow bounds how long a fetch or a verdict waits for company. It is half a
// round trip to the store, if that is shorter.
const maxWindow = 500 * time.Microsecond

func newGroup(r *Runner, number, firstSlot int, conf store.Group) *group {
	return &group{
		runner: r,
		lane:   store.LaneFetch + number,
		conf:   conf,
		plan:   store.Plan{Strict: conf.Strict, Queues: conf.Queues},
		first:  firstSlot,
		work:   make(chan *Attempt, conf.Concurrency),
		free:   conf.Concurrency,
		freed:  make(chan struct{}, 1),
	}
}

// fetch asks for as many jobs as there are free slots, never more, and hands them
// out, until ctx ends. What a fetch brings after that goes back unbegun.
func (g *group) fetch(ctx context.Context) {
	for {
		n, err := g.room(ctx)
		if err != nil {
			return
		}
		epoch, err := g.runner.heart.Regular(ctx)
		if err != nil {
			return
		}
		jobs, err := g.ask(ctx, n)
		if err != nil {
			return
		}
		if len(jobs) == 0 {
			continue
		}
		crashpoint.At(crashpoint.FetchReplied)
		if admit := g.runner.opt.Admit; admit != nil {
			admit(ctx) // before the look at the lease, since it may take its time
		}
		// Across a gap the lease may have ended and others may have rescued these. A
		// beat that knows of them tells.
		if !g.runner.heart.Unbroken(epoch) {
			epoch, err = g.runner.heart.Confirm(ctx)
		}
		if err != nil || ctx.Err() != nil {
			g.giveBack(jobs)
			return
		}
		g.handOut(jobs, epoch)
	}
}

func (g *group) handOut(jobs []*Attempt, epoch uint64) {
	g.mu.Lock()
	g.free -= len(jobs)
	g.mu.Unlock()
	for _, a := range jobs {
		a.epoch = epoch
		g.work <- a
	}
	g.handed = time.Now()
}

// ask sends one fetch, repeating it until it is answered. An error means that there
// will be no more. What the store may have moved then is given back when a beat
// shows it.
func (g *group) ask(ctx context.Context, n int) ([]*Attempt, error) {
	r := g.runner
	g.seq++
	call := store.Call{By: r.opt.ID, Lane: g.lane, Seq: g.seq}
	wait := r.opt.Poll
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		waiting, endWait := context.WithCancel(ctx)
		g.mu.Lock()
		g.endWait = endWait
		g.mu.Unlock()
		r.keeping.asking(g.lane)
		r.record.hurry() // so that a store can write both at once
		sent := time.Now()
		held, woken, err := r.opt.Store.Fetch(waiting, call, g.plan, n, wait)
		endWait()
		if err == nil {
			r.outage.Note("fetch", sent, nil)
			if woken == store.Got {
				g.window = min(time.Since(sent)/2, maxWindow)
			}
			jobs := make([]*Attempt, len(held))
			for i, h := range held {
				jobs[i] = newAttempt(g, h)
			}
			r.keeping.answered(g.lane, jobs)
			return jobs, nil
		}
		if errors.Is(err, store.ErrLeaseLost) {
			// An answer: the next fetch comes after a beat has registered us again.
			r.outage.Note("fetch", sent, nil)
			r.keeping.answered(g.lane, nil)
			if sleep(ctx, jitter(pause)) {
				_, err = r.heart.Confirm(ctx)
				return nil, err
			}
			return nil, context.Cause(ctx)
		}
		if ctx.Err() == nil && !errors.Is(err, store.ErrLeft) && !errors.Is(err, store.ErrClosed) {
			r.outage.Note("fetch", sent, err)
			wait = 0 // to hear soon that the store is back
			if sleep(ctx, jitter(pause)) {
				continue
			}
		}
		r.keeping.answered(g.lane, nil)
		return nil, err
	}
}

// hurry ends the wait of a fetch under way, so that what it may have moved is
// known soon.
func (g *group) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.endWait != nil {
		g.endWait()
	}
}

// room waits until there is a free slot, and says how many jobs may be fetched.
//
// A slot is free as soon as its handler has returned, before the store knows: so
// verdicts travel together and slots do not wait for them. How many may be on
// their way is bounded all the same, since a job whose verdict is lost in a crash
// runs again: at most two for each slot, one of which may still be running.
//
// Where jobs are shorter than the way to the store, the first slot that is free
// waits a moment for the others: else it would be gone for its one job when they
// need theirs. Longer jobs never wait.
func (g *group) room(ctx context.Context) (int, error) {
	for {
		pause := time.Until(g.handed.Add(g.window))
		g.mu.Lock()
		n := min(g.free, g.conf.Concurrency+g.free-g.unrecorded, store.MaxBatch)
		g.enough = 1
		if n > 0 && n < g.conf.Concurrency && pause > 0 {
			g.enough = g.conf.Concurrency
		}
		wait := g.enough > 1
		g.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case wait:
			t := time.NewTimer(pause)
			select {
			case <-g.freed:
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
		case n > 0:
			return n, nil
		default:
			select {
			case <-g.freed:
			case <-ctx.Done():
			}
		}
	}
}

// giveBack returns jobs to their queues that no handler has seen.
func (g *group) giveBack(jobs []*Attempt) {
	entries := make([]entry, 0, len(jobs))
	for _, a := range jobs {
		if a.skip() {
			entries = append(entries, entry{move: requeue, attempt: a, later: store.Later{Token: a.token}, fate: "handed back"})
		} else {
			g.runner.keeping.forget(a)
		}
	}
	g.handOver(0, entries...)
	g.runner.keeping.ended(len(jobs))
}

// handOver gives verdicts to the recorder, and slots back.
func (g *group) handOver(slots int, entries ...entry) {
	g.runner.record.put(entries...)
	g.account(slots, len(entries))
}

// account changes the counts that room looks at.
func (g *group) account(slots, verdicts int) {
	g.mu.Lock()
	g.free += slots
	g.unrecorded += verdicts
	wake := g.free >= g.enough
	g.mu.Unlock()
	if !wake {
		return
	}
	select {
	case g.freed <- struct{}{}:
	default:
	}
}

// slot runs jobs until there will be no more.
func (g *group) slot(name string) {
	ended := false
	defer func() {
		if !ended { // a handler called runtime.Goexit, as a test's FailNow does
			g.runner.slots.Go(func() { g.slot(name) })
		}
	}()
	for a := range g.work {
		g.serve(a, name)
	}
	ended = true
}

// serve takes one job to its verdict.
func (g *group) serve(a *Attempt, slot string) {
	h, err := g.runner.opt.Handlers[a.job.Kind], errGoexit
	defer func() {
		crashpoint.At(crashpoint.BeforeAck)
		if e, held := a.verdict(h, err); held {
			e.took = a.took()
			g.handOver(1, e)
		} else {
			g.runner.lost(a)
			g.account(1, 0)
		}
		g.runner.keeping.ended(1)
	}()
	if a.job.History.Suspect {
		err = g.runner.suspect.watch(a, func() error { return a.run(slot, h) })
		return
	}
	err = a.run(slot, h)
}
