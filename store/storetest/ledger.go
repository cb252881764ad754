package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var errLost = errors.New("storetest: reply lost")

// ledger knows what must have become of each job.
type ledger struct {
	mu       sync.Mutex
	accepted map[string]bool // by jid
	gone     map[string]bool // acked or deleted: nowhere
	unsure   map[string]bool // on its way out when its process died: nowhere, or in one place
	dead     []store.Identity
}

func (l *ledger) note(set map[string]bool, jids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, jid := range jids {
		set[jid] = true
	}
}

func (l *ledger) died(id store.Identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = append(l.dead, id)
}

func (l *ledger) witnessed() []store.Identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.dead)
}

// actor is somebody who does things at random, over a connection that loses
// requests and replies.
type actor struct {
	*process
	l    *ledger
	rng  *rand.Rand
	past []func(ctx context.Context) // every call so far, for late copies
}

func (s *suite) actor(l *ledger, seed, n uint64) *actor {
	a := &actor{l: l, rng: rand.New(rand.NewPCG(seed, n))}
	a.boot(s)
	return a
}

// boot starts a new process for a.
func (a *actor) boot(s *suite) {
	a.process, a.past = s.process(), nil
	f := NewFlaky(a.Store)
	f.Each(func(string) Fault {
		switch a.rng.IntN(8) {
		case 0:
			return Fault{When: Before, Err: errLost}
		case 1:
			return Fault{When: After, Err: errLost}
		}
		return Fault{}
	})
	a.process.Store = f
}

// sure makes a call and repeats it until there is an answer. Later it may come a
// second time, late.
func (a *actor) sure(what string, call func(ctx context.Context) error) {
	ctx := a.s.Context()
	for {
		err := call(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, errLost) {
			a.s.Errorf("%s %s: %v", a.id, what, err)
			break
		}
	}
	a.past = append(a.past, func(ctx context.Context) { call(ctx) })
}

func (a *actor) lateCopy() {
	if len(a.past) > 0 {
		a.past[a.rng.IntN(len(a.past))](a.s.Context())
	}
}

func (a *actor) produce(prefix string, steps int) {
	for n := range steps {
		its := items([]string{"q", "r"}[a.rng.IntN(2)], numbered(fmt.Sprintf("%s.%d.", prefix, n), 1+a.rng.IntN(5))...)
		call := a.call(store.LanePush)
		if a.rng.IntN(3) == 0 {
			a.sure("schedule", func(ctx context.Context) error { _, err := a.Schedule(ctx, call, its...); return err })
		} else {
			a.sure("push", func(ctx context.Context) error { _, err := a.Push(ctx, call, its...); return err })
		}
		for _, it := range its {
			a.l.note(a.l.accepted, it.JID)
		}
		if a.rng.IntN(5) == 0 {
			a.lateCopy()
		}
	}
}

func (a *actor) work(s *suite, steps int) {
	for range steps {
		jobs := a.fetchSome()
		for len(jobs) > 0 {
			n := 1 + a.rng.IntN(len(jobs))
			if !a.decide(s, jobs[:n]) {
				a.boot(s)
				break
			}
			jobs = jobs[n:]
		}
		switch a.rng.IntN(12) {
		case 0, 1:
			a.lateCopy()
		case 2:
			a.giveBackUnknown()
		case 3:
			f := store.Farewell{ID: a.id, Report: store.StopReport{ID: a.id}}
			for _, j := range a.fetchSome() {
				f.Back = append(f.Back, store.Later{Token: j.Token})
			}
			call := a.verdict()
			a.sure("leave", func(ctx context.Context) error { return a.Leave(ctx, call, f) })
			a.lateCopy()
			a.boot(s)
		}
	}
}

func (a *actor) fetchSome() (jobs []store.Held) {
	call, plan, n := a.call(store.LaneFetch), strict("q", "r"), 1+a.rng.IntN(6)
	plan.Strict = a.rng.IntN(2) == 0
	wait := time.Duration(a.rng.IntN(3)) * time.Millisecond
	a.past = append(a.past, func(ctx context.Context) { a.Fetch(ctx, call, plan, n, wait) })
	for range 3 { // then it is given up, and what it took is unknown
		var err error
		jobs, _, err = a.Fetch(a.s.Context(), call, plan, n, wait)
		if err == nil {
			break
		}
		if !errors.Is(err, errLost) {
			a.s.Errorf("fetch: %v", err)
		}
	}
	return jobs
}

// decide gives one verdict on jobs, or dies; then it returns false.
func (a *actor) decide(s *suite, jobs []store.Held) (alive bool) {
	ctx, call := s.Context(), a.verdict()
	later := laters(jobs)
	for i, j := range jobs {
		if a.rng.IntN(2) == 0 {
			later[i].Payload = payload(jidOf(j.Payload), j.Queue, a.rng.IntN(1000))
		}
	}
	switch a.rng.IntN(16) {
	case 0: // dies with jobs in hand
		a.l.died(a.id)
		return false
	case 1: // dies before it knows whether its ack was heard
		a.l.note(a.l.unsure, jids(jobs)...)
		a.Ack(ctx, call, dones(jobs)...)
		a.l.died(a.id)
		return false
	case 2, 3:
		for i := range later {
			later[i].Set = []store.Place{store.Retrying, store.Scheduled}[a.rng.IntN(2)]
		}
		a.sure("retry", func(ctx context.Context) error { return a.Retry(ctx, call, later...) })
	case 4:
		a.sure("bury", func(ctx context.Context) error { return a.Bury(ctx, call, later...) })
	case 5, 6:
		a.sure("requeue", func(ctx context.Context) error { return a.Requeue(ctx, call, later...) })
	case 7, 8:
		a.sure("checkpoint", func(ctx context.Context) error { return a.Checkpoint(ctx, call, later...) })
		return a.decide(s, jobs)
	default:
		a.sure("ack", func(ctx context.Context) error { return a.Ack(ctx, call, dones(jobs)...) })
		a.l.note(a.l.gone, jids(jobs)...)
	}
	return true
}

