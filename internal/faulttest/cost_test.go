package faulttest

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
)

// durable are stores of each setting that has a say in what can be lost, from the
// least to the most that it keeps.
var durable = []struct {
	name string
	url  func(b *testing.B) string
}{
	{"redis,appendonly=no", func(b *testing.B) string { return redistest.Start(b).URL() }},
	{"redis,appendfsync=no", func(b *testing.B) string { return redistest.Start(b, kept("no")).URL() }},
	{"redis,appendfsync=everysec", func(b *testing.B) string { return redistest.Start(b, kept("everysec")).URL() }},
	{"redis,appendfsync=always", func(b *testing.B) string { return redistest.Start(b, kept("always")).URL() }},
	{"redis,appendfsync=everysec,min-replicas=1", replicated},
	{"redis,appendfsync=everysec,wait=1", func(b *testing.B) string { return replicated(b) + "?wait=1" }},
	{"sqlite,may-lose-last-moments", func(b *testing.B) string {
		return "sqlite:" + filepath.Join(b.TempDir(), "ebb.db") + "?durability=may-lose-last-moments"
	}},
	{"sqlite,full", func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "ebb.db") }},
}

func replicated(b *testing.B) string {
	primary := redistest.Start(b, kept("everysec"), atOnce)
	redistest.StartReplica(b, primary, kept("everysec"))
	primary.Do("CONFIG", "SET", "min-replicas-to-write", "1")
	return primary.URL()
}

// BenchmarkDurability shows what a setting costs.
func BenchmarkDurability(b *testing.B) {
	for _, d := range durable {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/enqueue,callers=%d", d.name, callers), func(b *testing.B) {
				client := opened(b, d.url(b))
				var left atomic.Int64
				left.Store(int64(b.N))
				var calling sync.WaitGroup
				b.ResetTimer()
				for range callers {
					calling.Go(func() {
						for left.Add(-1) >= 0 {
							if _, err := run.Enqueue(b.Context(), client, errand{}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				calling.Wait()
				b.StopTimer()
				perSecond(b)
			})
		}
		b.Run(d.name+"/drain,slots=10", func(b *testing.B) {
			url := d.url(b)
			client := opened(b, url)
			if _, err := run.EnqueueMany(b.Context(), client, make([]errand, b.N)); err != nil {
				b.Fatal(err)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan bool)
			p := ebb.NewProcess(client, ebb.Config{Logger: slog.New(slog.DiscardHandler)})
			run.Handle(p, func(context.Context, errand) error {
				if left.Add(-1) == 0 {
					close(done)
				}
				return nil
			})
			b.ResetTimer()
			if err := p.Start(context.WithoutCancel(b.Context())); err != nil {
				b.Fatal(err)
			}
			<-done
			p.Drain(context.WithoutCancel(b.Context()))
			b.StopTimer()
			perSecond(b)
		})
	}
}

func opened(b *testing.B, url string) *ebb.Client {
	client, err := ebb.Open(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	return client
}

func perSecond(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s") }
