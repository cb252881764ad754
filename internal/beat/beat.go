// Package beat keeps the lease of a process alive, and knows how far it can be
// relied on.
package beat

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Config is what a heart needs to know. All of it must be set but Suspicion.
type Config struct {
	Keeper store.Keeper
	Every  time.Duration // between two beats
	TTL    time.Duration // of the lease
	// Suspicion is what the lease may be shortened to while others do not see this
	// process connected; longer than Every. Where the way to the store is long it is
	// stretched. 0: nobody shortens the lease.
	Suspicion time.Duration
	// Presence is asked anew for each beat, before it is sent. Suspicion and Ring are
	// the heart's to set.
	Presence func() store.Presence
	// Answered gets what the store answered, in order.
	Answered func(store.Orders)
	// CutOff is called when no beat has been answered for so long that the lease
	// will have lapsed shortly; once for each time that this happens.
	CutOff func()
	Outage *Outage
}

// Heart renews the lease of one process at regular intervals.
type Heart struct {
	Config
	nudged chan struct{} // capacity 1: a level, not a count
	cutOff *time.Timer

	mu       sync.Mutex
	made     uint64        // beats made up so far
	answered uint64        // the last of them that was answered
	sent     time.Time     // when that one was sent
	took     time.Duration // until it was answered
	sure     time.Duration // how long from there the lease lasts, whatever others do
	steady   time.Time     // when the first one since the last absence was sent
	epoch    uint64        // gaps so far
	waiting  chan struct{} // closed and replaced at each answer
}

// New makes a heart that does not beat yet.
func New(c Config) *Heart {
	return &Heart{Config: c, nudged: make(chan struct{}, 1), waiting: make(chan struct{})}
}

// Register sends the first beat, and repeats it until it is answered, ctx ends or
// the store gives an answer that will not change. It is called once, before Run.
func (h *Heart) Register(ctx context.Context) error {
	h.cutOff = time.AfterFunc(h.TTL, h.CutOff)
	h.cutOff.Stop()
	for {
		err := h.beat(ctx)
		// Later on a store that is read-only may just have changed its primary.
		if err == nil || ctx.Err() != nil || Final(err) || errors.Is(err, store.ErrReadOnly) {
			return err
		}
		if !sleep(ctx, h.Every, nil) {
			return err
		}
	}
}

// Run beats until ctx ends. It returns early, with the reason, if the store says
// that there is no going on: this process has left, or the store is closed.
func (h *Heart) Run(ctx context.Context) error {
	defer h.cutOff.Stop()
	for {
		h.mu.Lock()
		next := time.Until(h.sent.Add(h.Every))
		h.mu.Unlock()
		// A late or failed beat is not followed by another one at once.
		if !sleep(ctx, max(next, h.Every/4), h.nudged) {
			return nil
		}
		if err := h.beat(ctx); err != nil && Final(err) {
			return err
		}
	}
}

// beat sends one beat and waits for its answer.
func (h *Heart) beat(ctx context.Context) error {
	h.mu.Lock()
	h.made++
	number, sent := h.made, time.Now()
	suspicion := h.suspicion()
	// This beat may count before it is answered, and so may what it says.
	h.sure = min(h.sure, h.reach(suspicion))
	h.mu.Unlock()
	p := h.Presence()
	p.Suspicion, p.Ring = suspicion, h.Nudge
	call, cancel := context.WithTimeout(ctx, max(h.TTL/3, h.Every))
	defer cancel()
	orders, err := h.Keeper.Beat(call, p, h.TTL)
	if err != nil {
		if ctx.Err() == nil {
			h.Outage.Note("beat", sent, err)
		}
		return err
	}
	h.Outage.Note("beat", sent, nil)

	h.mu.Lock()
	away := h.sent.IsZero() || sent.Sub(h.sent) > h.gap() || orders.Renewed || orders.Reconnected
	if away {
		h.steady = sent
	}
	if away || sent.Sub(h.sent) > h.sure {
		h.epoch++
	}
	h.sent, h.answered = sent, number
	h.took, h.sure = time.Since(sent), h.reach(suspicion)
	h.cutOff.Reset(time.Until(sent.Add(h.TTL - h.TTL/6)))
	h.mu.Unlock()

	// What the answer means is known to all before anyone goes on because of it.
	h.Answered(orders)

	h.mu.Lock()
	close(h.waiting)
	h.waiting = make(chan struct{})
	h.mu.Unlock()
	return nil
}

