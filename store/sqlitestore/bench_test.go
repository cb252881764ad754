//go:build unix

package sqlitestore

import (
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// benchItem is a job of ordinary size.
func benchItem() store.Item {
	now := time.Now()
	jid := wire.NewJID(now)
	job := wire.New{Kind: "WelcomeJob", JID: jid, Queue: "default", Args: []byte(`[42,"a string of some length, as arguments are","2026-01-02T03:04:05Z"]`), CreatedAt: now, EnqueuedAt: now}
	return store.Item{JID: jid, Queue: "default", Kind: "WelcomeJob", Payload: job.Append(nil)}
}

func benchItems(n int) []store.Item {
	items := make([]store.Item, n)
	for i := range items {
		items[i] = benchItem()
	}
	return items
}

// measure begins to count; what it returns reports jobs a second, and the CPU of
// each, which a busy machine changes less.
func measure(b *testing.B) func(jobs int) {
	b.ResetTimer()
	before := cpuTime()
	return func(jobs int) {
		b.ReportMetric(float64(jobs)/b.Elapsed().Seconds(), "jobs/s")
		b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(jobs), "cpu-µs/job")
		b.ReportMetric(0, "ns/op")
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fill puts n jobs into the queue.
func fill(b *testing.B, s *Store, n int) {
	b.Helper()
	for ; n > 0; n -= store.MaxBatch {
		if _, err := s.Push(b.Context(), store.Call{}, benchItems(min(n, store.MaxBatch))...); err != nil {
			b.Fatal(err)
		}
	}
}

func benchStore(b *testing.B, backlog int) *Store {
	s := openFile(b, filepath.Join(b.TempDir(), "ebb.db"), Options{})
	fill(b, s, backlog)
	return s
}

var backlogs = []int{1_000, 1_000_000}

func BenchmarkEnqueue(b *testing.B) {
	for _, backlog := range backlogs {
		for _, callers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("backlog=%dk/callers=%d", backlog/1000, callers), func(b *testing.B) {
				s := benchStore(b, backlog)
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				report := measure(b)
				for lane := range callers {
					wg.Go(func() {
						for seq := uint64(1); left.Add(-1) >= 0; seq++ {
							if _, err := s.Push(b.Context(), store.Call{By: "b:1:1", Lane: store.LanePush + lane, Seq: seq}, benchItem()); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				report(b.N)
			})
		}
		b.Run(fmt.Sprintf("backlog=%dk/batch=100", backlog/1000), func(b *testing.B) {
			s := benchStore(b, backlog)
			items := benchItems(100)
			report := measure(b)
			for i := range b.N {
				if _, err := s.Push(b.Context(), store.Call{By: "b:1:1", Lane: store.LanePush, Seq: uint64(i + 1)}, items...); err != nil {
					b.Fatal(err)
				}
			}
			report(100 * b.N)
		})
	}
}

// BenchmarkCycle pushes, fetches and acks batches, all three in one commit where
// the writer can gather them.
func BenchmarkCycle(b *testing.B) {
	for _, backlog := range backlogs {
		for _, size := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("backlog=%dk/batch=%d", backlog/1000, size), func(b *testing.B) {
				s := benchStore(b, backlog)
				w := benchWorker(b, s)
				items := benchItems(size)
				var done []store.Done
				report := measure(b)
				for i := range b.N {
					seq := uint64(i + 1)
					var wg sync.WaitGroup
					wg.Go(func() { s.Push(b.Context(), store.Call{By: w, Lane: store.LanePush, Seq: seq}, items...) })
					wg.Go(func() { s.Ack(b.Context(), store.Call{By: w, Seq: seq}, done...) })
					jobs, _, err := s.Fetch(b.Context(), store.Call{By: w, Lane: store.LaneFetch, Seq: seq}, benchPlan, size, time.Second)
					if err != nil {
						b.Fatal(err)
					}
					wg.Wait()
					done = done[:0]
					for _, j := range jobs {
						done = append(done, store.Done{Token: j.Token})
					}
				}
				report(size * b.N)
			})
		}
	}
}

var benchPlan = store.Plan{Queues: []store.Share{{Queue: "default"}}}

func benchWorker(b *testing.B, s *Store) store.Identity {
	id := store.NewIdentity()
	if _, err := s.Beat(b.Context(), store.Presence{ID: id}, time.Minute); err != nil {
		b.Fatal(err)
	}
	return id
}

// BenchmarkDrain runs no-op jobs in ten slots that each report alone: verdicts
// gather while the one before is on its way, and so do free slots.
func BenchmarkDrain(b *testing.B) {
	for _, slots := range []int{10, 100} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) {
			s := benchStore(b, b.N)
			w := benchWorker(b, s)
			work, free, verdicts := make(chan store.Held), make(chan struct{}, slots), make(chan store.Done, slots)
			for range slots {
				free <- struct{}{}
			}
			var wg sync.WaitGroup
			report := measure(b)
			for range slots {
				wg.Go(func() {
					for j := range work {
						verdicts <- store.Done{Token: j.Token}
						free <- struct{}{}
					}
				})
			}
			acked := make(chan struct{})
			go func() {
				defer close(acked)
				batch, seq := []store.Done{}, uint64(0)
				for n := 0; n < b.N; n += len(batch) {
					batch = append(batch[:0], <-verdicts)
					runtime.Gosched()
					for len(verdicts) > 0 {
						batch = append(batch, <-verdicts)
					}
					seq++
					if err := s.Ack(b.Context(), store.Call{By: w, Seq: seq}, batch...); err != nil {
						b.Error(err)
					}
				}
			}()
			for n, seq := 0, uint64(1); n < b.N; seq++ {
				<-free
				runtime.Gosched()
				want := 1
				for len(free) > 0 {
					<-free
					want++
				}
				jobs, _, err := s.Fetch(b.Context(), store.Call{By: w, Lane: store.LaneFetch, Seq: seq}, benchPlan, want, time.Second)
				if err != nil {
					b.Fatal(err)
				}
				for _, j := range jobs {
					work <- j
				}
				for range want - len(jobs) {
					free <- struct{}{}
				}
				n += len(jobs)
			}
			close(work)
			<-acked
			wg.Wait()
			report(b.N)
		})
	}
}
