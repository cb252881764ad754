package crashtest

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// mortal is a store as a process sees it that can be killed: from then on nothing that
// it does reaches anybody.
type mortal struct {
	store.Store
	dead atomic.Bool
}

var errKilled = errors.New("killed")

func (m *mortal) Fetch(ctx context.Context, call store.Call, plan store.Plan, n int, wait time.Duration) ([]store.Held, store.Woken, error) {
	if m.dead.Load() {
		return nil, store.Idle, errKilled
	}
	held, woken, err := m.Store.Fetch(ctx, call, plan, n, wait)
	if m.dead.Load() {
		return nil, store.Idle, errKilled
	}
	return held, woken, err
}

func (m *mortal) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	if m.dead.Load() {
		return store.Orders{}, errKilled
	}
	return m.Store.Beat(ctx, p, ttl)
}

func (m *mortal) Requeue(ctx context.Context, call store.Call, back ...store.Later) error {
	if m.dead.Load() {
		return errKilled
	}
	return m.Store.Requeue(ctx, call, back...)
}

func (m *mortal) Checkpoint(ctx context.Context, call store.Call, saves ...store.Later) error {
	if m.dead.Load() {
		return errKilled
	}
	return m.Store.Checkpoint(ctx, call, saves...)
}

func (m *mortal) Orphans(ctx context.Context, most int, dead ...store.Identity) ([]store.Lost, error) {
	if m.dead.Load() {
		return nil, errKilled
	}
	return m.Store.Orphans(ctx, most, dead...)
}

func (m *mortal) Rescue(ctx context.Context, s store.Salvage) (int, error) {
	if m.dead.Load() {
		return 0, errKilled
	}
	return m.Store.Rescue(ctx, s)
}

func (m *mortal) Promote(ctx context.Context, p store.Promotion) (int, time.Duration, error) {
	if m.dead.Load() {
		return 0, 0, errKilled
	}
	return m.Store.Promote(ctx, p)
}

func (m *mortal) Leave(ctx context.Context, call store.Call, f store.Farewell) error {
	if m.dead.Load() {
		return errKilled
	}
	return m.Store.Leave(ctx, call, f)
}

// victim is a process that can be killed.
type victim struct {
	store *mortal
	stop  context.CancelFunc
	gone  <-chan struct{}
}

// grace is what a stop of a victim has; its jobs take no notice of it.
const victimGrace = 30 * time.Second

func newVictim(t *testing.T, mem *memstore.Store) *victim {
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	v := &victim{store: &mortal{Store: mem}, stop: stop}
	p := ebb.NewProcess(ebb.NewClient(v.store), ebb.Config{
		Queues: []string{queue}, Stop: ebb.StopConfig{Grace: victimGrace}, Lease: ebb.LeaseConfig{Beat: 3 * time.Second},
		Socket: ebb.NoSocket, Logger: slog.New(slog.DiscardHandler),
	})
	long.Handle(p, func(ctx context.Context, _ int) error {
		step, _, err := ebb.Resume[int](ctx)
		if err != nil {
			return err
		}
		for tick := time.Tick(10 * time.Minute); ; step++ {
			select {
			case <-tick:
				if err := ebb.Checkpoint(ctx, step); err != nil {
					return err
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	// Inside a program that lives on, since a bubble has no signals.
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	v.gone = p.Done()
	return v
}

// kill ends the process as far as anybody can see.
func (v *victim) kill() {
	v.store.dead.Store(true)
	v.stop()
}

// Three workers with long jobs are replaced five times, twelve minutes apart:
// nothing is buried, and only what has been cut off within the last ten minutes ever
// waits. (What three days are like is seen where jobs are judged, by numbers alone.)
func TestDeploysAreNoCrashes(t *testing.T) {
	t.Parallel()
	for name, term := range map[string]bool{"TERM and KILL": true, "KILL alone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { deploys(t, term) })
		})
	}
}

func deploys(t *testing.T, term bool) {
	mem := memstore.New(memstore.Options{})
	client := ebb.NewClient(mem)
	const jobs, apart = 6, 20 * time.Second
	if _, err := long.EnqueueMany(t.Context(), client, numbers(jobs)); err != nil {
		t.Fatal(err)
	}
	var all, fleet []*victim
	start := func() *victim {
		v := newVictim(t, mem)
		all = append(all, v)
		return v
	}
	for range workers {
		fleet = append(fleet, start())
	}
	defer func() {
		for _, v := range all {
			v.kill()
		}
		for _, v := range all {
			<-v.gone
		}
	}()
	time.Sleep(time.Minute)
	for deploy := range 5 {
		for i, old := range fleet {
			fleet[i] = start()
			if term {
				old.stop()
				time.Sleep(victimGrace / 3)
			}
			old.kill()
			time.Sleep(apart)
			if i == 0 {
				noneDelayed(t, mem, deploy)
			}
		}
		time.Sleep(12 * time.Minute)
		stats, err := mem.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if stats.Ready+stats.Held+stats.Scheduled != jobs || stats.Dead > 0 || stats.Failed > 0 {
			t.Errorf("after deploy %d: %+v", deploy, stats)
		}
	}
	for e, err := range mem.Jobs(t.Context(), store.Query{Place: store.Keeping}) {
		if err != nil {
			t.Fatal(err)
		}
		job, err := wire.Parse(e.Payload)
		if err != nil || job.Count != -1 || term && (job.History.Crashes > 0 || job.History.Suspect) {
			t.Errorf("%v: %s", err, e.Payload)
		}
	}
}

// noneDelayed looks at the first process that a deploy has ended: its jobs go on at once,
// but for one that was in all that an earlier deploy ended. Of that nobody can tell.
func noneDelayed(t *testing.T, s store.Store, deploy int) {
	t.Helper()
	held := make([]map[string]int, deploy+1) // ends of processes, by deploy and job
	var first store.StopReport
	ends := 0
	for report, err := range s.Stops(t.Context()) { // the newest first
		if err != nil {
			t.Fatal(err)
		}
		of := max(0, deploy-(ends+workers-1)/workers)
		if ends++; ends == 1 {
			first = report
		}
		if held[of] == nil {
			held[of] = map[string]int{}
		}
		for _, fate := range report.Jobs {
			held[of][fate.JID]++
		}
	}
	for _, fate := range first.Jobs {
		everywhere := slices.ContainsFunc(held, func(ends map[string]int) bool { return ends[fate.JID] == workers })
		if fate.Fate != "rescued" && !everywhere {
			t.Errorf("deploy %d: %s is %s: %s", deploy, fate.JID, fate.Fate, fate.Note)
		}
	}
}
