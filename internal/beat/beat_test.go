package beat

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keeper answers beats as it is told.
type keeper struct {
	store.Keeper
	mu     sync.Mutex
	answer func(ctx context.Context) (store.Orders, error) // nil: as a store does that is well
}

func (k *keeper) say(answer func(ctx context.Context) (store.Orders, error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answer = answer
}

func (k *keeper) Beat(ctx context.Context, _ store.Presence, _ time.Duration) (store.Orders, error) {
	k.mu.Lock()
	answer := k.answer
	k.mu.Unlock()
	if answer == nil {
		return store.Orders{}, nil
	}
	return answer(ctx)
}

// newHeart makes a heart with a beat of 1 s and a lease of 12 s.
func newHeart(k *keeper, cutOff func()) *Heart {
	return New(Config{
		Keeper: k, Every: time.Second, TTL: 12 * time.Second,
		Presence: func() store.Presence { return store.Presence{} }, Answered: func(store.Orders) {}, CutOff: cutOff,
		Outage: &Outage{Log: slog.New(slog.DiscardHandler)},
	})
}

// beating starts a heart, which beats until the test ends.
func beating(t *testing.T, k *keeper, cutOff func()) *Heart {
	t.Helper()
	h := newHeart(k, cutOff)
	if err := h.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := h.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	return h
}

// sleepy answers after d.
func sleepy(d time.Duration) func(context.Context) (store.Orders, error) {
	return func(ctx context.Context) (store.Orders, error) {
		sleep(ctx, d, nil)
		return store.Orders{}, ctx.Err()
	}
}

func TestAGapIsKnownAtOnceAndMendedByABeat(t *testing.T) {
	t.Parallel()
	for name, gap := range map[string]func(k *keeper){
		"no answer for 3 s": func(k *keeper) {
			back := time.Now().Add(3 * time.Second)
			k.say(func(context.Context) (store.Orders, error) {
				if time.Now().Before(back) {
					return store.Orders{}, errors.New("away")
				}
				return store.Orders{}, nil
			})
		},
		"an answer after 3 s": func(k *keeper) {
			k.say(func(ctx context.Context) (store.Orders, error) {
				k.say(nil)
				return sleepy(3 * time.Second)(ctx)
			})
		},
		"a store that reconnected": func(k *keeper) {
			k.say(func(context.Context) (store.Orders, error) { k.say(nil); return store.Orders{Reconnected: true}, nil })
		},
		"a lease that had ended": func(k *keeper) {
			k.say(func(context.Context) (store.Orders, error) { k.say(nil); return store.Orders{Renewed: true}, nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := &keeper{}
				h := beating(t, k, func() {})
				epoch, err := h.Regular(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(20*time.Second + 500*time.Millisecond)
				if !h.Unbroken(epoch) || !h.Steady() {
					t.Fatalf("unbroken %v, steady %v after 20 s of regular beats", h.Unbroken(epoch), h.Steady())
				}
				gap(k)
				time.Sleep(2 * time.Second)
				if h.Unbroken(epoch) || h.Steady() {
					t.Errorf("unbroken %v, steady %v after a gap", h.Unbroken(epoch), h.Steady())
				}
				next, err := h.Regular(t.Context())
				if err != nil || next == epoch || !h.Unbroken(next) {
					t.Errorf("after the gap: epoch %d, was %d, unbroken %v, %v", next, epoch, h.Unbroken(next), err)
				}
				mended := time.Now()
				time.Sleep(9 * time.Second)
				if h.Steady() {
					t.Error("steady again before a lease has passed")
				}
				time.Sleep(6 * time.Second)
				if !h.Steady() {
					t.Errorf("not steady %v after the gap", time.Since(mended))
				}
			})
		})
	}
}

func TestConfirmWaitsForABeatThatWasMadeUpAfterwards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		h := beating(t, k, func() {})
		time.Sleep(100 * time.Millisecond)
		k.say(sleepy(300 * time.Millisecond))
		time.Sleep(time.Second) // a beat is under way for 100 ms
		asked := time.Now()
		if _, err := h.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(asked); took != 500*time.Millisecond { // what is left of it, and a whole one at once
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		if _, err := h.Confirm(ctx); err == nil || err.Error() != "enough" {
			t.Errorf("Confirm returned %v", err)
		}
	})
}

