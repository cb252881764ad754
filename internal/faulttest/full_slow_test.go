//go:build slow

package faulttest

import (
	"testing"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
)

func TestRedisIsOutOfMemory(t *testing.T) {
	t.Parallel()
	st := onRedis(t, redistest.AOF(), redistest.MaxMemory(32<<20)).stage()
	patient := ebb.LeaseConfig{TTL: 2 * lease}
	alive := st.worker(ebb.Config{Concurrency: 4, Lease: patient}, st.handle)
	st.enqueue(3, part{Until: during})
	st.enqueue(1, part{Until: during, Fails: true})
	st.onStage(4)

	// The other process takes what there is beyond these four, and vanishes with it.
	gone := st.worker(ebb.Config{Concurrency: 3, Stop: ebb.StopConfig{Grace: lease}}, st.handle)
	for _, ref := range st.enqueue(3, part{Until: after}) {
		st.want[ref.JID] = 2
	}
	st.onStage(7)
	st.enqueue(5, part{})

	st.server.Do("SETRANGE", "filler", "40000000", "x") // the one command that may still exceed the limit
	st.refuses("maxmemory")
	late := st.worker(ebb.Config{Concurrency: 2, Lease: patient}, st.handle)
	gone.vanish()
	st.give(during)
	st.await("rescue", func() bool { return st.rescued() == 3 })
	st.refuses("maxmemory")
	st.give(after)
	st.settle()
	if report, err := late.Drain(t.Context()); err != nil || report.Reason == "" {
		t.Errorf("drain: %+v, %v", report, err)
	}
	st.refuses("maxmemory")

	st.server.Do("DEL", "filler")
	st.enqueue(10, part{})
	st.enqueue(1, part{Fails: true})
	st.settle()
	st.answered(alive, late)
}
