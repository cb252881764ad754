package redisstore_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
)

// Stats asks each process of the queues that it serves, not each queue of every
// process, and looks at no list or set as a whole.
func TestStatsAsksWhoServes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	const n = 30
	var boots []*boot
	for i := range n {
		boots = append(boots, start(t, server.URL(), fmt.Sprint("q", i)))
		boots[i].push(fmt.Sprint("q", i), "a", "b")
		boots[i].fetch(1)
	}
	server.Do("CONFIG", "RESETSTAT")
	st, err := boots[0].Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Ready != n || st.Held != n || len(st.Books) != n {
		t.Errorf("%+v", st)
	}
	calls := regexp.MustCompile(`cmdstat_hlen:calls=(\d+)`).FindStringSubmatch(server.Do("INFO", "commandstats"))
	if calls == nil || calls[1] != fmt.Sprint(n) {
		t.Errorf("%v hashes of jobs were asked, want %d", calls, n)
	}
	boots[0].balanced()
}

// A process may hold from a queue that it does not say it serves.
func TestStatsFindsWhatIsHeldBesides(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	b.push("other", "a")
	b.queues = append(b.queues, store.Share{Queue: "other"})
	b.fetch(1)
	b.balanced()
	st, err := b.Stats(t.Context())
	if err != nil || st.Held != 1 {
		t.Errorf("held: %d, %v", st.Held, err)
	}
	if processes, err := b.Processes(t.Context()); err != nil || len(processes) != 1 || processes[0].Holds != 1 {
		t.Errorf("%+v, %v; want one that holds a job", processes, err)
	}
}

// What processes hold is looked for where the books have anything held, with who serves
// that queue: a thousand queues times hundreds of processes are nobody's to ask.
func TestHoldersAreAskedOfWhatIsHeld(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	const queues, holders = 40, 6
	var boots []*boot
	for range holders {
		b := start(t, server.URL(), "busy")
		b.push("busy", "a", "b")
		b.fetch(2)
		boots = append(boots, b)
	}
	for i := range queues {
		boots[0].push(fmt.Sprint("idle", i), "a")
	}
	calls := func(of string) string {
		m := regexp.MustCompile(`cmdstat_` + of + `:calls=(\d+)`).FindStringSubmatch(server.Do("INFO", "commandstats"))
		return append(m, "", "0")[1]
	}
	server.Do("CONFIG", "RESETSTAT")
	processes, err := boots[0].Processes(t.Context())
	if err != nil || len(processes) != holders {
		t.Fatalf("%d processes, %v", len(processes), err)
	}
	for _, p := range processes {
		if p.Holds != 2 {
			t.Errorf("%s holds %d jobs, want 2", p.ID, p.Holds)
		}
	}
	if n := calls("hlen"); n != fmt.Sprint(holders) {
		t.Errorf("%s hashes of jobs were counted, want %d", n, holders)
	}
	server.Do("CONFIG", "RESETSTAT")
	found := 0
	for _, err := range boots[0].Jobs(t.Context(), store.Query{Place: store.Keeping}) {
		if found++; err != nil {
			t.Fatal(err)
		}
	}
	if n := calls("hgetall"); found != 2*holders || n != fmt.Sprint(1+queues+holders) {
		t.Errorf("%d jobs are held, and %s hashes were read: want %d jobs, and the books of %d queues besides %d holders", found, n, 2*holders, 1+queues, holders)
	}
}

// At no moment is a job between two counts, however busy its queue is.
func TestBooksBalanceAtAnyMoment(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var working sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		b := start(t, server.URL(), "q")
		working.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				ctx := t.Context()
				b.push("q", "a", "b", "c", "d", "e")
				jobs := b.fetch(5)
				verdicts := []func(store.Held) error{
					func(j store.Held) error {
						return b.Ack(ctx, b.call(store.LaneVerdict), store.Done{Token: j.Token, Outcome: store.Outcome(i % 3)})
					},
					func(j store.Held) error {
						return b.Retry(ctx, b.call(store.LaneVerdict), store.Later{Token: j.Token, Delay: time.Hour})
					},
					func(j store.Held) error { return b.Bury(ctx, b.call(store.LaneVerdict), store.Later{Token: j.Token}) },
					func(j store.Held) error {
						return b.Requeue(ctx, b.call(store.LaneVerdict), store.Later{Token: j.Token})
					},
				}
				for n, j := range jobs {
					if err := verdicts[(i+n)%len(verdicts)](j); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	looker := open(t, server.URL())
	looks := 0
	for began := time.Now(); time.Since(began) < time.Second || looks < 20; looks++ {
		st, err := looker.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range st.Books {
			if b.Custody() != 0 || b.Arrivals() != 0 || b.Shared {
				t.Fatalf("look %d: custody off by %d, arrivals by %d: %+v", looks, b.Custody(), b.Arrivals(), b)
			}
		}
	}
	close(done)
	working.Wait()
}

// What it costs to look does not depend on how many jobs there are.
func BenchmarkStats(b *testing.B) {
	for _, jobs := range []int{0, 1_000_000} {
		b.Run(fmt.Sprintf("%d jobs in 100 queues of 20 processes", jobs), func(b *testing.B) {
			server := redistest.Start(b)
			s, err := redisstore.Open(b.Context(), server.URL())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for i := range 20 {
				var queues []store.Share
				for q := range 5 {
					queues = append(queues, store.Share{Queue: fmt.Sprint("q", 5*i+q)})
				}
				id := store.Identity(fmt.Sprintf("host:%d:000000000000", i+1))
				if _, err := s.Beat(b.Context(), store.Presence{ID: id, Groups: []store.Group{{Queues: queues}}}, time.Hour); err != nil {
					b.Fatal(err)
				}
			}
			for q := range 100 {
				for left := max(1, jobs/100); left > 0; left -= store.MaxBatch {
					if _, err := s.Push(b.Context(), store.Call{}, items(fmt.Sprint("q", q), numbered(min(left, store.MaxBatch))...)...); err != nil {
						b.Fatal(err)
					}
				}
			}
			for b.Loop() {
				if _, err := s.Stats(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What Ruby takes from a queue is in no books, as long as it lives and afterwards.
func TestBooksBesideRuby(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q", "r")
	b.push("q", "a", "b")
	b.push("r", "c")
	shared := func() string {
		st, err := b.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var of strings.Builder
		for _, books := range st.Books {
			if books.Shared {
				of.WriteString(books.Queue)
			}
		}
		return of.String()
	}
	if of := shared(); of != "" {
		t.Errorf("shared without Ruby: %q", of)
	}
	server.Do("RPOP", "queue:q")
	if of := shared(); of != "" {
		t.Errorf("%q is shared, where a job was taken by nobody who works here", of)
	}
	gone := start(t, server.URL(), "r")
	disown(t, server, gone.id) // whose record is still where Ruby has its own
	if of := shared(); of != "" {
		t.Errorf("%q is shared with a process of ebb's", of)
	}
	server.Do("SADD", "processes", "ruby:1:0123456789ab")
	server.Do("HSET", "ruby:1:0123456789ab", "info", `{"hostname":"ruby","pid":1,"queues":["q"],"identity":"ruby:1:0123456789ab"}`)
	if of := shared(); of != "q" {
		t.Errorf("shared with Ruby: %q", of)
	}
	server.Do("SREM", "processes", "ruby:1:0123456789ab")
	server.Do("INCR", "stat:processed")
	if of := shared(); of != "q" {
		t.Errorf("shared after Ruby: %q", of)
	}
}
