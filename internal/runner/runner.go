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
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/beat"
	"github.com/ebbjobs/ebb/internal/promote"
	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Options are what a process is made of. All but Handlers, Embedded, EndCutOff,
// RSS, DeadMax and DeadAge must be set.
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
	EndCutOff bool

	RSS     func() int64  // nil: not told
	DeadMax int           // 0: as the store does
	DeadAge time.Duration // 0: as the store does
}

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
	foreign sync.Map // kinds that were warned of
	oldest  uint64   // fetch without an answer when the last beat was made up

	started  chan struct{} // closed when the process is registered
	reported chan struct{} // closed when the report is there
	report   store.StopReport
	done     chan struct{} // closed when Run returns
	err      error         // what Run returned
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
		started:  make(chan struct{}),
		reported: make(chan struct{}),
		done:     make(chan struct{}),
	}
	r.outage = &beat.Outage{Log: r.log}
	r.heart = &beat.Heart{
		Keeper: o.Store, Every: o.Beat, TTL: o.TTL, Outage: r.outage,
		Presence: r.presence, Answered: r.answered, CutOff: r.cutOff,
	}
	r.record = &recorder{
		fetcher: o.Store, id: o.ID, log: r.log, outage: r.outage,
		settled: r.settled, wake: make(chan struct{}, 1), now: make(chan struct{}, 1),
	}
	slots := 0
	for i, conf := range o.Groups {
		r.groups = append(r.groups, newGroup(r, i, slots, conf))
		slots += conf.Concurrency
	}
	return r, nil
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
		r.publish()
		r.err = err
		close(r.done)
	}()
	// Everything but the waiting for a stop outlives ctx.
	life, endLife := context.WithCancel(context.WithoutCancel(ctx))
	defer endLife()
	r.jobs, r.endJobs = context.WithCancelCause(life)

	began := time.Now()
	if err := r.heart.Register(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("runner: register %s: %w", r.opt.ID, err)
	}
	r.logStart(began)
	close(r.started)

	var fetching, beating, recording sync.WaitGroup
	fetchable, endFetching := context.WithCancel(life)
	beatable, endBeating := context.WithCancel(life)
	recordable, endRecording := context.WithCancel(life)
	defer func() { endFetching(); endBeating(); endRecording() }()

	beating.Go(func() {
		if err := r.heart.Run(beatable); err != nil {
			r.Tell(lifecycle.Event{Kind: lifecycle.Stop, Why: err.Error()})
		}
	})
	recording.Go(func() { r.record.run(recordable) })
	r.gate.open(fetchable)
	r.startFetching(fetchable, &fetching)

	r.watch(ctx)
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
	unrecorded := r.record.flush(flushing)
	endRecording()
	recording.Wait()
	endBeating()
	beating.Wait()
	err = r.leave(last, deaf)
	if len(deaf) == 0 {
		r.slots.Wait()
	}
	if err == nil && unrecorded != nil {
		err = fmt.Errorf("runner: record the last verdicts: %w", unrecorded)
	}
	return err
}

func (r *Runner) startFetching(ctx context.Context, wg *sync.WaitGroup) {
	for _, g := range r.groups {
		for i := range g.conf.Concurrency {
			r.slots.Go(func() { g.slot(strconv.Itoa(g.first + i + 1)) })
		}
		wg.Go(func() { r.gate.while(ctx, g.fetch) })
	}
	promoter := &promote.Loop{
		Keeper: r.opt.Store, Note: func(err error) { r.outage.Note("promote", err) },
		What: store.Promotion{By: r.opt.ID, DeadMax: r.opt.DeadMax, DeadAge: r.opt.DeadAge},
	}
	wg.Go(func() { r.gate.while(ctx, promoter.Run) })
	rescuer := &rescue.Loop{
		Keeper: r.opt.Store, Note: func(err error) { r.outage.Note("rescue", err) }, Log: r.log, By: r.opt.ID,
		Certain: r.opt.Store.Describe().LeaseIsLock, Steady: r.heart.Steady,
	}
	wg.Go(func() { r.gate.while(ctx, rescuer.Run) })
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

// cutOff sees to running jobs when the lease must be about to end.
func (r *Runner) cutOff() {
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
			r.lost(e.attempt)
		default:
			r.keeping.forget(e.attempt)
			if r.keeping.watched() {
				r.keeping.fate(e.attempt.fate(e.fate, e.cause))
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

// lost sees off a job whose verdict counts for nothing.
func (r *Runner) lost(a *Attempt) {
	r.keeping.forget(a)
	r.keeping.fate(a.fate("lost lease", nil))
	r.log.Warn("job ran here although another process had taken it", append(a.attrs(), "took", a.took())...)
}

// warnForeign says once for each kind that its jobs are left to others.
func (r *Runner) warnForeign(job *wire.Job) {
	if _, warned := r.foreign.LoadOrStore(job.Kind, true); warned {
		return
	}
	why := "no handler here"
	if job.BID != "" {
		why = "part of a batch"
	}
	r.log.Warn("jobs of this kind are given back for others to run", "kind", job.Kind, "cause", why)
}
