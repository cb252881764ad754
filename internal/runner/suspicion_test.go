package runner

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// seeing is a store that sees connections: it notes what beats say of them, and may
// answer that one has ended.
type seeing struct {
	store.Store
	lock bool

	mu   sync.Mutex
	last store.Presence
	look time.Duration
}

func (s *seeing) Describe() store.Description {
	d := s.Store.Describe()
	d.LeaseIsLock = s.lock
	return d
}

func (s *seeing) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	orders, err := s.Store.Beat(ctx, p, ttl)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, orders.Look = p, s.look
	s.look = 0
	return orders, err
}

func (s *seeing) presence() store.Presence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *seeing) say(look time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look = look
}

// A lease may be shortened to what a living process can keep up with, and not at all
// where jobs that listen are promised never to run twice.
func TestSuspicion(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *Options)
		lock   bool
		want   time.Duration
	}{
		"usual":                {func(*Options) {}, false, time.Second},
		"beats often":          {func(o *Options) { o.Beat = 10 * time.Millisecond }, false, time.Second},
		"beats seldom":         {func(o *Options) { o.Beat = 3 * time.Second }, false, 4 * time.Second},
		"short lease":          {func(o *Options) { o.Beat, o.TTL = 100*time.Millisecond, 800*time.Millisecond }, false, 800 * time.Millisecond},
		"ends jobs at cut-off": {func(o *Options) { o.EndCutOff = true }, false, 0},
		"lease is a lock":      {func(*Options) {}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				o := w.options(nil)
				s := &seeing{Store: o.Store, lock: tt.lock}
				o.Store = s
				tt.change(&o)
				p := w.start(o)
				<-p.Started()
				equal(t, "suspicion", s.presence().Suspicion, tt.want)
				equal(t, "can be rung", s.presence().Ring != nil, true)
				p.end()
			})
		})
	}
}

// What a process that is suspected held runs elsewhere as soon as its lease has ended.
func TestSuspectedIsRescuedAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		began := make(chan time.Time, 2)
		job := func(ctx context.Context, _ *wire.Job) error {
			began <- time.Now()
			return nil
		}
		gone := store.NewIdentity()
		if _, err := w.mem.Beat(t.Context(), store.Presence{ID: gone}, time.Hour); err != nil {
			t.Fatal(err)
		}
		w.push("Job")
		plan := store.Plan{Queues: []store.Share{{Queue: "default"}}}
		if held, _, err := w.mem.Fetch(t.Context(), store.Call{By: gone, Lane: store.LaneFetch, Seq: 1}, plan, 1, 0); len(held) != 1 || err != nil {
			t.Fatal(held, err)
		}
		o := w.options(map[string]func(context.Context, *wire.Job) error{"Job": job})
		s := &seeing{Store: o.Store}
		o.Store = s
		p := w.start(o)
		time.Sleep(2 * testTTL) // it may rescue now
		const left = 1300 * time.Millisecond
		if err := w.mem.Suspect(t.Context(), gone, left); err != nil {
			t.Fatal(err)
		}
		end := time.Now().Add(left)
		s.say(left) // with the next beat, which rings
		s.presence().Ring()
		if late := (<-began).Sub(end); late < 0 || late > 50*time.Millisecond {
			t.Errorf("runs %v after the end of the lease", late)
		}
		p.end()
	})
}
