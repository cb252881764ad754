package redisstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// disown takes the leases of id away.
func disown(t *testing.T, server *redistest.Server, id store.Identity) {
	t.Helper()
	for key := range strings.FieldsSeq(server.Do("KEYS", "*holders")) {
		server.Do("ZREM", key, string(id))
	}
}

// One process at a time looks; whoever names nobody looks at once.
func TestAuditor(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	b.push("q", "a")
	b.fetch(1)
	disown(t, server, b.id)
	look := func(by store.Identity, d time.Duration) []store.Identity {
		t.Helper()
		found, err := b.Audit(t.Context(), by, d)
		b.must(err)
		return found
	}
	first, second := store.NewIdentity(), store.NewIdentity()
	for range 2 {
		if found := look(first, 0); !slices.Equal(found, []store.Identity{b.id}) {
			t.Errorf("the auditor found %v", found)
		}
		if found := look(second, 0); len(found) > 0 {
			t.Errorf("beside the auditor %v were found", found)
		}
	}
	if found := look("", 0); len(found) != 1 {
		t.Errorf("who looks for himself found %v", found)
	}
	server.Do("DEL", "ebb:auditor") // it is gone
	if found := look(second, time.Minute); len(found) != 1 {
		t.Errorf("the next auditor found %v", found)
	}
	b.balanced()
}

// On a server with many other keys one look is bounded, and the next goes on there.
func TestAuditInParts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	b.push("q", "a")
	b.fetch(1)
	disown(t, server, b.id)
	const others = 120_000
	server.Do("EVAL", "for i = 1, ARGV[1] do redis.call('SET', 'cache:' .. i, '') end", "0", fmt.Sprint(others))
	found := 0
	for look := range 3 {
		ids, err := b.Audit(t.Context(), b.id, 0)
		b.must(err)
		found += len(ids)
		if pages := server.Do("INFO", "commandstats"); look == 0 && !strings.Contains(pages, "cmdstat_scan:calls=50,") {
			t.Errorf("the first look is not 50 pages:\n%s", pages)
		}
	}
	if found == 0 {
		t.Error("not found in a whole pass")
	}
	if pages := server.Do("INFO", "commandstats"); strings.Contains(pages, "cmdstat_scan:calls=150,") {
		t.Errorf("three looks do not go on where the last one ended:\n%s", pages)
	}
}

// A queue that no list names any more, and a name that must be escaped.
func TestAuditOfAnUnknownQueue(t *testing.T) {
	t.Parallel()
	inLayouts(t, func(t *testing.T, server *redistest.Server, url string) {
		const queue = "a}:held:{b%7D"
		b := start(t, url, queue)
		b.push(queue, "a")
		b.fetch(1)
		disown(t, server, b.id)
		for key := range strings.FieldsSeq(server.Do("KEYS", "*queues")) {
			server.Do("DEL", key)
		}
		found, err := b.Audit(t.Context(), "", time.Millisecond)
		b.must(err)
		if !slices.Equal(found, []store.Identity{b.id}) {
			t.Fatalf("found %v", found)
		}
		var lost []store.Lost
		for deadline := time.Now().Add(soon); len(lost) == 0 && time.Now().Before(deadline); {
			lost, err = b.Orphans(t.Context(), 10)
			b.must(err)
		}
		if len(lost) != 1 || lost[0].Cause != store.Unclaimed || len(lost[0].Jobs) != 1 {
			t.Fatalf("lost: %+v", lost)
		}
		moved, err := b.Rescue(t.Context(), store.Salvage{ID: b.id, Cause: lost[0].Cause, Seen: lost[0].Seen,
			Jobs: []store.Rescued{{Token: lost[0].Jobs[0].Token, Was: lost[0].Jobs[0].Payload}}})
		b.must(err)
		if moved != 1 || b.in(store.Query{Place: store.Ready, Queue: queue}) != 1 {
			t.Errorf("%d moved", moved)
		}
		b.balanced()
	})
}
