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
