package redisstore_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

func (b *boot) backup() []byte {
	b.t.Helper()
	var w bytes.Buffer
	b.must(b.Backup(b.t.Context(), &w))
	return w.Bytes()
}

// What shares the database is neither copied nor touched, and what expires still does.
func TestBackupIsOfOursOnly(t *testing.T) {
	t.Parallel()
	server, other := redistest.Start(t), redistest.Start(t)
	foreign := [][]string{
		{"SET", "cache:x", "1"}, {"SET", "stat:visits", "1"}, {"SET", "queue:depth", "1"}, {"HSET", "host:1:abc", "info", "{}"}, {"SADD", "processes", "host:1:abc"},
	}
	b := start(t, server.URL(), "q")
	for _, command := range foreign {
		server.Do(command...)
	}
	server.Do("DEL", "host:1:abc") // it has died, and is still listed
	b.push("q", "a", "b")
	b.must(second(b.Delete(t.Context(), store.Undoable{Change: "c", For: time.Minute}, b.picks(store.Query{Place: store.Ready, Queue: "q"}, 0, 1)...)))
	b.must(second(b.Delete(t.Context(), store.Undoable{Change: "short", For: 300 * time.Millisecond}, b.picks(store.Query{Place: store.Ready, Queue: "q"}, 0, 1)...)))
	server.Do("SET", "stat:processed:2026-11-22", "7", "EX", "1000")
	backup := b.backup()
	for _, name := range []string{"cache:x0", "queue:depth0", "stat:visits0"} {
		other.Do("SET", name, "1")
	}
	eventually(t, "the end of a short change", func() bool { return server.Do("EXISTS", "ebb:undo:short") == "0" })

	to := start(t, other.URL(), "q")
	to.must(to.Leave(t.Context(), to.call(store.LaneVerdict), store.Farewell{ID: to.id}))
	b.must(to.Restore(t.Context(), bytes.NewReader(backup), false))
	if other.Do("EXISTS", "cache:x0", "queue:depth0", "stat:visits0") != "3" {
		t.Error("what is not ours has gone")
	}
	if n := other.Do("EXISTS", "cache:x", "queue:depth", "stat:visits", "processes", "ebb:undo:short"); n != "0" {
		t.Errorf("%s keys came along", n)
	}
	if ttl := other.Do("PTTL", "ebb:undo:c"); len(ttl) != 5 {
		t.Errorf("the change may be undone for %s ms", ttl)
	}
	if ttl := other.Do("TTL", "stat:processed:2026-11-22"); len(ttl) != 3 && ttl != "1000" {
		t.Errorf("the counter lasts %s s", ttl)
	}
	if n := other.Do("TTL", "queue:q"); n != "-1" && n != "-2" {
		t.Errorf("the queue lasts %s s", n)
	}
	to.undone("c", 1, 0)
	if left := other.Do("KEYS", "ebb:restoring:*"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// A Ruby process that lives is one that works on the store.
func TestRestoreBesideRuby(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := &boot{Store: open(t, server.URL()), t: t, id: store.NewIdentity()}
	backup := b.backup()
	server.Do("SADD", "processes", "host:1:abc")
	server.Do("HSET", "host:1:abc", "info", `{"hostname":"host","pid":1,"started_at":1,"queues":["q"],"concurrency":5}`, "beat", "1")
	if err := b.Restore(t.Context(), bytes.NewReader(backup), true); !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), "host:1:abc") {
		t.Errorf("beside Ruby: %v", err)
	}
	server.Do("DEL", "host:1:abc")
	b.must(b.Restore(t.Context(), bytes.NewReader(backup), true))
}

// A Restore that died half way has changed nothing, and the next one clears up.
func TestRestoreAfterOneThatDied(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := &boot{Store: open(t, server.URL()), t: t, id: store.NewIdentity()}
	b.push("q", "a", "b", "c")
	before, backup := sidekiqKeys(server), b.backup()
	server.Do("RPUSH", "ebb:restoring:queue:q", "half")
	server.Do("RPUSH", "ebb:restoring:queue:other", "half")
	if again := b.backup(); bytes.Contains(again, []byte("half")) {
		t.Error("what was left is in a backup")
	}
	b.push("q", "d")
	b.must(b.Restore(t.Context(), bytes.NewReader(backup), true))
	if got := sidekiqKeys(server); got != before || server.Do("KEYS", "ebb:restoring:*") != "" {
		t.Errorf("restored %s\nleft %s", got, server.Do("KEYS", "ebb:restoring:*"))
	}
}

