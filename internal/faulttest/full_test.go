package faulttest

import (
	"errors"
	"strings"
	"testing"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// refuses checks that new jobs are refused, and that somebody can do something
// about it.
func (st *stage) refuses(hint string) {
	st.Helper()
	for what, opts := range map[string][]ebb.Option{"enqueue": nil, "schedule": {ebb.In(soon)}} {
		ref, err := act.Enqueue(st.Context(), st.client, part{}, opts...)
		if !errors.Is(err, ebb.ErrFull) || errors.Is(err, ebb.ErrUncertain) || ref.JID != "" || !strings.Contains(store.Hint(err), hint) {
			st.Errorf("%s into a full store: %+v, %v\nhint: %s", what, ref, err, store.Hint(err))
		}
	}
}

// answered checks that a full store was not taken for one that is away.
func (st *stage) answered(workers ...*worker) {
	st.Helper()
	for _, w := range workers {
		if n := w.log.count(saysAway); n != 0 {
			st.Errorf("said %d times that the store is away", n)
		}
	}
}

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
