package redisstore_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

const rubyWorker = "web-1:4711:89e48fefd429"

// rubyIsThere lists a process of Ruby's, one that lets ebb look after its jobs.
func rubyIsThere(server *redistest.Server) {
	server.Do("HSET", "ebb:presence", rubyWorker, `{"id":"`+rubyWorker+`","version":"sidekiq 6.4.1"}`)
	server.Do("SADD", "processes", rubyWorker)
	server.Do("HSET", rubyWorker, "info", `{"hostname":"web-1","pid":4711,"concurrency":2,"queues":["q"],"identity":"`+rubyWorker+`"}`)
}

// scheduled adds a job of queue q to a set, as Ruby does, and returns its member.
func scheduled(server *redistest.Server, set, jid string, due time.Time) (member string) {
	member = fmt.Sprintf(`{"class":"T","args":[],"queue":"q","jid":%q}`, jid)
	server.Do("ZADD", set, epochOf(due), member)
	return member
}

func epochOf(t time.Time) string { return fmt.Sprintf("%.6f", float64(t.UnixMicro())/1e6) }

// visible counts what Ruby's scheduler would take from a set by a clock so far ahead.
func visible(server *redistest.Server, set string, ahead time.Duration) string {
	return server.Do("ZCOUNT", set, "-inf", epochOf(time.Now().Add(ahead)))
}

func (b *boot) promote() int {
	b.t.Helper()
	n, _, err := b.Promote(b.t.Context(), store.Promotion{By: b.id})
	b.must(err)
	return n
}

// reserves promotes until the jobs of set that are due soon are out of Ruby's sight.
func (b *boot) reserves(server *redistest.Server, set string) {
	b.t.Helper()
	eventually(b.t, "a reservation", func() bool {
		b.promote()
		return visible(server, set, 5*time.Second) == "0"
	})
}

func TestDueJobsAreKeptFromRuby(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	rubyIsThere(server)
	due := time.Now().Add(1500 * time.Millisecond)
	scheduled(server, "schedule", "soon", due)
	scheduled(server, "retry", "again", due)
	scheduled(server, "schedule", "later", time.Now().Add(time.Hour))
	b.reserves(server, "schedule")
	if n := visible(server, "retry", 2*time.Second); n != "0" {
		t.Errorf("Ruby sees %s retries", n)
	}
	if n := b.in(store.Query{Place: store.Scheduled}) + b.in(store.Query{Place: store.Retrying}); n != 3 {
		t.Errorf("%d jobs are in their sets", n)
	}
	promoted := 0
	eventually(t, "promotion", func() bool {
		n := b.promote()
		if promoted += n; n > 0 && time.Now().Before(due) {
			t.Error("too early")
		}
		return promoted == 2
	})
	if late := time.Since(due); late > 5*time.Second { // milliseconds on an idle machine
		t.Errorf("%v late", late)
	}
	b.promote()
	if n := server.Do("EXISTS", "ebb:due:schedule", "ebb:due:retry"); n != "0" {
		t.Errorf("%s sets of reservations are left", n)
	}
	b.fetch(2)
	b.balanced()
}

// What is overdue when a promoter begins is out of Ruby's sight before any of it is
// promoted, and keeps its order.
func TestABacklogIsKeptFromRuby(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	rubyIsThere(server)
	server.Do("SADD", "processes", "none")
	server.Do("SET", "none", "of anybody's processes")
	const n = 1300 // more than one script reserves, or one Promote moves
	long := time.Now().Add(-time.Hour)
	command := []string{"ZADD", "schedule"}
	for i := range n {
		command = append(command, epochOf(long.Add(time.Duration(i)*time.Second)), fmt.Sprintf(`{"class":"T","args":[],"queue":"q","jid":"%04d"}`, n-i))
	}
	server.Do(command...)
	if moved, _, err := b.Promote(t.Context(), store.Promotion{By: b.id, Max: 1}); err != nil || moved != 1 {
		t.Fatal(moved, err)
	}
	if n := visible(server, "schedule", time.Second); n != "0" {
		t.Errorf("Ruby sees %s of the others", n)
	}
	for moved := 1; moved < n; {
		more := b.promote()
		if moved += more; more == 0 {
			t.Fatalf("%d of %d were promoted", moved, n)
		}
	}
	i := 0
	for e, err := range b.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
		b.must(err)
		if want := fmt.Sprintf(`"%04d"`, n-i); !strings.Contains(string(e.Payload), want) {
			t.Fatalf("job %d is %s", i, e.Payload)
		}
		i++
	}
}

