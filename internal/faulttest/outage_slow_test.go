//go:build slow

package faulttest

import (
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

func init() {
	stop, kill, restart := (*redistest.Server).Stop, (*redistest.Server).Kill, (*redistest.Server).Restart
	pause := func(s *redistest.Server) { s.Do("CLIENT", "PAUSE", strconv.FormatInt(pastLease.Milliseconds(), 10)) }
	byItself := func(*redistest.Server) {}
	absences = append(absences,
		absence{"killed for longer than a lease", lease, pastLease, kill, restart, "store unreachable"},
		absence{"stopped for longer than a lease", lease, pastLease, stop, restart, "store unreachable"},
		absence{"frozen for less than a lease", 6 * time.Second, 3 * time.Second, (*redistest.Server).Pause, (*redistest.Server).Resume, "store unreachable"},
		absence{"paused for longer than a lease", lease, pastLease, pause, byItself, "store unreachable"},
		absence{"a replica for longer than a lease", lease, pastLease, demote, promote, "READONLY"},
	)
}

// A server that loads its data is waited for by who runs, and for a moment by who
// comes; then that is told what is the matter.
func TestRedisIsLoading(t *testing.T) {
	t.Parallel()
	// A millisecond for each key, and a look at the outside world now and then.
	st := onRedis(t, redistest.Args("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")).stage()
	fill := []string{"MSET"}
	for i := range 4000 {
		fill = append(fill, "filler:"+strings.Repeat("0", 100)+string(rune('a'+i%26))+time.Duration(i).String(), "x")
	}
	st.server.Do(fill...)
	w := st.worker(ebb.Config{Concurrency: 2}, st.handle)
	st.enqueue(1, part{Until: after})
	st.onStage(1)
	st.server.Do("SAVE")
	st.server.Kill()

	type opened struct {
		client *ebb.Client
		told   error
	}
	done := make(chan opened, 1)
	go func() {
		var o opened
		for o.client == nil && t.Context().Err() == nil {
			var err error
			if o.client, err = ebb.Open(t.Context(), st.url, ebb.WithLogger(slog.New(slog.DiscardHandler))); err != nil && strings.Contains(err.Error(), "LOADING") {
				o.told = err
			}
		}
		done <- o
	}()
	st.server.Restart()
	o := <-done
	if o.client == nil {
		t.Fatal("never opened")
	}
	defer o.client.Close()
	if !errors.Is(o.told, store.ErrUnreachable) || !strings.Contains(store.Hint(o.told), "still loading") {
		t.Errorf("open while it loads: %v\nhint: %s", o.told, store.Hint(o.told))
	}
	st.await("word of its end", func() bool { return w.log.count(saysBack) > 0 })
	st.give(after)
	st.enqueue(1, part{})
	st.settle()
	if away, back := w.log.count(saysAway), w.log.count(saysBack); away != 1 || back != 1 {
		t.Errorf("said %d times that the store is away, %d times that it is back", away, back)
	}
}
