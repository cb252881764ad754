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
}

func (l *listener) heard() (beat, leave []store.Runs) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.beat, l.leave
}

func (l *listener) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	l.mu.Lock()
	l.beat = p.Runs
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
		w.push("Good", func(n *wire.New) {
			n.Extra = []wire.Field{{Key: "wrapped", Value: []byte(`"Mailer"`)}, {Key: "display_class", Value: []byte(`"for people"`)}}
		})
		p := w.start(o)
		time.Sleep(5 * time.Second)
		want := []store.Runs{
			{Kind: "Bad", Ended: 1, Failed: 1},
			{Kind: "Dropped", Ended: 1, Failed: 1},
			{Kind: "Good", Ended: 2, Took: 50 * time.Millisecond, Spread: store.Spread{1: 2}},
			{Kind: "Mailer", Ended: 1, Took: 25 * time.Millisecond, Spread: store.Spread{1: 1}},
			{Kind: "Slow", Ended: 1, Took: time.Second, Spread: store.Spread{10: 1}},
		}
		beat, _ := l.heard()
		equal(t, "a beat", beat, want)
		p.end()
		_, leave := l.heard()
		equal(t, "the goodbye", leave, want)
		if st := w.stats(); st.Processed != 7 { // Unknown has failed without a run
			t.Errorf("%d were processed", st.Processed)
		}
	})
}

func TestKindsThatAreCountedAreBounded(t *testing.T) {
	t.Parallel()
	var c counts
	for i := range maxKinds + 100 {
		a := &Attempt{job: &wire.Job{Kind: fmt.Sprint(i)}, since: time.Now()}
		c.ended(&entry{move: ack, attempt: a})
	}
	if n := len(c.all()); n != maxKinds {
		t.Errorf("%d kinds are counted", n)
	}
}