func TestCutOffComesBeforeTheLeaseEndsAndOncePerOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		var cuts atomic.Int64
		beating(t, k, func() { cuts.Add(1) })
		time.Sleep(30 * time.Second)
		if n := cuts.Load(); n != 0 {
			t.Fatalf("cut off %d times while beats were answered", n)
		}
		k.say(func(context.Context) (store.Orders, error) { return store.Orders{}, errors.New("away") })
		time.Sleep(8 * time.Second)
		if n := cuts.Load(); n != 0 {
			t.Errorf("cut off %d times after 8 s", n)
		}
		time.Sleep(time.Minute)
		if n := cuts.Load(); n != 1 {
			t.Errorf("cut off %d times after a minute", n)
		}
	})
}

func TestAStoreThatIsGoneForGoodEndsTheBeat(t *testing.T) {
	t.Parallel()
	for _, end := range []error{store.ErrLeft, store.ErrClosed, store.ErrReplaced} {
		synctest.Test(t, func(t *testing.T) {
			k := &keeper{}
			h := newHeart(k, func() {})
			if err := h.Register(t.Context()); err != nil {
				t.Fatal(err)
			}
			k.say(func(context.Context) (store.Orders, error) { return store.Orders{}, end })
			if err := h.Run(t.Context()); !errors.Is(err, end) {
				t.Errorf("Run returned %v, want %v", err, end)
			}
		})
	}
}

func TestOutageIsSaidOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := &Outage{Log: slog.New(slog.NewTextHandler(&log, nil))}
	away := store.WithHint(errors.New("refused"), "start it")
	before := time.Now()
	for range 3 {
		o.Note("beat", time.Now(), away)
		o.Note("fetch", time.Now(), away)
		o.Note("record", time.Now(), nil)
	}
	o.Note("beat", time.Now(), nil)
	o.Note("record", time.Now(), context.Canceled)
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), `hint="start it"`) {
		t.Errorf("%d lines while one part still fails:\n%s", n, &log)
	}
	o.Note("fetch", time.Now(), nil)
	o.Note("fetch", time.Now(), nil)
	o.Note("rescue", before, away) // was under way when the store came back
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "store is back") {
		t.Errorf("%d lines in the end:\n%s", n, &log)
	}
	o.Note("rescue", time.Now(), away)
	if n := strings.Count(log.String(), "\n"); n != 3 {
		t.Errorf("%d lines after another outage began:\n%s", n, &log)
	}
}

// suspected makes a heart with a beat of 1 s whose lease others may cut to 1.5 s. It
// tells what its beats say of that.
func suspected(k *keeper) (h *Heart, said func() time.Duration) {
	h = newHeart(k, func() {})
	h.Suspicion = 1500 * time.Millisecond
	spy := &spy{keeper: k}
	h.Keeper = spy
	return h, spy.last
}

// spy notes what beats say.
type spy struct {
	*keeper
	mu        sync.Mutex
	suspicion time.Duration
	rings     bool
}

func (s *spy) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	s.mu.Lock()
	s.suspicion, s.rings = p.Suspicion, p.Ring != nil
	s.mu.Unlock()
	return s.keeper.Beat(ctx, p, ttl)
}

func (s *spy) last() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.suspicion
}

// run lets a heart beat until the test ends.
func run(t *testing.T, h *Heart) {
	t.Helper()
	if err := h.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	go h.Run(t.Context())
}