// giveBackUnknown gives back what fetches took that were given up.
func (a *actor) giveBackUnknown() {
	o, err := a.Beat(a.s.Context(), a.presence(), aliveFor)
	if err != nil || len(o.Unknown) == 0 {
		return
	}
	call := a.verdict()
	a.sure("give back", func(ctx context.Context) error { return a.Requeue(ctx, call, laters(o.Unknown)...) })
}

// keep promotes, rescues the dead, moves by hand and takes that back.
func (a *actor) keep(steps int) {
	ctx := a.s.Context()
	for range steps {
		switch a.rng.IntN(4) {
		case 0:
			a.Promote(ctx, store.Promotion{By: a.id, Max: 1 + a.rng.IntN(20)})
		case 1:
			a.rescueDead(ctx)
		case 2:
			a.byHand(ctx)
		case 3:
			a.Undo(ctx, a.undoable().Change, 1+a.rng.IntN(5))
		}
	}
}

// undoable is one of a few changes that all share, so that they run across each
// other.
func (a *actor) undoable() store.Undoable { return undoable(fmt.Sprint("c", a.rng.IntN(3))) }

func (a *actor) rescueDead(ctx context.Context) {
	lost, err := a.Orphans(ctx, 10, a.l.witnessed()...)
	if err != nil {
		return
	}
	for _, l := range lost {
		to := []store.Place{store.Ready, store.Ready, store.Retrying, store.Scheduled, store.Dead}[a.rng.IntN(5)]
		for range 3 {
			a.Rescue(ctx, salvage(l, rescued(l, to)...))
		}
	}
}

// byHand moves or deletes one of the first jobs of a place. A lost reply leaves it
// open which; a late copy finds nothing.
func (a *actor) byHand(ctx context.Context) {
	q := []store.Query{{Place: store.Ready, Queue: "q"}, {Place: store.Scheduled}, {Place: store.Retrying}, {Place: store.Dead}}[a.rng.IntN(4)]
	q.Limit = 3
	for e, err := range a.Jobs(ctx, q) {
		if err != nil {
			return
		}
		if a.rng.IntN(6) == 0 {
			a.l.note(a.l.unsure, jidOf(e.Payload))
			a.Delete(ctx, a.undoable(), store.Pick{Key: e.Key})
			continue
		}
		to := []store.Place{store.Ready, store.Scheduled, store.Retrying, store.Dead}[a.rng.IntN(4)]
		pick := store.Pick{Key: e.Key, Front: a.rng.IntN(2) == 0}
		u := a.undoable()
		a.Move(ctx, u, to, pick)
		a.Move(ctx, u, to, pick)
	}
}

// settle compares the ledger with what is in the store.
func (l *ledger) settle(s *suite) {
	where := s.everywhere()
	for jid := range l.accepted {
		places := where[jid]
		switch {
		case len(places) > 1:
			s.Errorf("%s is in several places: %v", jid, places)
		case l.gone[jid] && len(places) == 1:
			s.Errorf("%s is done, and also in %v", jid, places)
		case len(places) == 0 && !l.gone[jid] && !l.unsure[jid]:
			s.Errorf("%s is lost", jid)
		}
	}
	for jid := range where {
		if !l.accepted[jid] {
			s.Errorf("%s was never accepted", jid)
		}
	}
}

// seed is new every time, unless STORETEST_SEED asks for one again.
func seed(t testing.TB) uint64 {
	seed := rand.Uint64()
	if v, err := strconv.ParseUint(os.Getenv("STORETEST_SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("STORETEST_SEED=%d", seed)
	return seed
}

var ledgerTests = []test{
	{"every job is in exactly one place, whatever happens", func(s *suite) {
		seed := seed(s)
		l := &ledger{accepted: map[string]bool{}, gone: map[string]bool{}, unsure: map[string]bool{}}
		var wg sync.WaitGroup
		for n := range uint64(2) {
			a := s.actor(l, seed, n)
			wg.Go(func() { a.produce(fmt.Sprint("p", n), 60) })
		}
		for n := range uint64(4) {
			a := s.actor(l, seed, 10+n)
			wg.Go(func() { a.work(s, 60) })
		}
		for n := range uint64(2) {
			a := s.actor(l, seed, 20+n)
			wg.Go(func() { a.keep(60) })
		}
		wg.Wait()
		if len(l.gone) == 0 || len(l.dead) == 0 {
			s.Errorf("nothing happened: %d jobs done, %d processes died", len(l.gone), len(l.dead))
		}
		l.settle(s)
	}},
}
