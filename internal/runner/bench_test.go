package runner

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// BenchmarkJob is what a process spends on a job that does nothing, on a store that
// takes no time.
func BenchmarkJob(b *testing.B) {
	mem := memstore.New(memstore.Options{})
	var done sync.WaitGroup
	r, err := New(Options{
		Store: mem, ID: store.NewIdentity(), Log: slog.New(slog.DiscardHandler),
		Groups:   []store.Group{{Name: "default", Strict: true, Concurrency: 10, Queues: []store.Share{{Queue: "default"}}}},
		Handlers: map[string]*Handler{"Job": {Run: func(context.Context, *wire.Job) error { done.Done(); return nil }}},
		Beat:     750 * time.Millisecond, TTL: 12 * time.Second, Poll: 5 * time.Second,
	})
	if err != nil {
		b.Fatal(err)
	}
	for first := 0; first < b.N; first += store.MaxBatch {
		items := make([]store.Item, min(store.MaxBatch, b.N-first))
		for i := range items {
			n := wire.New{Kind: "Job", JID: fmt.Sprintf("%024x", first+i), Queue: "default", Args: []byte("[]"), CreatedAt: time.Now(), EnqueuedAt: time.Now()}
			items[i] = store.Item{JID: n.JID, Queue: n.Queue, Kind: n.Kind, Payload: n.Append(nil)}
		}
		if _, err := mem.Push(b.Context(), store.Call{}, items...); err != nil {
			b.Fatal(err)
		}
	}
	done.Add(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	ctx, stop := context.WithCancel(b.Context())
	go r.Run(ctx)
	done.Wait()
	b.StopTimer()
	stop()
	<-r.Done()
}