// Nothing that is done to a job in the meantime needs to know of its reservation.
func TestReservedJobsCanBeChanged(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	rubyIsThere(server)
	ctx := t.Context()
	pick := func(jid string) []store.Pick { return b.picks(store.Query{Place: store.Scheduled, JID: jid}, 0, 1) }
	tests := []struct {
		jid    string // says what happens to it
		change func(jid, member string)
		want   string // where it is in the end; empty: nowhere
	}{
		{"deleted by Ruby", func(_, member string) { server.Do("ZREM", "schedule", member) }, ""},
		{"put off by Ruby", func(_, member string) { server.Do("ZINCRBY", "schedule", "3600", member) }, "scheduled"},
		{"scheduled anew", func(_, member string) { server.Do("ZADD", "schedule", epochOf(time.Now()), member) }, "ready"},
		{"deleted by ebb", func(jid, _ string) { b.must(second(b.Delete(ctx, store.Undoable{}, pick(jid)...))) }, ""},
		{"put off by ebb", func(jid, _ string) {
			picks := pick(jid)
			picks[0].Delay = time.Hour
			b.must(second(b.Move(ctx, store.Undoable{}, store.Scheduled, picks...)))
		}, "scheduled"},
		{"run now by ebb", func(jid, _ string) { b.must(second(b.Move(ctx, store.Undoable{}, store.Ready, pick(jid)...))) }, "ready"},
		{"deleted and brought back", func(jid, _ string) {
			b.must(second(b.Delete(ctx, store.Undoable{Change: "c", For: time.Minute}, pick(jid)...)))
			b.must(second(b.Undo(ctx, "c", 0)))
		}, "ready"},
		{"left alone", func(string, string) {}, "ready"},
	}
	members := map[string]string{}
	due := time.Now().Add(2500 * time.Millisecond)
	for _, tt := range tests {
		members[tt.jid] = scheduled(server, "schedule", tt.jid, due)
	}
	b.reserves(server, "schedule")
	for _, tt := range tests {
		tt.change(tt.jid, members[tt.jid])
	}
	eventually(t, "the end of the reservations", func() bool {
		b.promote()
		return time.Now().After(due) && server.Do("EXISTS", "ebb:due:schedule") == "0"
	})
	for _, tt := range tests {
		where := ""
		if b.in(store.Query{Place: store.Ready, Queue: "q", JID: tt.jid}) == 1 {
			where += "ready"
		}
		if b.in(store.Query{Place: store.Scheduled, JID: tt.jid}) == 1 {
			where += "scheduled"
		}
		if where != tt.want {
			t.Errorf("%s: %q, want %q", tt.jid, where, tt.want)
		}
	}
}

// Without Ruby nobody is to be kept from anything; what is reserved when the last of
// its processes goes is promoted in time all the same.
func TestNothingIsReservedWithoutRuby(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	start(t, server.URL(), "q")                // another one of ebb's
	server.Do("SADD", "processes", "gone:1:0") // it was killed, and nobody has tidied up
	scheduled(server, "schedule", "a", time.Now().Add(500*time.Millisecond))
	for b.promote() == 0 {
		if server.Do("EXISTS", "ebb:due:schedule") != "0" {
			t.Fatal("reserved from nobody")
		}
	}

	rubyIsThere(server)
	due := time.Now().Add(4 * time.Second) // it is noticed within two
	scheduled(server, "schedule", "b", due)
	b.reserves(server, "schedule")
	server.Do("DEL", rubyWorker)
	heir := start(t, server.URL(), "q") // sees no Ruby
	b.must(b.Leave(t.Context(), b.call(store.LaneVerdict), store.Farewell{ID: b.id}))
	eventually(t, "promotion", func() bool { return heir.promote() == 1 })
	if late := time.Since(due); late < 0 || late > 5*time.Second {
		t.Errorf("%v late", late)
	}
}

// Whoever is left finds a job of a promoter that has died due a little later.
func TestReservedJobsAreNotStuck(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	rubyIsThere(server)
	member := scheduled(server, "schedule", "a", time.Now().Add(2*time.Second))
	b.reserves(server, "schedule")
	score, err := strconv.ParseFloat(server.Do("ZSCORE", "schedule", member), 64)
	if off := score - float64(time.Now().UnixMicro())/1e6; err != nil || off < 5 || off > 15 {
		t.Errorf("due in %v s, %v", off, err)
	}
	if ttl := server.Do("TTL", "ebb:due:schedule"); len(ttl) != 2 || ttl == "-1" {
		t.Errorf("the reservations last for %s s", ttl)
	}
}

