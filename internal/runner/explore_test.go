package runner

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storetest"
	"github.com/ebbjobs/ebb/wire"
)

var oneTiming = flag.String("explore.timing", "", "the only timing that TestExploreStops goes through, as a failure names it")

// What happens when, if nothing disturbs it. Replies take a while, so that there is
// time for a TERM between any two of these.
const (
	pushed   = 1200 * time.Millisecond // and fetched at once
	fetched  = pushed + fetchReply     // the reply is there, and handlers begin
	returned = fetched + shortRun      // the short one's handler
	acked    = returned + ackReply     // the reply is there

	fetchReply = 400 * time.Millisecond
	ackReply   = 300 * time.Millisecond
	beatReply  = 100 * time.Millisecond
	shortRun   = 700 * time.Millisecond
)

// disturbance is what else happens around a TERM.
type disturbance struct {
	name    string
	away    time.Duration // the store is away from so long before the TERM …
	back    time.Duration // … until so long after it; 0: it is not
	lost    string        // the first reply to this call after the TERM is lost
	quiet   time.Duration // a TSTP comes so long before
	again   time.Duration // another TERM comes so long after
	command bool          // instead of a TERM, a stop is commanded through the store
}

const forGood = time.Hour

var disturbances = []disturbance{
	{name: "nothing"},
	{name: "store away a moment", back: 500 * time.Millisecond},
	{name: "store away since before", away: 700 * time.Millisecond, back: 800 * time.Millisecond},
	{name: "store away for good", back: forGood},
	{name: "reply lost to Fetch", lost: "Fetch"},
	{name: "reply lost to Ack", lost: "Ack"},
	{name: "reply lost to Requeue", lost: "Requeue"},
	{name: "reply lost to Checkpoint", lost: "Checkpoint"},
	{name: "reply lost to Beat", lost: "Beat"},
	{name: "reply lost to Leave", lost: "Leave"},
	{name: "TSTP first", quiet: 350 * time.Millisecond},
	{name: "TERM again", again: 450 * time.Millisecond},
	{name: "stop command", command: true},
}

// moments are those of a TERM: every now and then, and just before, at and just after
// whatever happens.
func moments() (all []time.Duration) {
	every := 100 * time.Millisecond
	// The race detector makes this five times slower, and needs no more of the same.
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		every = time.Second
	}
	for at := pushed; at < acked+testBeat; at += every {
		all = append(all, at)
	}
	for _, at := range []time.Duration{
		pushed + time.Millisecond, testBeat * 2, testBeat*2 + beatReply, fetched, returned, testBeat * 3, testBeat*3 + beatReply, acked,
	} {
		all = append(all, at-time.Millisecond, at, at+time.Millisecond)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestExploreStops stops a process at every such moment, with a short grace and longer
// ones, under each disturbance. It runs four jobs: one is short, one heeds the
// notice, one saves where it is, one is deaf to everything for 5 s. Another process
// starts when the TERM comes, as in a deploy. Whatever the timing, the first process
// has left before its hour and gives jobs all the time there is; a job goes back only when its handler has returned; none
// runs twice at once, is lost, or pays an attempt; and the report tells what became
// of each.
func TestExploreStops(t *testing.T) {
	t.Parallel()
	for _, d := range disturbances {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for _, grace := range []time.Duration{2 * time.Second, 4 * time.Second, 10 * time.Second} {
				for _, term := range moments() {
					name := fmt.Sprintf("%s, grace %v, TERM at %v", d.name, grace, term)
					if *oneTiming != "" && *oneTiming != name {
						continue
					}
					inWorld(t, func(w *world) { exploreStop(w, name, d, grace, term) })
				}
			}
		})
	}
}

// floor is where the jobs of both processes run.
type floor struct {
	*world
	mu      sync.Mutex
	running map[store.Token]run
	twice   []string
	saved   map[string]int // by jid: where the last run was
	lapses  []string       // resumed elsewhere than that
	ended   time.Time      // when the context of a job of the first process did
	billed  []string
	early   []string // went back before their handlers had returned
	first   store.Identity
	killed  chan struct{} // closed when the first process is gone, with all it ran
}

// run is one handler that has not returned.
type run struct {
	jid string
	by  store.Identity
}

