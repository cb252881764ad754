// Package runner is the heart of a process that runs jobs: it fetches what free
// slots can take, runs it, records the verdicts, keeps the lease, and stops in the
// order in which data flows: fetch, jobs, record, heartbeat, store.
//
// Each job it holds is in the keeping from the answer of its fetch until the
// answer to its verdict. What the store has and the keeping lacks, or the other
// way round, comes out with the next beats.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbjobs/ebb/internal/beat"
	"github.com/ebbjobs/ebb/internal/promote"
	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Options are what a process is made of. Store, ID, Log, Groups, Beat, TTL and Poll
// must be set.
type Options struct {
	Store    store.Store
	ID       store.Identity
	Log      *slog.Logger
	Self     store.Presence // what others see of the process and does not change
	Groups   []store.Group
	Handlers map[string]*Handler // by kind
	Stop     lifecycle.Config

	Beat time.Duration // between two beats
	TTL  time.Duration // of the lease
	Poll time.Duration // the longest wait of one fetch

	// Embedded: the process lives on after the stop, so a job that does not return
	// stays held until it does.
	Embedded bool
	// EndCutOff ends the jobs' contexts when the lease must be about to lapse, since
	// no beat was answered. Else they go on, and may run beside their rescued selves.
	// It makes them sure that the lease lasts until then, so nobody may shorten it.
	EndCutOff bool

	Poison int // as in rescue.Judge

	// Admit is called with jobs that were fetched, which begin when it returns, or go
	// back unbegun if its context has ended by then. It must not take longer than a
	// few seconds. Nil: all begin at once.
	Admit func(context.Context)

	GraceFrom string // where Stop.Grace comes from, in words

	RSS     func() int64  // nil: not told
	DeadMax int           // 0: as the store does
	DeadAge time.Duration // 0: as the store does
}

// leastSuspicion is how long a process has to say that it lives, however often it
// beats: a connection that broke takes that long to be made anew.
const leastSuspicion = time.Second

// Runner runs the jobs of one process, once.
type Runner struct {
	opt    Options
	log    *slog.Logger
	shared bool // with Ruby, whose jobs are not ours to fail

	outage  *beat.Outage
	heart   *beat.Heart
	keeping *keeping
	record  *recorder
	groups  []*group
	slots   sync.WaitGroup

	jobs    context.Context // parent of every handler's
	endJobs context.CancelCauseFunc
	gate    gate
	notice  notice
	inbox   inbox
	view    view
	journal journal
	counts  counts
	gone    gone
	foreign foreign
	suspect suspects
	looks   chan time.Duration // capacity 1: when to look for orphans; each beat says so anew
	oldest  uint64             // fetch without an answer when the last beat was made up
	telling uint64             // number of the last of the gone jobs in that beat

	unrecorded atomic.Int64 // verdicts that had to be given up

	started   chan struct{} // closed when the process is registered
	reported  chan struct{} // closed when the report is there
	report    store.StopReport
	published bool          // there is a report; belongs to Run
	done      chan struct{} // closed when Run returns
	err       error         // what Run returned
}

// New makes a runner. It returns an error if o.Stop is impossible.
func New(o Options) (*Runner, error) {
	machine, err := lifecycle.New(o.Stop)
	if err != nil {
		return nil, err
	}
	r := &Runner{
		opt:      o,
		log:      o.Log.With("process", o.ID),
		shared:   o.Store.Describe().RubyShares,
		keeping:  newKeeping(),
		notice:   notice{told: make(chan struct{})},
		inbox:    inbox{wake: make(chan struct{}, 1)},
		view:     view{machine: machine},
		journal:  journal{turns: []store.Turn{{State: lifecycle.Running.String(), At: time.Now()}}},
		looks:    make(chan time.Duration, 1),
		started:  make(chan struct{}),
		reported: make(chan struct{}),
		done:     make(chan struct{}),
	}
	r.outage = &beat.Outage{Log: r.log}
	r.heart = beat.New(beat.Config{
		Keeper: o.Store, Every: o.Beat, TTL: o.TTL, Suspicion: o.suspicion(), Outage: r.outage,
		Presence: r.presence, Answered: r.answered, CutOff: r.cutOff,
	})
	r.record = &recorder{
		fetcher: o.Store, id: o.ID, outage: r.outage,
		settled: r.settled, dropped: r.dropped, wake: make(chan struct{}, 1), now: make(chan struct{}, 1), again: make(chan struct{}, 1),
	}
	slots := 0
	for i, conf := range o.Groups {
		r.groups = append(r.groups, newGroup(r, i, slots, conf))
		slots += conf.Concurrency
	}
	return r, nil
}

// suspicion is what others may shorten the lease to when they find this process gone.
// A beat that is a third late still comes before its end.
func (o *Options) suspicion() time.Duration {
	if o.EndCutOff || o.Store.Describe().LeaseIsLock {
		return 0
	}
	return min(max(leastSuspicion, o.Beat*4/3), o.TTL)
}

