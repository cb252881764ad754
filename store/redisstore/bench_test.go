package redisstore_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
)

const benchPayload = `{"class":"BenchJob","args":[1,"two",{"k":[null,true,1.5]}],"retry":true,"queue":"q","jid":"46b06f2ee5da42f8e0b7076f","created_at":1795289561.689562,"enqueued_at":1795289561.689788}`

func benchStore(b *testing.B) (*redistest.Server, *redisstore.Store) {
	server := redistest.Start(b)
	s, err := redisstore.Open(b.Context(), server.URL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return server, s
}

// serverCPU reports the server's own work for each job.
func serverCPU(b *testing.B, server *redistest.Server, jobs int) (done func()) {
	used := func() (seconds float64) {
		for line := range strings.Lines(server.Do("INFO", "cpu")) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if name == "used_cpu_sys_main_thread" || name == "used_cpu_user_main_thread" {
				f, _ := strconv.ParseFloat(value, 64)
				seconds += f
			}
		}
		return seconds
	}
	before := used()
	return func() { b.ReportMetric((used()-before)*1e6/float64(b.N*jobs), "server-µs/job") }
}

func BenchmarkPush(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			server, s := benchStore(b)
			done := serverCPU(b, server, 1)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			id := store.NewIdentity()
			for i := range callers {
				wg.Go(func() {
					for seq := uint64(1); left.Add(-1) >= 0; seq++ {
						call := store.Call{By: id, Lane: store.LanePush + i, Seq: seq}
						if _, err := s.Push(b.Context(), call, store.Item{Queue: "q", Payload: []byte(benchPayload)}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			done()
		})
	}
}

func BenchmarkFetchAck(b *testing.B) {
	for _, size := range []int{1, 10, 50} {
		b.Run(fmt.Sprintf("jobs=%d", size), func(b *testing.B) {
			server, s := benchStore(b)
			id := store.NewIdentity()
			items := make([]store.Item, size)
			for i := range items {
				items[i] = store.Item{Queue: "q", Payload: []byte(benchPayload)}
			}
			plan := store.Plan{Queues: []store.Share{{Queue: "q"}}}
			if _, err := s.Beat(b.Context(), store.Presence{ID: id, Groups: []store.Group{{Queues: plan.Queues}}}, time.Hour); err != nil {
				b.Fatal(err)
			}
			for range b.N {
				if _, err := s.Push(b.Context(), store.Call{By: id, Lane: store.LanePush}, items...); err != nil {
					b.Fatal(err)
				}
			}
			done := serverCPU(b, server, size)
			b.ResetTimer()
			for seq := uint64(1); seq <= uint64(b.N); seq++ {
				jobs, _, err := s.Fetch(b.Context(), store.Call{By: id, Lane: store.LaneFetch, Seq: seq}, plan, size, 0)
				if err != nil || len(jobs) != size {
					b.Fatal(len(jobs), err)
				}
				acks := make([]store.Done, size)
				for i, j := range jobs {
					acks[i].Token = j.Token
				}
				if err := s.Ack(b.Context(), store.Call{By: id, Lane: store.LaneVerdict, Seq: seq}, acks...); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "jobs/s")
			done()
		})
	}
}