// enter begins a run; leave ends it.
func (f *floor) enter(ctx context.Context, job *wire.Job) (leave func()) {
	a := From(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.running {
		if r.jid == job.JID {
			f.twice = append(f.twice, job.Kind)
		}
	}
	if a.Number() != 1 {
		f.billed = append(f.billed, job.Kind)
	}
	f.running[a.token] = run{job.JID, a.Process()}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.running, a.token)
	}
}

// goBack notes jobs that a call gives back.
func (f *floor) goBack(back []store.Later) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range back {
		if r, runs := f.running[l.Token]; runs {
			f.early = append(f.early, r.jid)
		}
	}
}

func (f *floor) handlers() map[string]func(context.Context, *wire.Job) error {
	return map[string]func(context.Context, *wire.Job) error{
		"Short": func(ctx context.Context, job *wire.Job) error {
			defer f.enter(ctx, job)()
			time.Sleep(shortRun)
			return nil
		},
		"Heeds": func(ctx context.Context, job *wire.Job) error {
			defer f.enter(ctx, job)()
			soft, _ := From(ctx).Stopping()
			select {
			case <-soft:
				time.Sleep(200 * time.Millisecond)
				return verdict.ErrYield
			case <-time.After(3 * time.Second):
				return nil
			}
		},
		"Saves": func(ctx context.Context, job *wire.Job) error {
			defer f.enter(ctx, job)()
			at, _ := strconv.Atoi(string(From(ctx).History().Checkpoint))
			f.resume(job, at)
			for ; at < 20; at++ {
				f.save(job, at)
				if err := From(ctx).Checkpoint(json.RawMessage(strconv.Itoa(at))); err != nil {
					return err
				}
				select {
				case <-ctx.Done():
					f.cut(ctx)
					return ctx.Err()
				case <-time.After(300 * time.Millisecond):
				}
			}
			return nil
		},
		"Deaf": func(ctx context.Context, job *wire.Job) error {
			defer f.enter(ctx, job)()
			killed := f.killed
			if From(ctx).Process() != f.first {
				killed = nil
			}
			select {
			case <-killed:
				return errors.New("killed")
			case <-time.After(5 * time.Second):
				return nil
			}
		},
	}
}

func (f *floor) resume(job *wire.Job, at int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if was := f.saved[job.JID]; at != was {
		f.lapses = append(f.lapses, fmt.Sprintf("%s at %d, was at %d", job.Kind, at, was))
	}
}

func (f *floor) save(job *wire.Job, at int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saved[job.JID] = at
}

// cut notes that the context of a job has ended.
func (f *floor) cut(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if From(ctx).Process() == f.first {
		f.ended = time.Now()
	}
}

// slow is the first process's way to the store: replies take their time, and it sees
// what goes back.
type slow struct {
	store.Store
	floor *floor
}

func (s slow) Fetch(ctx context.Context, call store.Call, plan store.Plan, n int, wait time.Duration) ([]store.Held, store.Woken, error) {
	jobs, woken, err := s.Store.Fetch(ctx, call, plan, n, wait)
	if len(jobs) > 0 {
		sleep(ctx, fetchReply)
	}
	return jobs, woken, err
}

func (s slow) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	orders, err := s.Store.Beat(ctx, p, ttl)
	if !sleep(ctx, beatReply) {
		return store.Orders{}, ctx.Err()
	}
	return orders, err
}

func (s slow) Ack(ctx context.Context, call store.Call, done ...store.Done) error {
	err := s.Store.Ack(ctx, call, done...)
	if !sleep(ctx, ackReply) {
		return ctx.Err()
	}
	return err
}

func (s slow) Requeue(ctx context.Context, call store.Call, back ...store.Later) error {
	s.floor.goBack(back)
	return s.Store.Requeue(ctx, call, back...)
}

func (s slow) Retry(ctx context.Context, call store.Call, later ...store.Later) error {
	s.floor.goBack(later)
	return s.Store.Retry(ctx, call, later...)
}

// Leave gives back all that it does not name as deaf.
func (s slow) Leave(ctx context.Context, call store.Call, f store.Farewell) error {
	back := slices.Clone(f.Back)
	s.floor.mu.Lock()
	for token, r := range s.floor.running {
		if r.by == f.ID && !slices.Contains(f.Deaf, token) {
			back = append(back, store.Later{Token: token})
		}
	}
	s.floor.mu.Unlock()
	s.floor.goBack(back)
	return s.Store.Leave(ctx, call, f)
}