// Run registers the process, runs jobs, and returns when the process has left:
// nil if all it held was handed over. The end of ctx begins the stop; it does not
// end jobs. Run is called once.
//
// All goroutines that Run started are gone when it returns, except those of
// handlers that did not return in time, where the process is not embedded: it is
// expected to exit at once.
func (r *Runner) Run(ctx context.Context) (err error) {
	defer func() {
		r.inbox.close()
		r.err = err
		r.publish(true)
	}()
	// Everything but the waiting for a stop outlives ctx.
	life, endLife := context.WithCancel(context.WithoutCancel(ctx))
	defer endLife()
	fetchable, endFetching := context.WithCancel(life)
	defer endFetching()
	r.jobs, r.endJobs = context.WithCancelCause(life)
	r.gate.open(fetchable)

	stopped, err := r.register(ctx)
	if err != nil {
		if ctx.Err() != nil || stopped {
			return nil
		}
		return fmt.Errorf("runner: register %s: %w", r.opt.ID, err)
	}
	close(r.started)

	beatable, endBeating := context.WithCancel(life)
	defer endBeating()
	recordable, endRecording := context.WithCancel(life)
	defer endRecording()
	var fetching, beating, recording sync.WaitGroup
	beating.Go(func() {
		if err := r.heart.Run(beatable); err != nil {
			r.outage.End(err)
			r.Tell(lifecycle.Event{Kind: lifecycle.Stop, Why: err.Error()})
		}
	})
	recording.Go(func() { r.record.run(recordable) })
	r.startFetching(fetchable, &fetching)

	if !stopped {
		r.watch(ctx)
	}
	deaf := r.giveUp()

	goodbye := r.view.goodbye()
	last, cancel := context.WithDeadlineCause(life, goodbye, errNoTime)
	defer cancel()
	endFetching()
	await(last, &fetching)
	for _, g := range r.groups {
		close(g.work)
	}
	flushing, cancel := context.WithDeadlineCause(life, goodbye.Add(-time.Until(goodbye)/4), errNoTime)
	defer cancel()
	r.record.flush(flushing)
	endRecording()
	recording.Wait()
	endBeating()
	beating.Wait()
	err = r.leave(last, deaf)
	if len(deaf) == 0 {
		r.slots.Wait()
	}
	if n := r.unrecorded.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("runner: %d verdicts were not recorded; their jobs may run again", n))
	}
	return err
}

// register makes the process known to the store. It listens meanwhile, since the
// store may be away for long: stopped says that the process has been stopped, be it
// registered by then or not.
func (r *Runner) register(ctx context.Context) (stopped bool, err error) {
	began := time.Now()
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	registered := make(chan error, 1)
	go func() { registered <- r.heart.Register(ctx) }()
	for {
		select {
		case err = <-registered:
			if err == nil {
				r.logStart(began)
			}
			return stopped, err
		case <-r.inbox.wake:
			if r.hear(r.inbox.take()) {
				stopped = true
				giveUp()
			}
		}
	}
}

func (r *Runner) startFetching(ctx context.Context, wg *sync.WaitGroup) {
	for _, g := range r.groups {
		for i := range g.conf.Concurrency {
			r.slots.Go(func() { g.slot(strconv.Itoa(g.first + i + 1)) })
		}
		wg.Go(func() { r.gate.while(ctx, g.fetch) })
	}
	promoter := &promote.Loop{
		Keeper: r.opt.Store, Note: func(began time.Time, err error) { r.outage.Note("promote", began, err) },
		What: store.Promotion{By: r.opt.ID, DeadMax: r.opt.DeadMax, DeadAge: r.opt.DeadAge},
	}
	wg.Go(func() { r.gate.while(ctx, promoter.Run) })
	rescuer := &rescue.Loop{
		Keeper: r.opt.Store, Note: func(began time.Time, err error) { r.outage.Note("rescue", began, err) }, Log: r.log, By: r.opt.ID,
		Certain: r.opt.Store.Describe().LeaseIsLock, Steady: r.heart.Steady, Look: r.looks,
		Stops: r.opt.Store.Stops, Poison: r.opt.Poison,
	}
	wg.Go(func() { r.gate.while(ctx, rescuer.Run) })
	auditor := &rescue.Auditor{Keeper: r.opt.Store, Log: r.log, By: r.opt.ID, TTL: r.opt.TTL}
	wg.Go(func() { r.gate.while(ctx, auditor.Run) })
}

// presence is what the next beat says. Checkpoints travel at the same time.
func (r *Runner) presence() store.Presence {
	r.saveAll()
	// Before the list of what is known: a fetch that is answered between the two
	// counts as open, which is the safe side.
	r.oldest = r.keeping.oldest()
	p := r.opt.Self
	p.ID = r.opt.ID
	state, deadlines := r.view.get()
	p.State, p.KillAt = min(state, lifecycle.Draining).String(), deadlines.Kill
	if r.opt.RSS != nil {
		p.RSS = r.opt.RSS()
	}
	p.Turns = r.journal.states()
	p.Runs, p.Ended = r.counts.all(), r.gone.untold()
	if n := len(p.Ended); n > 0 {
		r.telling = p.Ended[n-1].Number
	}
	for _, a := range r.keeping.all() {
		p.Known = append(p.Known, a.token)
		if run, ok := a.runs(); ok {
			p.Busy = append(p.Busy, run)
		}
	}
	return p
}

