package runner

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// listener keeps what a process says of its runs.
type listener struct {
	store.Store
	mu          sync.Mutex
	beat, leave []store.Runs
	beats       []store.Presence
}

func (l *listener) heard() (beat, leave []store.Runs) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.beat, l.leave
}

func (l *listener) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	l.mu.Lock()
	l.beat, l.beats = p.Runs, append(l.beats, p)
	l.mu.Unlock()
	return l.Store.Beat(ctx, p, ttl)
}

func (l *listener) Leave(ctx context.Context, call store.Call, f store.Farewell) error {
	l.mu.Lock()
	l.leave = f.Runs
	l.mu.Unlock()
	return l.Store.Leave(ctx, call, f)
}

func TestRunsThatEndedAreCounted(t *testing.T) {
	t.Parallel()
	takes := func(d time.Duration, err error) func(context.Context, *wire.Job) error {
		return func(context.Context, *wire.Job) error { time.Sleep(d); return err }
	}
	inWorld(t, func(w *world) {
		o := w.options(map[string]func(context.Context, *wire.Job) error{
			"Good": takes(25*time.Millisecond, nil), "Slow": takes(time.Second, nil), "Bad": takes(time.Second, errBoom),
			"Dropped": takes(0, &verdict.Discard{Err: errBoom}), "Snoozed": takes(0, &verdict.Snooze{D: time.Hour}),
			"Stuck": func(ctx context.Context, _ *wire.Job) error { <-ctx.Done(); return ctx.Err() },
		})
		l := &listener{Store: o.Store}
		o.Store = l
		for _, kind := range []string{"Good", "Good", "Slow", "Bad", "Dropped", "Snoozed", "Stuck", "Unknown"} {
			w.push(kind)
		}
		at := func(ago time.Duration) func(*wire.New) {
			return func(n *wire.New) { n.EnqueuedAt = time.Now().Add(-ago) }
		}
		w.push("Slow", at(2*time.Minute))
		w.push("Bad", at(time.Second))
		w.push("Slow", at(-time.Hour)) // by a clock that is ahead
		w.push("Slow", at(time.Hour), func(n *wire.New) {
			n.History.Events = []wire.Event{{At: time.Now().Add(-time.Minute), What: "interrupted"}}
		})
		w.push("Good", func(n *wire.New) {
			n.Extra = []wire.Field{{Key: "wrapped", Value: []byte(`"Mailer"`)}, {Key: "display_class", Value: []byte(`"for people"`)}}
		})
		p := w.start(o)
		time.Sleep(5 * time.Second)
		want := []store.Runs{
			{Kind: "Bad", Queue: "default", Ended: 2, Failed: 2, Waited: time.Second, Waits: store.Spread{10: 1}},
			{Kind: "Dropped", Queue: "default", Ended: 1, Failed: 1},
			{Kind: "Good", Queue: "default", Ended: 2, Took: 50 * time.Millisecond, Spread: store.Spread{1: 2}},
			{Kind: "Mailer", Queue: "default", Ended: 1, Took: 25 * time.Millisecond, Spread: store.Spread{1: 1}},
			{Kind: "Slow", Queue: "default", Ended: 4, Took: 4 * time.Second, Spread: store.Spread{10: 4},
				Waited: 3 * time.Minute, Waits: store.Spread{0: 1, 20: 1, 22: 1}},
		}
		beat, _ := l.heard()
		equal(t, "a beat", beat, want)
		p.end()
		_, leave := l.heard()
		equal(t, "the goodbye", leave, want)
		if st := w.stats(); st.Processed != 11 { // Unknown has failed without a run
			t.Errorf("%d were processed", st.Processed)
		}
	})
}

func TestKindsThatAreCountedAreBounded(t *testing.T) {
	t.Parallel()
	var c counts
	for i := range maxSeries + 100 {
		a := &Attempt{job: &wire.Job{Kind: fmt.Sprint(i)}, since: time.Now()}
		c.ended(&entry{move: ack, attempt: a})
	}
	if n := len(c.all()); n != maxSeries {
		t.Errorf("%d kinds are counted", n)
	}
}
