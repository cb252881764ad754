//go:build slow

package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

func init() {
	mishaps["restart"] = func(server *redistest.Server) { server.Restart() }
	mishaps["all connections cut"] = func(server *redistest.Server) {
		server.Do("CLIENT", "KILL", "TYPE", "pubsub")
		server.Do("CLIENT", "KILL", "TYPE", "normal")
	}
}

// A reply that is lost, and the driver's or the caller's second try, move nothing
// twice.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := newProxy(t, server.Addr)
	b, watch := start(t, p.url(), "q"), start(t, server.URL(), "other")
	ctx := t.Context()
	// A server that does not know a script yet would answer that, and the answer would
	// be what is lost.
	first := start(t, server.URL(), "first")
	first.push("first", "a")
	early := first.fetch(1)[0]
	first.must(first.Retry(ctx, first.call(store.LaneVerdict), store.Later{Token: early.Token, Payload: early.Payload, Delay: time.Hour}))
	first.must(first.Leave(ctx, first.call(store.LaneVerdict), store.Farewell{ID: first.id, Report: store.StopReport{ID: first.id}}))

	b.push("first", "b") // and b has its connections

	// lose runs what while replies vanish, until it gives up.
	lose := func(what func() error) {
		t.Helper()
		p.swallow(true)
		if err := what(); !errors.Is(err, store.ErrUnreachable) {
			t.Fatalf("without a reply: %v", err)
		}
		p.swallow(false)
		p.cut()
	}

	call := b.call(store.LanePush)
	lose(func() error { return second(b.Push(ctx, call, items("q", "a", "b")...)) })
	results, err := b.Push(ctx, call, items("q", "a", "b")...)
	b.must(err)
	if diff := cmp.Diff([]store.Result{{Repeated: true}, {Repeated: true}}, results); diff != "" {
		t.Errorf("push again (-want +got):\n%s", diff)
	}
	if n := watch.in(store.Query{Place: store.Ready, Queue: "q"}); n != 2 {
		t.Fatalf("%d jobs wait", n)
	}

	call = b.call(store.LaneFetch)
	lose(func() error {
		_, _, err := b.Fetch(ctx, call, b.plan(), 1, 0)
		return err
	})
	jobs, _, err := b.Fetch(ctx, call, b.plan(), 1, 0)
	b.must(err)
	if len(jobs) != 1 || watch.in(store.Query{Place: store.Keeping}) != 1 {
		t.Fatalf("fetched %d, %d are held", len(jobs), watch.in(store.Query{Place: store.Keeping}))
	}

	call = b.call(store.LaneVerdict)
	lose(func() error {
		return b.Retry(ctx, call, store.Later{Token: jobs[0].Token, Payload: jobs[0].Payload, Delay: time.Hour})
	})
	b.must(b.Retry(ctx, call, store.Later{Token: jobs[0].Token, Payload: jobs[0].Payload, Delay: time.Hour}))
	if n := watch.in(store.Query{Place: store.Retrying, Queue: "q"}); n != 1 {
		t.Errorf("%d in the retry set", n)
	}

	// A command is given until a beat says that it was taken.
	b.must(watch.Command(ctx, b.id, store.Command{Verb: store.Quiet}))
	lose(func() error {
		_, err := b.Beat(ctx, b.presence(), time.Minute)
		return err
	})
	if orders := b.beat(); len(orders.Commands) != 1 || !orders.Reconnected {
		t.Errorf("after a lost beat: %+v", orders)
	}
	if orders := b.beat(); len(orders.Commands) != 0 {
		t.Errorf("a command comes twice: %+v", orders)
	}

	call = b.call(store.LaneVerdict)
	f := store.Farewell{ID: b.id, Report: store.StopReport{ID: b.id, Reason: "SIGTERM"}}
	lose(func() error { return b.Leave(ctx, call, f) })
	b.must(b.Leave(ctx, call, f))
	reports := 0
	for _, err := range watch.Stops(ctx) {
		b.must(err)
		reports++
	}
	if reports != 2 { // of first, and of b
		t.Errorf("%d stop reports", reports)
	}
	watch.balanced()
}
