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

const (
	saysAway = `msg="store does not answer`
	saysBack = `msg="store is back"`
)

// Whatever Redis does, workers go on with what they have, keep their verdicts, say
// once that it is away and once that it is back, and leave each other's jobs alone.
func TestRedisGoesAway(t *testing.T) {
	t.Parallel()
	stop, kill, restart := (*redistest.Server).Stop, (*redistest.Server).Kill, (*redistest.Server).Restart
	freeze, thaw := (*redistest.Server).Pause, (*redistest.Server).Resume
	demote := func(s *redistest.Server) { s.Do("REPLICAOF", "127.0.0.1", "1") }
	promote := func(s *redistest.Server) { s.Do("REPLICAOF", "NO", "ONE") }
	const long = 2 * lease
	pause := func(s *redistest.Server) { s.Do("CLIENT", "PAUSE", strconv.FormatInt(long.Milliseconds(), 10)) }
	byItself := func(*redistest.Server) {}
	tests := []struct {
		name         string
		lease, lasts time.Duration
		begin, end   func(*redistest.Server)
		cause        string // as the log has it
	}{
		{"killed for less than a lease", 12 * time.Second, time.Second, kill, restart, "store unreachable"},
		{"killed for longer than a lease", lease, long, kill, restart, "store unreachable"},
		{"stopped for longer than a lease", lease, long, stop, restart, "store unreachable"},
		{"frozen for less than a lease", 6 * time.Second, 3 * time.Second, freeze, thaw, "store unreachable"},
		{"frozen for longer than a lease", lease, long, freeze, thaw, "store unreachable"},
		{"paused for longer than a lease", lease, long, pause, byItself, "store unreachable"},
		{"a replica for less than a lease", 12 * time.Second, 3 * time.Second, demote, promote, "READONLY"},
		{"a replica for longer than a lease", lease, long, demote, promote, "READONLY"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := onRedis(t, redistest.AOF()).stage()
			var workers []*worker
			for range 3 {
				workers = append(workers, st.worker(ebb.Config{Concurrency: 4, Lease: ebb.LeaseConfig{TTL: tt.lease}}, st.handle))
			}
			for _, c := range []cue{during, after} {
				st.enqueue(3, part{Until: c})
				st.enqueue(1, part{Until: c, Fails: true})
			}
			st.onStage(8)
			st.enqueue(20, part{})

			began := time.Now()
			tt.begin(st.server)
			st.give(during)
			type answer struct {
				ref ebb.Ref
				err error
			}
			answers := make(chan answer, 1)
			go func() {
				ref, err := act.Enqueue(t.Context(), st.client, part{})
				answers <- answer{ref, err}
			}()
			for _, w := range workers {
				st.await("word of the outage", func() bool { return w.log.count(saysAway) > 0 })
				if w.log.count(saysAway, tt.cause, "hint=") == 0 {
					t.Error("the log does not say what is wrong and what to try")
				}
			}
			<-time.After(time.Until(began.Add(tt.lasts)))
			tt.end(st.server)
			meanwhile := <-answers
			switch err := meanwhile.err; {
			case err == nil:
				st.accepted(meanwhile.ref, part{})
			case !errors.Is(err, ebb.ErrUncertain) && !errors.Is(err, store.ErrReadOnly), store.Hint(err) == "":
				t.Errorf("enqueue meanwhile: %v\nhint: %s", err, store.Hint(err))
			}
			for _, w := range workers {
				st.await("word of its end", func() bool { return w.log.count(saysBack) > 0 })
			}
			st.give(after)
			st.settle()

			if n := st.of(meanwhile.ref.JID); n > 1 {
				t.Errorf("the job enqueued meanwhile ran %d times", n)
			}
			if n := st.rescued(); n != 0 {
				t.Errorf("%d jobs of the living were rescued", n)
			}
			for _, w := range workers {
				if away, back := w.log.count(saysAway), w.log.count(saysBack); away != 1 || back != 1 {
					t.Errorf("said %d times that the store is away, %d times that it is back", away, back)
				}
			}
		})
	}
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
