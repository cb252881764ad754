package faulttest

import (
	"errors"
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

// absence is an outage of Redis.
type absence struct {
	name         string
	lease, lasts time.Duration
	begin, end   func(*redistest.Server)
	cause        string // as the log has it
}

// pastLease is how long one lasts that outlives a lease.
const pastLease = 2 * lease

var absences = []absence{
	{"killed for less than a lease", 12 * time.Second, time.Second, (*redistest.Server).Kill, (*redistest.Server).Restart, "store unreachable"},
	{"frozen for longer than a lease", lease, pastLease, (*redistest.Server).Pause, (*redistest.Server).Resume, "store unreachable"},
	{"a replica for less than a lease", 12 * time.Second, 3 * time.Second, demote, promote, "READONLY"},
}

func demote(s *redistest.Server)  { s.Do("REPLICAOF", "127.0.0.1", "1") }
func promote(s *redistest.Server) { s.Do("REPLICAOF", "NO", "ONE") }

// Whatever Redis does, workers go on with what they have, keep their verdicts, say
// once that it is away and once that it is back, and leave each other's jobs alone.
func TestRedisGoesAway(t *testing.T) {
	t.Parallel()
	for _, tt := range absences {
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
