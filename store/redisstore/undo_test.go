package redisstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

var lasting = store.Undoable{Change: "c", For: time.Hour}

// picks returns what a walk finds, from number from on.
func (b *boot) picks(q store.Query, from, n int) (picks []store.Pick) {
	b.t.Helper()
	i := 0
	for e, err := range b.Jobs(b.t.Context(), q) {
		b.must(err)
		if i++; i > from {
			picks = append(picks, store.Pick{Key: e.Key})
		}
		if len(picks) == n {
			break
		}
	}
	return picks
}

// undone takes a change back, and fails unless that many came back and moved on.
func (b *boot) undone(change string, back, passed int) {
	b.t.Helper()
	done, err := b.Undo(b.t.Context(), change, 0)
	b.must(err)
	if diff := cmp.Diff(store.Undone{Back: back, Passed: passed}, done); diff != "" {
		b.t.Errorf("undo (-want +got):\n%s", diff)
	}
}

// sidekiqKeys is what Sidekiq sees of jobs, to the byte.
func sidekiqKeys(server *redistest.Server) string {
	var text strings.Builder
	for _, set := range []string{"schedule", "retry", "dead"} {
		fmt.Fprintf(&text, "%s %q\n", set, server.Do("ZRANGE", set, "0", "-1", "WITHSCORES"))
	}
	for _, list := range []string{"queue:q", "queue:r"} {
		fmt.Fprintf(&text, "%s %q\n", list, server.Do("LRANGE", list, "0", "-1"))
	}
	return text.String()
}

// Whatever Ruby has put there comes back as Ruby has put it.
func TestUndoToTheByte(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	job := string(items("q", "a")[0].Payload)
	for i, score := range []string{"1795289561.6895621", "1795289561", "1.5e300", "-inf", "inf", "1795289561.1000001"} {
		server.Do("ZADD", "retry", score, strings.Replace(job, `"a"`, fmt.Sprintf(`"a%d"`, i), 1))
		server.Do("ZADD", "dead", score, fmt.Sprintf("no job %d \x00\xff", i))
	}
	for _, member := range []string{job, job + "\t \t", job + "\t \t\t \t", job + " "} {
		server.Do("ZADD", "schedule", "1995289561.5", member)
		server.Do("LPUSH", "queue:q", member, "", "x")
	}
	server.Do("SADD", "queues", "q")
	before := sidekiqKeys(server)
	walks := map[string]store.Query{
		"retry": {Place: store.Retrying}, "dead": {Place: store.Dead}, "schedule": {Place: store.Scheduled}, "queue": {Place: store.Ready, Queue: "q"},
	}
	for name, q := range walks {
		for what, change := range map[string]func(picks []store.Pick) (int, error){
			"deleted":       func(p []store.Pick) (int, error) { return b.Delete(t.Context(), lasting, p...) },
			"retried":       func(p []store.Pick) (int, error) { return b.Move(t.Context(), lasting, store.Ready, p...) },
			"buried":        func(p []store.Pick) (int, error) { return b.Move(t.Context(), lasting, store.Dead, p...) },
			"put elsewhere": func(p []store.Pick) (int, error) { return b.Move(t.Context(), lasting, store.Ready, elsewhere(p)...) },
		} {
			picks := b.picks(q, 0, -1)
			n, err := change(picks)
			if err != nil || n != len(picks) {
				t.Fatalf("%s: %d of %d %s: %v", name, n, len(picks), what, err)
			}
			b.undone("c", n, 0)
			after := sidekiqKeys(server)
			if diff := cmp.Diff(before, after); diff != "" && name != "queue" {
				t.Errorf("%s, %s (-before +after):\n%s", name, what, diff)
			}
		}
	}
	if got := sidekiqKeys(server); got != before {
		t.Errorf("in the end (-before +after):\n%s", cmp.Diff(before, got))
	}
	if got := server.Do("HLEN", "ebb:strays"); got != "0" {
		t.Errorf("%s strays are left", got)
	}
}

func elsewhere(picks []store.Pick) []store.Pick {
	for i := range picks {
		picks[i].Queue = "r"
	}
	return picks
}

// A full server does nothing that it could not take back. For good it does, and it
// takes back what it can.
func TestUndoWhenFull(t *testing.T) {
	t.Parallel()
	inLayouts(t, func(t *testing.T, server *redistest.Server, url string) {
		b := start(t, url, "q", "r")
		b.push("q", numbered(6)...)
		ready := store.Query{Place: store.Ready, Queue: "q"}
		ctx := t.Context()
		_, err := b.Delete(ctx, lasting, b.picks(ready, 0, 1)...)
		b.must(err)
		_, err = b.Move(ctx, lasting, store.Dead, b.picks(ready, 0, 1)...)
		b.must(err)
		server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
		_, err = b.Delete(ctx, store.Undoable{Change: "d", For: time.Hour}, b.picks(ready, 0, 1)...)
		if !errors.Is(err, store.ErrFull) || !strings.Contains(store.Hint(err), "for good") {
			t.Errorf("an undoable delete: %v\nhint: %s", err, store.Hint(err))
		}
		if n := b.in(ready); n != 4 {
			t.Errorf("%d jobs wait, not 4", n)
		}
		if n, err := b.Delete(ctx, store.Undoable{}, b.picks(ready, 0, 1)...); n != 1 || err != nil {
			t.Errorf("%d deleted for good: %v", n, err)
		}
		if n, err := b.Move(ctx, store.Undoable{}, store.Dead, b.picks(ready, 0, 1)...); n != 1 || err != nil {
			t.Errorf("%d buried for good: %v", n, err)
		}
		b.undone("d", 0, 0)
		b.undone("c", 2, 0)
		b.balanced()
	})
}