// gap is the time between two answered beats from which on this process has been
// away: frozen, cut off, or without its store. It leaves a beat room to be late,
// and is far shorter than a lease.
func (h *Heart) gap() time.Duration { return max(2*h.Every, h.TTL/8) }

// suspicion is what the next beat says that the lease may be shortened to. It leaves
// room for the time between two beats and for two ways to the store and back as long
// as the last one: else a process far from its store, or on a machine that is slow just
// now, would lose its lease each time that its connection ends, and could never be sure
// of it for long enough to fetch anything.
func (h *Heart) suspicion() time.Duration {
	d := h.Suspicion
	for d > 0 && d < h.TTL && d < h.Every+2*h.took {
		d *= 2
	}
	return min(d, h.TTL)
}

// reach is how long a beat that says suspicion can be relied on, from when it was sent.
// Others may think at once that its sender is gone, so the lease may end as soon as
// that, and this process must not fetch or begin what nobody else may have by then: that
// is why being late for a moment ends what Regular, Unbroken and Confirm answer. It is
// not why Steady does, which asks whether this process can tell the living from the
// dead: a late beat of its own says nothing of that, until it has been away for a gap.
func (h *Heart) reach(suspicion time.Duration) time.Duration {
	if suspicion == 0 {
		return h.gap()
	}
	return min(h.gap(), suspicion)
}

// Regular waits until the last answered beat is recent, and returns the epoch that
// Unbroken takes. It returns ctx's cause if that ends first.
func (h *Heart) Regular(ctx context.Context) (epoch uint64, err error) {
	for {
		h.mu.Lock()
		epoch, recent, waiting := h.epoch, h.recent(), h.waiting
		h.mu.Unlock()
		if recent {
			return epoch, nil
		}
		h.Nudge()
		if err := wait(ctx, waiting); err != nil {
			return 0, err
		}
	}
}

// Unbroken reports whether there has been no gap since Regular returned epoch.
func (h *Heart) Unbroken(epoch uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.epoch == epoch && h.recent()
}

// Confirm returns once a beat that was made up after the call has been answered,
// and recently: what this process is told to hold by then, it holds. It hurries
// the next beat. It returns the epoch that Unbroken takes, or ctx's cause if that
// ends first.
func (h *Heart) Confirm(ctx context.Context) (epoch uint64, err error) {
	h.mu.Lock()
	asked := h.made
	h.mu.Unlock()
	for {
		h.mu.Lock()
		epoch, confirmed, waiting := h.epoch, h.answered > asked && h.recent(), h.waiting
		h.mu.Unlock()
		if confirmed {
			return epoch, nil
		}
		h.Nudge()
		if err := wait(ctx, waiting); err != nil {
			return 0, err
		}
	}
}

func wait(ctx context.Context, answer <-chan struct{}) error {
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (h *Heart) recent() bool { return h.within(h.sure) }

func (h *Heart) within(d time.Duration) bool { return !h.sent.IsZero() && time.Since(h.sent) <= d }

// Steady reports whether beats have been answered without a gap for a full lease.
// Until then others may not have had time to report after the store was away, and
// a lapsed lease is no proof of an end.
func (h *Heart) Steady() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.within(h.gap()) && time.Since(h.steady) >= h.TTL
}

// Nudge makes the next beat come sooner, so that others see what has changed.
func (h *Heart) Nudge() {
	select {
	case h.nudged <- struct{}{}:
	default:
	}
}

// Final reports whether repeating a call cannot help.
func Final(err error) bool {
	return slices.ContainsFunc([]error{store.ErrLeft, store.ErrClosed, store.ErrReplaced, store.ErrCorrupt, store.ErrTooNew},
		func(end error) bool { return errors.Is(err, end) })
}

// sleep waits for d, or until nudged; it reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration, nudged <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-nudged:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