// A server that has no room for both keeps what it has.
func TestRestoreWithoutRoom(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := &boot{Store: open(t, server.URL()), t: t, id: store.NewIdentity()}
	b.push("q", numbered(1000)...)
	before, backup := sidekiqKeys(server), b.backup()
	server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
	if err := b.Restore(t.Context(), bytes.NewReader(backup), true); !errors.Is(err, store.ErrFull) {
		t.Errorf("restored into a full server: %v", err)
	}
	var w bytes.Buffer
	if err := b.Backup(t.Context(), &w); !errors.Is(err, store.ErrFull) || !strings.Contains(store.Hint(err), "--rdb") || w.Len() > 0 {
		t.Errorf("backup of a full server: %v, %d bytes", err, w.Len())
	}
	server.Do("CONFIG", "SET", "maxmemory", "0")
	if got := sidekiqKeys(server); got != before || server.Do("KEYS", "ebb:restoring:*") != "" {
		t.Errorf("now there is %s", got)
	}
}

// Backup has a connection of its own, which finds the server as all others do.
func TestBackupOverEachConnection(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Password("s3/cr:et"), redistest.UnixSocket())
	server.Do("ACL", "SETUSER", "ebb", "on", ">pass", "~*", "&*", "+@all")
	for name, address := range map[string]string{
		"password and database": "redis://:" + url.QueryEscape("s3/cr:et") + "@" + server.Addr + "/3",
		"user":                  "redis://ebb:pass@" + server.Addr + "/4",
		"socket":                "unix://:" + url.QueryEscape("s3/cr:et") + "@" + server.Socket + "?db=5",
	} {
		b := &boot{Store: open(t, address), t: t, id: store.NewIdentity()}
		b.push("q", "a", "b")
		backup := b.backup()
		b.must(second(b.Delete(t.Context(), store.Undoable{}, b.picks(store.Query{Place: store.Ready, Queue: "q"}, 0, 2)...)))
		b.must(b.Restore(t.Context(), bytes.NewReader(backup), false))
		if n := b.in(store.Query{Place: store.Ready, Queue: "q"}); n != 2 {
			t.Errorf("%s: %d jobs are back", name, n)
		}
	}
}

func TestBackupsThatAreRefused(t *testing.T) {
	t.Parallel()
	sealed := func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		return append([]byte(text), sum[:]...)
	}
	const magic = "ebb backup of a store on redis\n"
	server := redistest.Start(t)
	b := &boot{Store: open(t, server.URL()), t: t, id: store.NewIdentity()}
	b.push("q", "a")
	before := sidekiqKeys(server)
	for _, tt := range []struct {
		name, file string
		want       error
		says       string
	}{
		{"another file", "SQLite format 3\x00" + strings.Repeat("x", 100), store.ErrCorrupt, "no backup of a store on Redis"},
		{"a newer format", magic + `{"format":2,"layout":"sidekiq"}` + "\n.", store.ErrTooNew, ""},
		{"a newer layout", magic + `{"format":1,"layout":"sidekiq","version":3,"min_reader":2}` + "\n.", store.ErrTooNew, "version 2"},
		{"another layout", magic + `{"format":1,"layout":"cluster","version":1,"min_reader":1}` + "\n.", nil, "cluster"},
		{"a type from the future", magic + `{"format":1,"layout":"sidekiq"}` + "\nX\x03ebb\x00\x02a\x00.", store.ErrTooNew, "type"},
		{"an element without end", magic + `{"format":1,"layout":"sidekiq"}` + "\nl\x07queue:q\x00\xff\xff\xff\xff\x7fa", store.ErrCorrupt, "damaged"},
		{"no end", magic + `{"format":1,"layout":"sidekiq"}` + "\nl\x07queue:q\x00\x02a\x00", store.ErrCorrupt, "damaged"},
	} {
		err := b.Restore(t.Context(), bytes.NewReader(sealed(tt.file)), true)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := sidekiqKeys(server); got != before || server.Do("KEYS", "ebb:restoring:*") != "" {
			t.Errorf("%s: now there is %s", tt.name, got)
		}
	}
	cluster := open(t, redistest.Start(t, redistest.Cluster()).URL()+"?layout=cluster")
	for what, err := range map[string]error{
		"backup": cluster.Backup(t.Context(), new(bytes.Buffer)), "restore": cluster.Restore(t.Context(), bytes.NewReader(b.backup()), true),
	} {
		if err == nil || !strings.Contains(store.Hint(err), "RDB") {
			t.Errorf("%s of a cluster: %v", what, err)
		}
	}
}

// A large key is read and written in pieces.
func TestBackupOfLargePayloads(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := &boot{Store: open(t, server.URL()), t: t, id: store.NewIdentity()}
	for i := range 7 {
		server.Do("ZADD", "retry", fmt.Sprint(i), fmt.Sprint(i, strings.Repeat("x", 400_000)))
		server.Do("RPUSH", "queue:q", fmt.Sprint(i, strings.Repeat("y", 400_000)), "")
	}
	server.Do("SADD", "queues", "q")
	before, backup := sidekiqKeys(server), b.backup()
	server.Do("DEL", "retry", "queue:q")
	b.must(b.Restore(t.Context(), bytes.NewReader(backup), false))
	if sidekiqKeys(server) != before {
		t.Error("something is not as it was")
	}
}