// In a cluster the move of a job to another queue is taken back where it went to, even
// if its mover died before it came there.
func TestUndoOverTheOutbox(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Cluster())
	b := start(t, server.URL()+"?layout=cluster", "q", "r")
	member := string(items("q", "a")[0].Payload)
	server.Do("HINCRBY", "ebb:{queue:q}:books", "accepted", "1")
	server.Do("HINCRBY", "ebb:{queue:q}:books", "moved", "1")
	server.Do("HSET", "ebb:{queue:q}:outbox", "nonce", fmt.Sprintf("0 b 0 1/1/%d/2/1995289561.6895621/3600000 rc%s%s", len(member), member, items("r", "a")[0].Payload))
	_, _, err := b.Promote(t.Context(), store.Promotion{By: b.id})
	b.must(err)
	if n := b.in(store.Query{Place: store.Ready, Queue: "r"}); n != 1 {
		t.Fatalf("%d jobs have come", n)
	}
	b.undone("c", 1, 0)
	if got := server.Do("ZRANGE", "ebb:{queue:q}:retry", "0", "-1", "WITHSCORES"); got != member+"\n1995289561.6895621" {
		t.Errorf("back in the retry set: %s", got)
	}
	b.balanced()
}

// A change in a cluster is in several slots, and still one.
func TestUndoAcrossSlots(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Cluster())
	b := start(t, server.URL()+"?layout=cluster", "p", "q", "r")
	in := func(queue string) store.Query { return store.Query{Place: store.Ready, Queue: queue} }
	for _, queue := range []string{"p", "q", "r"} {
		b.push(queue, queue+"1", queue+"2")
	}
	for range 2 {
		for _, queue := range []string{"p", "q", "r"} {
			_, err := b.Delete(t.Context(), lasting, b.picks(in(queue), 0, 1)...)
			b.must(err)
		}
	}
	server.Do("PEXPIRE", "ebb:{queue:p}:undo:c", "1000")
	_, err := b.Delete(t.Context(), lasting)
	b.must(err)
	if ttl := server.Do("PTTL", "ebb:{queue:p}:undo:c"); len(ttl) != len("3600000") {
		t.Errorf("the list of another slot lasts %s ms", ttl)
	}
	for i, queue := range []string{"r", "q", "p", "r", "q", "p"} {
		done, err := b.Undo(t.Context(), "c", 1)
		b.must(err)
		if diff := cmp.Diff(store.Undone{Back: 1, More: i < 5}, done); diff != "" || b.in(in(queue)) != 1+i/3 {
			t.Errorf("step %d is not of %s: %s", i, queue, diff)
		}
	}
	b.balanced()
}

// commands counts how often the server was asked for a command since it was reset.
func commands(server *redistest.Server, name string) string {
	stat := field(server.Do("INFO", "commandstats"), "cmdstat_"+name)
	calls, _, _ := strings.Cut(strings.TrimPrefix(stat, "calls="), ",")
	return calls
}

// At the ends of a queue nothing is searched for, however long it is.
func TestMovesAtTheEndsOfALongQueue(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	for i := range 20 {
		_, err := b.Push(t.Context(), b.call(store.LanePush), items("q", numbered(20_000)[i*1000:(i+1)*1000]...)...)
		b.must(err)
	}
	before := server.Do("LRANGE", "queue:q", "0", "-1")
	for _, newest := range []bool{false, true} {
		q := store.Query{Place: store.Ready, Queue: "q", Newest: newest}
		picks := b.picks(q, 0, 1000)
		server.Do("CONFIG", "RESETSTAT")
		n, err := b.Delete(t.Context(), lasting, picks...)
		b.must(err)
		if n != 1000 {
			t.Errorf("%d deleted", n)
		}
		if !newest {
			b.undone("c", 1000, 0)
		}
		for _, name := range []string{"lpos", "lrem", "lset"} {
			if n := commands(server, name); n != "" {
				t.Errorf("newest=%v: %s times %s", newest, n, name)
			}
		}
	}
	b.undone("c", 1000, 0) // they come to the front
	// Retry now, and back.
	_, err := b.Move(t.Context(), store.Undoable{}, store.Retrying, b.picks(store.Query{Place: store.Ready, Queue: "q"}, 0, 1000)...)
	b.must(err)
	b.must(second(b.Move(t.Context(), lasting, store.Ready, b.picks(store.Query{Place: store.Retrying}, 0, 1000)...)))
	server.Do("CONFIG", "RESETSTAT")
	b.undone("c", 1000, 0)
	if n := commands(server, "lpos"); n != "" {
		t.Errorf("undo of retry now: %s times lpos", n)
	}
	if now := server.Do("LRANGE", "queue:q", "0", "-1"); len(now) >= len(before) {
		t.Errorf("%d bytes of %d are in the queue", len(now), len(before))
	}
	b.balanced()
}