// answered does what the answer to a beat asks for.
func (r *Runner) answered(o store.Orders) {
	r.record.retry()
	r.gone.answered(r.telling)
	for _, a := range r.keeping.lookup(o.Gone) {
		if a.lose() {
			r.log.Warn("job was rescued by another process while it ran here", a.attrs()...)
		}
	}
	for _, stray := range r.keeping.strays(o.Unknown, r.oldest) {
		jid, _ := wire.JIDOf(stray.Payload)
		r.log.Warn("job given back that the store has here and nobody runs", "jid", jid, "queue", stray.Queue)
		r.record.put(entry{move: requeue, later: store.Later{Token: stray.Token}})
	}
	if len(o.Unknown) > 0 {
		for _, g := range r.groups {
			g.hurry()
		}
	}
	if o.Look > 0 {
		select {
		case r.looks <- o.Look:
		default:
		}
	}
	for _, c := range o.Commands {
		switch c.Verb {
		case store.Quiet:
			r.Tell(lifecycle.Event{Kind: lifecycle.Quiet, Why: "quiet command"})
		case store.Resume:
			r.Tell(lifecycle.Event{Kind: lifecycle.Resume, Why: "resume command"})
		case store.Stop:
			r.Tell(lifecycle.Event{Kind: lifecycle.Stop, Why: "stop command"})
		case store.Dump:
			r.Tell(lifecycle.Event{Kind: lifecycle.Dump})
		case store.Cancel:
			r.cancel(c.JID)
		}
	}
}

// cancel ends the contexts of running jobs with this jid.
func (r *Runner) cancel(jid string) {
	for _, a := range r.keeping.all() {
		if run, ok := a.runs(); ok && run.JID == jid {
			r.log.Info("job canceled", a.attrs()...)
			a.end(verdict.ErrCanceled)
		}
	}
}

// cutOff sees to running jobs when the lease must be about to end. A lock does not end
// while this process lives.
func (r *Runner) cutOff() {
	if r.opt.Store.Describe().LeaseIsLock {
		return
	}
	running := r.keeping.running()
	if !r.opt.EndCutOff {
		r.log.Warn("lease is about to end for want of an answer; jobs go on and may run twice", "in_flight", running)
		return
	}
	r.log.Warn("lease is about to end for want of an answer; ending jobs", "in_flight", running)
	for _, a := range r.keeping.all() {
		a.end(verdict.ErrLeaseLost)
	}
}

// saveAll sends checkpoints that wait for a beat on their way.
func (r *Runner) saveAll() {
	for _, a := range r.keeping.all() {
		if a.waits() {
			r.record.save(a, nil)
		}
	}
}

// settled takes note of verdicts that the store has answered.
func (r *Runner) settled(batch []entry, lost []bool) {
	var of *group
	n := 0
	for i, e := range batch {
		switch {
		case e.attempt == nil:
			continue
		case e.move == save:
			if lost[i] && e.attempt.lose() {
				r.log.Warn("job was rescued by another process while it ran here", e.attempt.attrs()...)
			}
			continue
		case lost[i]:
			r.refused(e.attempt)
		default:
			r.keeping.forget(e.attempt)
			r.counts.ended(&e)
			r.gone.add(&e)
			if r.keeping.watched() {
				r.keeping.fate(e.attempt.fate(e.fate, e.cause, e.took))
			}
		}
		if e.attempt.group != of {
			if of != nil {
				of.account(0, -n)
			}
			of, n = e.attempt.group, 0
		}
		n++
	}
	if of != nil {
		of.account(0, -n)
	}
}

// lost sees off a job that another process has, as was known when its handler
// returned, and said.
func (r *Runner) lost(a *Attempt) {
	r.keeping.forget(a)
	r.keeping.fate(a.fate("lost lease", nil, a.took()))
}

// refused sees off a job whose verdict counted for nothing.
func (r *Runner) refused(a *Attempt) {
	r.lost(a)
	if a.since.IsZero() {
		r.log.Info("job was taken by another process before it began here", a.attrs()...)
		return
	}
	r.log.Warn("job ran here although another process had taken it", append(a.attrs(), "took", a.took())...)
}

// dropped sees off a job whose verdict had to be given up. The store still has this
// process holding it, so it goes back with what nobody runs.
func (r *Runner) dropped(e entry, err error) {
	r.unrecorded.Add(1)
	r.log.Error("verdict not recorded, the job may run again", append(e.attempt.attrs(), "verdict", e.move.String(), "cause", err)...)
	r.keeping.forget(e.attempt)
	r.keeping.fate(e.attempt.fate("not recorded", err, e.took))
	e.attempt.group.account(0, -1)
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
