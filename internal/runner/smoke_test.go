package runner

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		for i := range 100 {
			n := wire.New{Kind: "K", JID: fmt.Sprint(i), Queue: "default", Args: []byte("[]")}
			s.Push(t.Context(), store.Call{}, store.Item{JID: n.JID, Queue: "default", Kind: "K", Payload: n.Append(nil)})
		}
		var ran atomic.Int64
		r, err := New(Options{Store: s, ID: "a:1:x", Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Groups:   []store.Group{{Name: "default", Strict: true, Concurrency: 10, Queues: []store.Share{{Queue: "default"}}}},
			Handlers: map[string]*Handler{"K": {Run: func(ctx context.Context, job *wire.Job) error { ran.Add(1); return nil }}},
			Stop:     lifecycle.Config{Grace: 10 * time.Second}, Beat: 750 * time.Millisecond, TTL: 12 * time.Second, Poll: 5 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(3 * time.Second); cancel() }()
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
		stats, _ := s.Stats(t.Context())
		t.Log(ran.Load(), stats)
	})
}