// A full server has no room for reservations, and promotes.
func TestAFullServerReservesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.MaxMemory(0))
	b := start(t, server.URL(), "q")
	rubyIsThere(server)
	scheduled(server, "schedule", "a", time.Now().Add(500*time.Millisecond))
	b.promote() // sees Ruby
	scheduled(server, "retry", "b", time.Now().Add(2500*time.Millisecond))
	server.Do("CONFIG", "SET", "maxmemory", "1")
	moved := 0
	eventually(t, "promotion", func() bool {
		moved += b.promote()
		return moved == 2
	})
	if n := server.Do("EXISTS", "ebb:due:retry"); n != "0" {
		t.Error("a full server has reserved something")
	}
}

// Where ebb fails to promote, Ruby is let to it.
func TestWhoCannotPromoteReservesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	rubyIsThere(server)
	server.Do("SET", "queue:q", "no list")
	scheduled(server, "schedule", "a", time.Now())
	if _, _, err := b.Promote(t.Context(), store.Promotion{By: b.id}); err == nil {
		t.Fatal("promoted into what is no list")
	}
	scheduled(server, "schedule", "b", time.Now())
	if _, _, err := b.Promote(t.Context(), store.Promotion{By: b.id}); err == nil {
		t.Fatal("promoted into what is no list")
	}
	if n := visible(server, "schedule", 0); n != "1" {
		t.Errorf("Ruby sees %s of the jobs that are due since the error", n)
	}
}

// Many that promote at once reserve and promote each job once.
func TestManyReserveAtOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rubyIsThere(server)
	b := start(t, server.URL(), "q")
	const n = 300
	for i := range n {
		scheduled(server, "schedule", strconv.Itoa(i), time.Now().Add(time.Duration(i)*time.Millisecond))
	}
	var wg sync.WaitGroup
	for range 4 {
		other := start(t, server.URL(), "q")
		wg.Go(func() {
			for range 100 {
				if _, _, err := other.Promote(t.Context(), store.Promotion{By: b.id, Max: 15}); err != nil { // all in one name: each is the promoter
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "promotion of all", func() bool {
		b.promote()
		return server.Do("ZCARD", "schedule") == "0"
	})
	var jids []int
	for e, err := range b.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
		b.must(err)
		_, rest, _ := strings.Cut(string(e.Payload), `"jid":"`)
		jid, _, _ := strings.Cut(rest, `"`)
		i, err := strconv.Atoi(jid)
		b.must(err)
		jids = append(jids, i)
	}
	slices.Sort(jids)
	if len(jids) != n || jids[0] != 0 || jids[n-1] != n-1 || len(slices.Compact(jids)) != n {
		t.Errorf("%d jobs are ready, of %d", len(jids), n)
	}
}

// Reservations are few, however much becomes due at once.
func TestReservationsAreBounded(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	rubyIsThere(server)
	const n = 52_000
	soon := epochOf(time.Now().Add(-time.Hour))
	for from := 0; from < n; from += 4000 {
		command := []string{"ZADD", "schedule"}
		for i := from; i < from+4000; i++ {
			command = append(command, soon, strconv.Itoa(i))
		}
		server.Do(command...)
	}
	moved, _, err := b.Promote(t.Context(), store.Promotion{By: b.id, Max: 10})
	b.must(err)
	if got := server.Do("ZCARD", "ebb:due:schedule"); moved != 10 || got != "50000" {
		t.Errorf("%s are reserved, %d promoted", got, moved)
	}
}

// A backup has reservations as they are.
func TestReservationsAreRestored(t *testing.T) {
	t.Parallel()
	server, other := redistest.Start(t), redistest.Start(t)
	b := start(t, server.URL(), "q")
	rubyIsThere(server)
	due := time.Now().Add(2 * time.Second)
	scheduled(server, "schedule", "a", due)
	b.reserves(server, "schedule")
	backup := b.backup()
	to := open(t, other.URL())
	b.must(to.Restore(t.Context(), bytes.NewReader(backup), false))
	heir := start(t, other.URL(), "q")
	eventually(t, "promotion", func() bool { return heir.promote() == 1 })
	if late := time.Since(due).Seconds(); late < 0 || late > 5 {
		t.Errorf("%v s late", late)
	}
}
