package redisstore_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/beat"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/store"
)

// worker is a process with a heart and a rescuer, which runs one job that never ends.
type worker struct {
	*boot
	heart *beat.Heart
	held  []store.Held
	beats atomic.Int64 // that were answered
	lost  atomic.Int64 // tokens that it no longer holds
	crash func()
}

const (
	fleetBeat      = 500 * time.Millisecond
	fleetSuspicion = 2 * time.Second
	fleetTTL       = 4 * time.Second
)

func work(t *testing.T, url string) *worker {
	t.Helper()
	w := &worker{boot: &boot{Store: open(t, url), t: t, id: store.NewIdentity(), queues: []store.Share{{Queue: "q"}}}}
	ctx, crash := context.WithCancel(t.Context())
	log := slog.New(slog.DiscardHandler)
	looks := make(chan time.Duration, 1)
	var holds atomic.Pointer[store.Held]
	w.heart = beat.New(beat.Config{
		Keeper: w, Every: fleetBeat, TTL: fleetTTL, Suspicion: fleetSuspicion, Outage: &beat.Outage{Log: log}, CutOff: func() {},
		Presence: func() store.Presence {
			p := w.presence()
			if h := holds.Load(); h != nil {
				p.Known = []store.Token{h.Token}
			}
			return p
		},
		Answered: func(o store.Orders) {
			w.beats.Add(1)
			w.lost.Add(int64(len(o.Gone)))
			if o.Look > 0 {
				select {
				case looks <- o.Look:
				default:
				}
			}
		},
	})
	w.must(w.heart.Register(ctx))
	var living sync.WaitGroup
	living.Go(func() { w.heart.Run(ctx) })
	rescuer := &rescue.Loop{Keeper: w, Log: log, By: w.id, Steady: w.heart.Steady, Look: looks, Stops: w.Stops, Note: func(time.Time, error) {}}
	living.Go(func() { rescuer.Run(ctx) })
	w.crash = sync.OnceFunc(func() { crash(); living.Wait(); w.Close() })
	t.Cleanup(w.crash)
	w.push("q", string(w.id))
	w.held = w.fetch(1)
	holds.Store(&w.held[0])
	return w
}

// steady waits until everybody may rescue, as of its next beats.
func steady(t *testing.T, fleet []*worker) {
	t.Helper()
	for _, w := range fleet {
		before := w.beats.Load()
		eventually(t, "regular beats", func() bool { return w.beats.Load() > before+1 && w.heart.Steady() })
	}
}

// mishaps befall the connections of all.
var mishaps = map[string]func(server *redistest.Server){
	"doorbells cut": func(server *redistest.Server) {
		for range 3 {
			server.Do("CLIENT", "KILL", "TYPE", "pubsub")
		}
	},
}

// Whatever befalls the connections of all, the server restarted included, nobody who
// lives is rescued; and who dies then is.
func TestNobodyAliveIsRescued(t *testing.T) {
	t.Parallel()
	for name, befall := range mishaps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, redistest.AOF())
			var fleet []*worker
			for range 4 {
				fleet = append(fleet, work(t, server.URL()))
			}
			steady(t, fleet)
			befall(server)
			steady(t, fleet)
			for _, w := range fleet {
				eventually(t, "doorbell", func() bool { return inRing(server, w.id) })
				if n := w.lost.Load(); n > 0 {
					t.Errorf("%s lives and has lost %d jobs", w.id, n)
				}
			}
			gone, others := fleet[0], fleet[1:]
			gone.crash()
			eventually(t, "rescue", func() bool { return others[0].in(store.Query{Place: store.Ready, Queue: "q"}) == 1 })
			for _, w := range others {
				w.must(w.Ack(t.Context(), w.call(store.LaneVerdict), store.Done{Token: w.held[0].Token}))
			}
			others[0].balanced()
		})
	}
}