// From the middle everything that was picked goes and nothing else, in whatever order
// and beside jobs that are gone and jobs of the same bytes.
func TestMovesFromTheMiddle(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	const total = 15_000
	jids := numbered(total)
	for i := range jids {
		jids[i] = jids[i-i%3] // three of each
	}
	for i := 0; i < total; i += 1000 {
		b.push("q", jids[i:i+1000]...)
	}
	var picks []store.Pick
	wanted := map[string]int{}
	i := 0
	for e, err := range b.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
		b.must(err)
		wanted[string(e.Payload)]++
		if i++; i%30 == 7 || i%4000 < 20 {
			picks = append(picks, store.Pick{Key: e.Key})
			wanted[string(e.Payload)]--
		}
	}
	for i := range picks { // one way, then the other
		if i%2 == 0 && i < len(picks)/2 {
			picks[i], picks[len(picks)-1-i] = picks[len(picks)-1-i], picks[i]
		}
	}
	gone := store.Pick{Key: store.Key(strings.Replace(string(picks[0].Key), `"jid":"0`, `"jid":"9`, 1))}
	n, err := b.Delete(t.Context(), lasting, append([]store.Pick{gone, gone, gone}, picks...)...)
	if err != nil || n != len(picks) {
		t.Errorf("%d of %d deleted: %v", n, len(picks), err)
	}
	for e, err := range b.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
		b.must(err)
		wanted[string(e.Payload)]--
	}
	for payload, n := range wanted {
		if n != 0 {
			t.Errorf("%d too few of %s", n, payload)
		}
	}
	b.undone("c", len(picks), 0)
	b.balanced()
}

// What Ruby has fetched since is Ruby's.
func TestUndoPassesWhatRubyTook(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	b.push("q", "a", "b", "c")
	ready := store.Query{Place: store.Ready, Queue: "q"}
	b.must(second(b.Move(t.Context(), store.Undoable{}, store.Retrying, b.picks(ready, 0, 3)...)))
	b.must(second(b.Move(t.Context(), lasting, store.Ready, b.picks(store.Query{Place: store.Retrying}, 0, 3)...)))
	server.Do("BRPOP", "queue:q", "1")
	server.Do("LMOVE", "queue:q", "ebb:{queue:q}:inbox", "RIGHT", "LEFT") // woke somebody, and is still there
	b.undone("c", 2, 1)
	if n := b.in(store.Query{Place: store.Retrying}); n != 2 || b.in(ready) != 0 {
		t.Errorf("%d jobs are back, %d wait", n, b.in(ready))
	}
}

// One that changed its hour since has moved on.
func TestUndoPassesWhatWasRescheduled(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	b.push("q", "a", "b")
	b.must(second(b.Move(t.Context(), lasting, store.Retrying, b.picks(store.Query{Place: store.Ready, Queue: "q"}, 0, 2)...)))
	server.Do("ZADD", "retry", "1995289561.5", server.Do("ZRANGE", "retry", "0", "0"))
	b.undone("c", 1, 1)
	b.balanced()
}

// A foreign key in the way stops a move before it has begun.
func TestMoveIntoSomethingElse(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	b.push("q", "a", "b")
	ctx := t.Context()
	b.must(second(b.Move(ctx, store.Undoable{}, store.Retrying, b.picks(store.Query{Place: store.Ready, Queue: "q"}, 0, 2)...)))
	picks := b.picks(store.Query{Place: store.Retrying}, 0, 2)
	before := server.Do("ZRANGE", "retry", "0", "-1", "WITHSCORES")
	for _, key := range []string{"queue:q", "dead", "ebb:undo:c"} {
		server.Do("SET", key, "something else")
		for what, err := range map[string]error{
			"move":   second(b.Move(ctx, lasting, store.Ready, picks...)),
			"bury":   second(b.Move(ctx, lasting, store.Dead, picks...)),
			"delete": second(b.Delete(ctx, lasting, picks...)),
		} {
			if err == nil || !strings.Contains(store.Hint(err), "holds something else") {
				t.Errorf("%s with a foreign %s: %v", what, key, err)
			}
		}
		if got := server.Do("ZRANGE", "retry", "0", "-1", "WITHSCORES"); got != before {
			t.Errorf("with a foreign %s there is left: %s", key, got)
		}
		server.Do("DEL", key)
	}
	b.balanced()
}
