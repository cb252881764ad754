package faulttest

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

// A server that is there and refuses is waited for. A producer is told what to do
// about it, a worker says it once, and all of it goes on by itself afterwards.
func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		begin, end func(st *stage)
		is         error // what Enqueue says …
		hint       string
		cause      string // … and the log of a worker
	}{
		{
			name: "BUSY",
			begin: func(st *stage) {
				st.server.Do("CONFIG", "SET", "lua-time-limit", "50")
				var looping sync.WaitGroup
				looping.Go(func() { st.server.Try("EVAL", "while true do end", "0") })
				st.Cleanup(looping.Wait)
				st.await("busy server", func() bool {
					_, err := st.server.Try("PING")
					return err != nil && strings.Contains(err.Error(), "BUSY")
				})
			},
			end: func(st *stage) { st.server.Do("SCRIPT", "KILL") },
			is:  ebb.ErrUncertain, hint: "SCRIPT KILL", cause: "BUSY",
		},
		{
			name:  "NOREPLICAS",
			begin: func(st *stage) { st.server.Do("CONFIG", "SET", "min-replicas-to-write", "1") },
			end:   func(st *stage) { st.server.Do("CONFIG", "SET", "min-replicas-to-write", "0") },
			is:    store.ErrReadOnly, hint: "min-replicas-to-write", cause: "NOREPLICAS",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := onRedis(t).stage()
			w := st.worker(ebb.Config{Concurrency: 4, Lease: ebb.LeaseConfig{TTL: 12 * time.Second}}, st.handle)
			for _, c := range []cue{during, after} {
				st.enqueue(2, part{Until: c})
				st.enqueue(1, part{Until: c, Fails: true})
			}
			st.onStage(4)
			tt.begin(st)
			st.give(during)
			ref, err := act.Enqueue(t.Context(), st.client, part{})
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.cause) || !strings.Contains(store.Hint(err), tt.hint) {
				t.Errorf("enqueue: %v\nhint: %s", err, store.Hint(err))
			}
			st.await("word of it", func() bool { return w.log.count(saysAway) > 0 })
			if w.log.count(saysAway, tt.cause, tt.hint) != 1 {
				t.Error("the log does not say what is wrong and what to try")
			}
			tt.end(st)
			st.await("word of its end", func() bool { return w.log.count(saysBack) > 0 })
			st.enqueue(5, part{})
			st.give(after)
			st.settle()
			if n := st.of(ref.JID); n != 0 {
				t.Errorf("the job that was refused ran %d times", n)
			}
			if away, back := w.log.count(saysAway), w.log.count(saysBack); away != 1 || back != 1 {
				t.Errorf("said %d times that the store is away, %d times that it is back", away, back)
			}
		})
	}
}

// A server forgets its scripts whenever somebody tells it to, and nobody notices.
func TestRedisForgetsItsScripts(t *testing.T) {
	t.Parallel()
	f := onRedis(t).traffic()
	f.hire(f.url)
	f.hire(f.url)
	f.produce(f.url)
	for range 30 {
		f.flow(5)
		f.server.Do("SCRIPT", "FLUSH")
	}
	l := f.settle()
	f.whole(l)
	if l.uncertain+l.refused > 0 {
		t.Error("a producer was told")
	}
	for _, w := range f.crew {
		if n := w.log.count(saysAway); n > 0 {
			t.Errorf("a worker said %d times that the store is away", n)
		}
	}
}
