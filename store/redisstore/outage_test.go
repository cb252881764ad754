package redisstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
)

func TestOpenRefused(t *testing.T) {
	t.Parallel()
	secret := redistest.Start(t, redistest.Password("s3cret"))
	plain := redistest.Start(t)
	cluster := redistest.Start(t, redistest.Cluster())
	newer := redistest.Start(t)
	newer.Do("HSET", "ebb:meta", "layout", "sidekiq", "version", "9", "min_reader", "9")
	other := redistest.Start(t)
	other.Do("HSET", "ebb:meta", "layout", "cluster", "version", "1", "min_reader", "1")
	tests := []struct {
		name, url string
		is        error
		says      string
		hint      string
	}{
		{"wrong password", "redis://:nonsense@" + secret.Addr, nil, "WRONGPASS", "check the user and the password"},
		{"no password", "redis://" + secret.Addr, nil, "NOAUTH", "redis://:password@host"},
		{"database out of range", "redis://" + plain.Addr + "/999", nil, "out of range", "fewer databases"},
		{"nobody there", "redis://127.0.0.1:1", store.ErrUnreachable, "127.0.0.1:1", "redis-cli -h 127.0.0.1 -p 1 ping"},
		{"no such socket", "unix:///nowhere/redis.sock", store.ErrUnreachable, "no such file", "redis-cli -s /nowhere/redis.sock ping"},
		{"a cluster opened as one server", "redis://" + cluster.Addr, nil, "", ""},
		{"made by a newer ebb", "redis://" + newer.Addr, store.ErrTooNew, "version 9", "upgrade ebb"},
		{"kept in the other layout", "redis://" + other.Addr, nil, `layout "cluster"`, "?layout=cluster"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := redisstore.Open(t.Context(), tt.url)
			if err == nil {
				defer s.Close()
			}
			if tt.says == "" { // a cluster of one answers; the first script does not get through
				_, err = s.Push(t.Context(), store.Call{}, items("q", "a")...)
				tt.says, tt.hint = "CROSSSLOT", "?layout=cluster"
			}
			if err == nil {
				t.Fatal("no error")
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.Contains(store.Hint(err), tt.hint) {
				t.Errorf("got %v\nhint: %s", err, store.Hint(err))
			}
			if strings.Contains(err.Error()+store.Hint(err), "nonsense") {
				t.Errorf("%v tells the password", err)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		options    []redistest.Option
		durability string
		warnings   []string
	}{
		{"nothing kept", nil, "snapshots at most", []string{"appendonly is no"}},
		{"append-only file", []redistest.Option{redistest.AOF()}, "on disk when the call returns", nil},
		{"synced each second", []redistest.Option{redistest.AOF(), redistest.Args("--appendfsync", "everysec")}, "may lose that second", nil},
		{"may evict", []redistest.Option{redistest.AOF(), redistest.Args("--maxmemory-policy", "allkeys-lru")}, "", []string{"maxmemory-policy is allkeys-lru"}},
		{"a replica", []redistest.Option{redistest.AOF(), redistest.Args("--replicaof", "127.0.0.1 1")}, "", []string{"is a replica"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := open(t, redistest.Start(t, tt.options...).URL()).Describe()
			if !strings.Contains(d.Durability, tt.durability) || !strings.HasPrefix(d.Server, "Redis ") && !strings.HasPrefix(d.Server, "Valkey ") {
				t.Errorf("%+v", d)
			}
			if len(d.Warnings) != len(tt.warnings) {
				t.Fatalf("warnings %q", d.Warnings)
			}
			for i, w := range tt.warnings {
				if !strings.Contains(d.Warnings[i], w) {
					t.Errorf("warning %q lacks %q", d.Warnings[i], w)
				}
			}
		})
	}
}

func TestHiddenSettingsAreNoError(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.Do("ACL", "SETUSER", "jobs", "on", ">pw", "~*", "&*", "+@all", "-config", "-info", "-client")
	b := start(t, "redis://jobs:pw@"+server.Addr, "q")
	if d := b.Describe(); len(d.Warnings) != 0 || !strings.Contains(d.Durability, "unknown") {
		t.Errorf("%+v", d)
	}
	// Without CLIENT it cannot be woken from a blocking move, and looks again instead.
	result := make(chan []store.Held, 1)
	go func() { result <- b.fetch(1) }()
	pusher := start(t, server.URL())
	pusher.push("q", "a")
	if jobs := <-result; len(jobs) != 1 {
		t.Errorf("fetched %d", len(jobs))
	}
}

func TestReplicaRefusesWrites(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	b.push("q", "a")
	server.Do("REPLICAOF", "127.0.0.1", "1")
	_, err := b.Push(t.Context(), b.call(store.LanePush), items("q", "b")...)
	if !errors.Is(err, store.ErrReadOnly) || !strings.Contains(store.Hint(err), "redis-sentinel://") {
		t.Fatalf("got %v\nhint: %s", err, store.Hint(err))
	}
	if n := b.in(store.Query{Place: store.Ready, Queue: "q"}); n != 1 {
		t.Errorf("%d jobs can be looked at", n)
	}
	// A failover that ends while the call is under way is not noticed by its caller.
	call := b.call(store.LanePush)
	done := make(chan error, 1)
	go func() {
		_, err := b.Push(t.Context(), call, items("q", "c")...)
		done <- err
	}()
	server.Do("REPLICAOF", "NO", "ONE")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestLoadingIsWaitedFor(t *testing.T) {
	t.Parallel()
	// A millisecond for each key, and two looks at the outside world in between.
	server := redistest.Start(t, redistest.Args("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"))
	b := start(t, server.URL(), "q")
	for range 4 {
		fill := []string{"MSET"}
		for _, jid := range numbered(200) {
			fill = append(fill, "filler:"+jid+server.Do("TIME"), strings.Repeat("x", 100))
		}
		server.Do(fill...)
	}
	server.Do("SAVE")
	server.Kill()
	restarted := make(chan struct{})
	go func() { defer close(restarted); server.Restart() }()
	eventually(t, "push", func() bool {
		_, err := b.Push(t.Context(), store.Call{By: b.id, Lane: store.LanePush, Seq: 1}, items("q", "a")...)
		if err != nil && !errors.Is(err, store.ErrUnreachable) {
			t.Fatalf("%v\nhint: %s", err, store.Hint(err))
		}
		return err == nil
	})
	<-restarted
	if n := b.in(store.Query{Place: store.Ready, Queue: "q"}); n != 1 {
		t.Errorf("%d jobs", n)
	}
}

// A full server refuses new jobs, and nothing else.
func TestFull(t *testing.T) {
	t.Parallel()
	inLayouts(t, func(t *testing.T, server *redistest.Server, url string) {
		b, lost := start(t, url, "q"), start(t, url, "q")
		b.push("q", numbered(10)...)
		b.push("q", numbered(10)...)
		if _, err := b.Schedule(t.Context(), b.call(store.LanePush), items("q", "due")...); err != nil {
			t.Fatal(err)
		}
		jobs, orphans := b.fetch(7), lost.fetch(3)
		server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")

		ctx := t.Context()
		for what, err := range map[string]error{
			"push":     second(b.Push(ctx, b.call(store.LanePush), items("q", "x")...)),
			"schedule": second(b.Schedule(ctx, b.call(store.LanePush), items("q", "x")...)),
		} {
			if !errors.Is(err, store.ErrFull) || !strings.Contains(store.Hint(err), "maxmemory") {
				t.Errorf("%s into a full server: %v\nhint: %s", what, err, store.Hint(err))
			}
		}
		later := func(i int) store.Later { return store.Later{Token: jobs[i].Token, Payload: jobs[i].Payload} }
		b.must(b.Ack(ctx, b.call(store.LaneVerdict), store.Done{Token: jobs[0].Token}))
		b.must(b.Retry(ctx, b.call(store.LaneVerdict), later(1)))
		b.must(b.Bury(ctx, b.call(store.LaneVerdict), later(2)))
		b.must(b.Requeue(ctx, b.call(store.LaneVerdict), later(3)))
		b.must(b.Checkpoint(ctx, b.call(store.LaneVerdict), later(4)))
		if orders := b.beat(); len(orders.Unknown) != 3 {
			t.Errorf("%d unknown after four of seven went", len(orders.Unknown))
		}
		moved := 0
		eventually(t, "promotion", func() bool {
			n, _, err := b.Promote(ctx, store.Promotion{By: b.id})
			b.must(err)
			moved += n
			return moved == 2 // the scheduled and the failed one
		})
		gone, err := b.Orphans(ctx, 10, lost.id)
		b.must(err)
		salvage := store.Salvage{ID: lost.id, Cause: gone[0].Cause, Seen: gone[0].Seen, Report: &store.StopReport{ID: lost.id}}
		for _, j := range gone[0].Jobs {
			salvage.Jobs = append(salvage.Jobs, store.Rescued{Token: j.Token, Was: j.Payload})
		}
		if n, err := b.Rescue(ctx, salvage); n != len(orphans) || err != nil {
			t.Errorf("rescued %d of %d: %v", n, len(orphans), err)
		}
		if got := b.fetch(1); len(got) != 1 {
			t.Errorf("fetched %d", len(got))
		}
		// Nothing to fetch: waiting goes on by looking.
		other := start(t, url, "empty")
		if _, woken, err := other.Fetch(ctx, other.call(store.LaneFetch), other.plan(), 1, 60*time.Millisecond); err != nil || woken != store.Idle {
			t.Errorf("waiting: %v, %v", woken, err)
		}
		b.must(b.Leave(ctx, b.call(store.LaneVerdict), store.Farewell{ID: b.id, Report: store.StopReport{ID: b.id}}))
		other.balanced()
	})
}

func second[T any](_ T, err error) error { return err }

// Everything goes on after the server was away, with the connection and the scripts
// gone.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.AOF())
	b := start(t, server.URL(), "q")
	b.push("q", "a", "b")
	jobs := b.fetch(1)
	if orders := b.beat(); orders.Reconnected || orders.Renewed {
		t.Errorf("nothing has happened yet: %+v", orders)
	}
	server.Kill()
	if err := b.Ack(t.Context(), b.call(store.LaneVerdict), store.Done{Token: jobs[0].Token}); !errors.Is(err, store.ErrUnreachable) {
		t.Fatalf("ack while the server is away: %v", err)
	}
	b.seq-- // the caller repeats the call
	server.Restart()
	b.must(b.Ack(t.Context(), b.call(store.LaneVerdict), store.Done{Token: jobs[0].Token}))
	orders := b.beat()
	if !orders.Reconnected || orders.Renewed {
		t.Errorf("after the outage: %+v", orders)
	}
	if orders := b.beat(); orders.Reconnected {
		t.Errorf("an outage is told twice")
	}
	if got := b.fetch(5); len(got) != 1 {
		t.Errorf("fetched %d after the outage", len(got))
	}
	b.balanced()
}