// A beat that is a little late may have cost the lease, and is no reason to think that
// others could not report.
func TestALateBeatMakesUnsureAndStaysSteady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		h, _ := suspected(k)
		run(t, h)
		epoch, err := h.Regular(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20*time.Second + 500*time.Millisecond)
		if !h.Unbroken(epoch) || !h.Steady() {
			t.Fatalf("unbroken %v, steady %v after 20 s of regular beats", h.Unbroken(epoch), h.Steady())
		}
		// The beat at 21 s is answered at 21.9 s, 1.9 s after the one before was sent.
		k.say(func(ctx context.Context) (store.Orders, error) {
			k.say(nil)
			return sleepy(900 * time.Millisecond)(ctx)
		})
		time.Sleep(900 * time.Millisecond)
		if !h.Unbroken(epoch) {
			t.Error("unsure 1.4 s after the last beat that was answered")
		}
		time.Sleep(200 * time.Millisecond)
		if h.Unbroken(epoch) || !h.Steady() {
			t.Errorf("unbroken %v, steady %v when the lease may have been cut and have ended", h.Unbroken(epoch), h.Steady())
		}
		asked := time.Now()
		if _, err := h.Regular(t.Context()); err != nil || time.Since(asked) != 300*time.Millisecond {
			t.Errorf("sure again after %v, %v", time.Since(asked), err)
		}
		for range 30 {
			time.Sleep(500 * time.Millisecond)
			if !h.Steady() {
				t.Fatal("a late beat stops rescues")
			}
		}
	})
}

// A gap between two beats that is longer than what the lease may have been cut to is
// known by the next one, even if nobody asked meanwhile.
func TestAGapLongerThanTheSuspicionIsKnownAfterwards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		h, _ := suspected(k)
		run(t, h)
		epoch, err := h.Regular(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20*time.Second + 500*time.Millisecond)
		k.say(func(context.Context) (store.Orders, error) { return store.Orders{}, errors.New("away") })
		time.Sleep(1100 * time.Millisecond) // since 20 s
		k.say(nil)
		time.Sleep(400 * time.Millisecond)
		if h.Unbroken(epoch) {
			t.Error("unbroken over 1.6 s or more between two beats")
		}
		if !h.Steady() {
			t.Error("a gap of less than two beats stops rescues")
		}
	})
}

// Where the way to the store takes long, the lease may not be cut to less than a
// process can keep up with, or it would never be sure of it.
func TestSuspicionIsStretchedToTheWay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		way, said time.Duration
	}{
		{0, 1500 * time.Millisecond},
		{200 * time.Millisecond, 1500 * time.Millisecond},
		{300 * time.Millisecond, 3 * time.Second},
		{time.Second, 3 * time.Second},
		{1500 * time.Millisecond, 6 * time.Second},
	} {
		t.Run(tt.way.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := &keeper{}
				h, said := suspected(k)
				k.say(sleepy(tt.way))
				run(t, h)
				time.Sleep(10 * time.Second)
				if got := said(); got != tt.said {
					t.Errorf("beats say %v, want %v", got, tt.said)
				}
				for range 5 { // it can do something between two beats
					if _, err := h.Regular(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(700 * time.Millisecond)
				}
				// What a beat says counts from when it is sent: the store may know it.
				k.say(nil)
				time.Sleep(3 * time.Second)
				k.say(func(context.Context) (store.Orders, error) { return store.Orders{}, errors.New("away") })
				time.Sleep(1600 * time.Millisecond)
				if said() == h.Suspicion && h.recent() {
					t.Errorf("sure 1.6 s after a beat that said %v", said())
				}
			})
		})
	}
}

// A shorter suspicion counts as soon as the store may know of it.
func TestShrinkingSuspicionCountsBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		h, said := suspected(k)
		h.Every = 500 * time.Millisecond // so that the gap is no shorter than 1.5 s
		h.TTL = 40 * time.Second
		k.say(sleepy(time.Second))
		run(t, h)
		time.Sleep(5 * time.Second)
		if said() != 3*time.Second {
			t.Fatalf("beats say %v", said())
		}
		k.say(nil)
		if _, err := h.Confirm(t.Context()); err != nil { // by a beat that still says so
			t.Fatal(err)
		}
		k.say(sleepy(time.Hour))
		time.Sleep(time.Second)
		if said() != h.Suspicion {
			t.Fatalf("beats say %v", said())
		}
		if time.Sleep(700 * time.Millisecond); h.recent() {
			t.Error("it relies on what an earlier beat said")
		}
	})
}

func TestBeatsCanBeRung(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		h, _ := suspected(k)
		run(t, h)
		if !h.Keeper.(*spy).rings {
			t.Error("a beat does not say how to ring")
		}
	})
}
