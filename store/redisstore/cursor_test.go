package redisstore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// Whatever comes and goes at the ends of a place, or is taken away by whoever walks
// it, no job that stays is missed.
func TestWalkMissesNothingThatStays(t *testing.T) {
	t.Parallel()
	const total = 6000
	for _, tt := range []struct {
		name string
		q    store.Query
		// others is what happens after every 700th job.
		others func(server *redistest.Server, n int)
		delete bool
	}{
		{"queue beside workers", store.Query{Place: store.Ready, Queue: "q"}, func(server *redistest.Server, n int) {
			server.Do("RPOP", "queue:q", "350")
			server.Do("LPUSH", "queue:q", fmt.Sprintf(`{"jid":"new%d"}`, n))
		}, false},
		{"queue from the back beside pushes", store.Query{Place: store.Ready, Queue: "q", Newest: true}, func(server *redistest.Server, n int) {
			args := []string{"LPUSH", "queue:q"}
			for i := range 350 {
				args = append(args, fmt.Sprintf(`{"jid":"new%d"}`, n+i))
			}
			server.Do(args...)
		}, false},
		{"queue that is cleared", store.Query{Place: store.Ready, Queue: "q"}, func(*redistest.Server, int) {}, true},
		{"queue that is cleared from the back", store.Query{Place: store.Ready, Queue: "q", Newest: true}, func(*redistest.Server, int) {}, true},
		{"set of one hour", store.Query{Place: store.Retrying}, func(server *redistest.Server, n int) {
			server.Do("ZPOPMIN", "retry", "350")
			server.Do("ZADD", "retry", "1", fmt.Sprintf(`{"jid":"new%d"}`, n))
		}, false},
		{"set from its end", store.Query{Place: store.Retrying, Newest: true}, func(server *redistest.Server, n int) {
			server.Do("ZADD", "retry", "9e9", fmt.Sprintf(`{"jid":"new%d"}`, n))
			server.Do("ZPOPMAX", "retry", "350")
		}, false},
		{"set that is cleared", store.Query{Place: store.Retrying}, func(*redistest.Server, int) {}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			b := start(t, server.URL(), "q")
			for i := 0; i < total; i += 1000 {
				push, retry := []string{"LPUSH", "queue:q"}, []string{"ZADD", "retry"}
				for n := range 1000 {
					payload := fmt.Sprintf(`{"jid":"%06d","queue":"q"}`, i+n)
					push, retry = append(push, payload), append(retry, fmt.Sprint(2e9+float64(i)), payload)
				}
				server.Do(push...)
				server.Do(retry...)
			}
			seen := map[string]bool{}
			var picks []store.Pick
			for e, err := range b.Jobs(t.Context(), tt.q) {
				b.must(err)
				if n := len(seen); n > 0 && n%700 == 0 && !seen[string(e.Payload)] {
					tt.others(server, n)
				}
				seen[string(e.Payload)] = true
				if picks = append(picks, store.Pick{Key: e.Key}); tt.delete && len(picks) == 500 {
					n, err := b.Delete(t.Context(), store.Undoable{}, picks...)
					b.must(err)
					if n != len(picks) {
						t.Errorf("%d of %d deleted", n, len(picks))
					}
					picks = nil
				}
			}
			left := server.Do("LRANGE", "queue:q", "0", "-1")
			if tt.q.Place == store.Retrying {
				left = server.Do("ZRANGE", "retry", "0", "-1")
			}
			missed := 0
			for payload := range strings.Lines(left) {
				if payload = strings.TrimSpace(payload); !seen[payload] && !strings.Contains(payload, "new") {
					missed++
				}
			}
			if missed > 0 || len(seen) < total/2 {
				t.Errorf("missed %d, saw %d", missed, len(seen))
			}
		})
	}
}

// A walk that is left early leaves nothing behind, and one of a screen reads no more.
func TestWalkOfAScreen(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	for i := range 5 {
		b.push("q", numbered(5000)[i*1000:(i+1)*1000]...)
	}
	for _, newest := range []bool{false, true} {
		server.Do("CONFIG", "RESETSTAT")
		if n := b.in(store.Query{Place: store.Ready, Queue: "q", Limit: 20, Newest: newest}); n != 20 {
			t.Errorf("%d jobs", n)
		}
		if n := commands(server, "lrange"); n != "2" && !newest || n != "1" && newest { // forward, the inbox comes first
			t.Errorf("newest=%v: read %s times", newest, n)
		}
	}
	for i := range b.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
		if strings.Contains(string(i.Payload), "1500") {
			break // while the next page is on its way
		}
	}
}
