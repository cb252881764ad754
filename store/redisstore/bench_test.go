package redisstore_test

import (
	"fmt"
	"io"
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

// fill puts n jobs on the server as others would.
func fill(b *testing.B, server *redistest.Server, n int, command func(payloads []string) []string) {
	for from := 0; from < n; from += 1000 {
		payloads := make([]string, min(1000, n-from))
		for i := range payloads {
			payloads[i] = strings.Replace(benchPayload, "46b06f2ee5da42f8e0b7076f", fmt.Sprintf("%024d", from+i), 1)
		}
		server.Do(command(payloads)...)
	}
}

func queued(payloads []string) []string { return append([]string{"LPUSH", "queue:q"}, payloads...) }

func retrying(payloads []string) []string {
	command := []string{"ZADD", "retry"}
	for i, p := range payloads {
		command = append(command, strconv.Itoa(1795289561+i), p)
	}
	return command
}

// The time to walk a whole place; the server is held for a window at a time.
func BenchmarkWalk(b *testing.B) {
	for _, size := range []int{10_000, 1_000_000} {
		server, s := benchStore(b)
		fill(b, server, size, queued)
		fill(b, server, size, retrying)
		for _, q := range []store.Query{{Place: store.Retrying}, {Place: store.Retrying, Newest: true}, {Place: store.Ready, Queue: "q"}, {Place: store.Ready, Queue: "q", Newest: true}} {
			b.Run(fmt.Sprintf("jobs=%d/%v/newest=%v", size, q.Place, q.Newest), func(b *testing.B) {
				done := serverCPU(b, server, size)
				for range b.N {
					n := 0
					for _, err := range s.Jobs(b.Context(), q) {
						if err != nil {
							b.Fatal(err)
						}
						n++
					}
					if n != size {
						b.Fatalf("%d jobs of %d", n, size)
					}
				}
				done()
			})
		}
	}
}

// A batch of 500 is cleared from the front of a queue and comes back.
func BenchmarkClearAndUndo(b *testing.B) {
	for _, size := range []int{1_000, 1_000_000} {
		server, s := benchStore(b)
		server.Do("SADD", "queues", "q")
		fill(b, server, size, queued)
		b.Run(fmt.Sprintf("waiting=%d", size), func(b *testing.B) {
			done := serverCPU(b, server, 500)
			for range b.N {
				var picks []store.Pick
				for e, err := range s.Jobs(b.Context(), store.Query{Place: store.Ready, Queue: "q", Limit: 500}) {
					if err != nil {
						b.Fatal(err)
					}
					picks = append(picks, store.Pick{Key: e.Key})
				}
				n, err := s.Delete(b.Context(), store.Undoable{Change: "c", For: time.Hour}, picks...)
				if err != nil || n != 500 {
					b.Fatal(n, err)
				}
				if u, err := s.Undo(b.Context(), "c", 0); err != nil || u.Back != 500 {
					b.Fatal(u, err)
				}
			}
			done()
		})
	}
}

// How long the server is held by a backup.
func BenchmarkBackup(b *testing.B) {
	for _, size := range []int{100_000, 1_000_000} {
		server, s := benchStore(b)
		server.Do("SADD", "queues", "q")
		fill(b, server, size/2, queued)
		fill(b, server, size/2, retrying)
		b.Run(fmt.Sprintf("jobs=%d", size), func(b *testing.B) {
			server.Do("CONFIG", "RESETSTAT")
			for range b.N {
				if err := s.Backup(b.Context(), io.Discard); err != nil {
					b.Fatal(err)
				}
			}
			_, usec, _ := strings.Cut(field(server.Do("INFO", "commandstats"), "cmdstat_exec"), "usec=")
			usec, _, _ = strings.Cut(usec, ",")
			held, _ := strconv.ParseFloat(usec, 64)
			b.ReportMetric(held/1000/float64(b.N), "held-ms/op")
		})
	}
}