// exploreStop is one timing.
func exploreStop(w *world, timing string, d disturbance, grace, term time.Duration) {
	f := &floor{
		world: w, running: map[store.Token]run{}, saved: map[string]int{}, killed: make(chan struct{}),
	}
	defer func() {
		if w.Failed() {
			w.Logf("-explore.timing=%q", timing)
		}
	}()
	start := time.Now()
	o := w.options(f.handlers())
	o.Store, o.Stop = slow{w.flaky, f}, lifecycle.Config{Grace: grace}
	f.first = o.ID
	first := w.start(o)
	time.Sleep(pushed)
	for _, kind := range []string{"Short", "Heeds", "Saves", "Deaf"} {
		w.push(kind)
	}
	w.disturb(first, d, start.Add(term))
	time.Sleep(time.Until(start.Add(term)))
	o = w.options(f.handlers())
	o.Store = w.mem
	second := w.start(o) // beside it, as in a deploy
	if d.command {
		if err := w.mem.Command(w.Context(), first.opt.ID, store.Command{Verb: store.Stop}); err != nil {
			w.Fatal(err)
		}
		for !first.stopping() { // until it is heard with a beat
			time.Sleep(time.Millisecond)
		}
	}
	synctest.Wait()
	begun, asked := first.keeping.all(), time.Now()
	if d.command {
		asked = asked.Add(-time.Millisecond)
	} else {
		first.Tell(lifecycle.Event{Kind: lifecycle.Stop, Why: "SIGTERM"})
	}
	<-first.Done()
	if took := time.Since(asked); took >= grace {
		w.Errorf("left %v after it was told, of a grace of %v", took, grace)
	}
	close(f.killed)
	if least := grace - lifecycle.Reserve(grace); !f.ended.IsZero() && f.ended.Sub(asked) < least {
		w.Errorf("a job's context ended %v after it was told, and %v was there", f.ended.Sub(asked), least)
	}
	if unrecorded := f.checkFates(first.Report(), begun); d.back != forGood {
		// A deaf one may return so late that there is no time to repeat a call.
		if err := first.Err(); err != nil && len(unrecorded) == 0 || slices.ContainsFunc(unrecorded, func(kind string) bool { return kind != "Deaf" }) {
			w.Errorf("Run returned %v; not recorded: %v", err, unrecorded)
		}
	}
	w.flaky.Heal()
	time.Sleep(30 * time.Second)
	second.end()
	f.check()
	if d.back != forGood {
		equal(w.T, "resumed elsewhere than where they were", f.lapses, nil)
	}
}

// disturb does what d says of a TERM at that time.
func (w *world) disturb(p *process, d disturbance, term time.Time) {
	var lost sync.Once
	w.flaky.Each(func(method string) storetest.Fault {
		since := time.Since(term)
		if d.back > 0 && since >= -d.away && since < d.back {
			return storetest.Fault{Err: errAway}
		}
		fault := storetest.Fault{}
		if method == d.lost && since >= 0 {
			lost.Do(func() { fault = storetest.Fault{When: storetest.After, Err: errAway} })
		}
		return fault
	})
	tell := func(after time.Duration, kind lifecycle.Kind) {
		time.AfterFunc(time.Until(term)+after, func() { p.Tell(lifecycle.Event{Kind: kind, Why: "again"}) })
	}
	if d.quiet > 0 {
		tell(-d.quiet, lifecycle.Quiet)
	}
	if d.again > 0 {
		tell(d.again, lifecycle.Stop)
	}
}

// checkFates looks for each job that the process had when the TERM came. One that was
// given up as deaf may have come to another end after all. It returns those whose
// verdicts were not recorded.
func (f *floor) checkFates(report store.StopReport, begun []*Attempt) (unrecorded []string) {
	told := fates(report)
	for _, a := range begun {
		fate := told[a.job.JID]
		if len(fate) == 2 && fate[0] == "deaf" {
			fate = fate[1:]
		}
		if len(fate) != 1 {
			f.Errorf("the report says of %s: %q", a.job.Kind, told[a.job.JID])
		} else if fate[0] == "not recorded" {
			unrecorded = append(unrecorded, a.job.Kind)
		}
	}
	return unrecorded
}

// check looks at what became of the jobs.
func (f *floor) check() {
	f.mu.Lock()
	defer f.mu.Unlock()
	equal(f.T, "done", f.book().Done, 4)
	equal(f.T, "ran twice at once", f.twice, nil)
	equal(f.T, "went back before their handlers had returned", f.early, nil)
	equal(f.T, "paid an attempt", f.billed, nil)
}
