//go:build slow

package interop

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/guard"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
)

// plainWorker is a Ruby worker as Sidekiq comes, with a job that a beat has told of and
// one that had hardly begun when it was killed.
type plainWorker struct {
	*sidekiqtest.Worker
	server     *redistest.Server
	id         string
	old, young string   // the jobs
	told       []string // jids that its last beat told of
	killed     time.Time
}

// killedWorker starts a worker and kills it once a job has lived past a beat. before is
// called when the worker is there.
func killedWorker(t *testing.T, server *redistest.Server, before func()) *plainWorker {
	t.Helper()
	w := &plainWorker{Worker: sidekiqtest.Start(t, server), server: server}
	before()
	w.Await("its first beat", func() bool { w.id = server.Do("SMEMBERS", "processes"); return w.id != "" })
	w.old = w.Push(time.Hour)
	w.Await("a beat that tells of the job", func() bool { return strings.Contains(w.beat(), w.old) })
	w.young = w.Push(time.Hour)
	w.Await("the young job's run", func() bool { return strings.Contains(w.Ledger(), "began "+w.young) })
	kill(t, w.Worker)
	w.killed = time.Now()
	for _, jid := range []string{w.old, w.young} {
		if strings.Contains(w.beat(), jid) {
			w.told = append(w.told, jid)
		}
	}
	return w
}

// beat is what the worker last said that it runs.
func (w *plainWorker) beat() string { return w.server.Do("HVALS", w.id+":workers") }

// places are the jobs that are anywhere in Redis, but for what the dead worker said.
func places(t *testing.T, server *redistest.Server) string {
	t.Helper()
	return server.Do("LRANGE", "queue:default", "0", "-1") + server.Do("ZRANGE", "retry", "0", "-1") +
		server.Do("ZRANGE", "schedule", "0", "-1") + server.Do("ZRANGE", "dead", "0", "-1")
}

// runGuard runs a guard until the test ends.
func runGuard(t *testing.T, server *redistest.Server, pace guard.Pace) {
	t.Helper()
	s, err := redisstore.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &guard.Guard{Store: s, Log: slog.New(slog.DiscardHandler), By: store.NewIdentity(), Pace: pace}
	var running sync.WaitGroup
	running.Go(func() { g.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait(); s.Close() })
}

// KILL of a Ruby worker as Sidekiq comes: its jobs are gone, and with a guard those come
// back that its last beat told of. The minute in which its record lives on is made short
// here: the test removes the record as the server would.
func TestGuardAfterKill(t *testing.T) {
	t.Parallel()
	t.Run("without anything", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		w := killedWorker(t, server, func() {})
		server.Do("DEL", w.id, w.id+":workers")
		if left := places(t, server); left != "" {
			t.Errorf("of what the worker ran there is still %s", left)
		}
		measured(t, "KILL of a Ruby worker with 2 jobs: 2 lost")
	})
	t.Run("with ebb guard", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		pace := guard.Usual
		pace.Every, pace.Silence = 50*time.Millisecond, 0
		w := killedWorker(t, server, func() { runGuard(t, server, pace) })
		w.Await("the guard's look at the last beat", func() bool {
			return strings.Count(server.Do("HVALS", "ebb:mirror:"+w.id), `"run_at"`) == len(w.told)
		})
		server.Do("DEL", w.id, w.id+":workers")
		runsAgain(t, w)
	})
}

// runsAgain wants the jobs that the last beat told of, and no others, to run in another
// Ruby worker.
func runsAgain(t *testing.T, w *plainWorker) {
	t.Helper()
	w.Await("the jobs in their queue", func() bool { return w.server.Do("LLEN", "queue:default") == fmt.Sprint(len(w.told)) })
	back := time.Since(w.killed)
	if waiting := w.server.Do("LRANGE", "queue:default", "0", "-1"); !strings.Contains(waiting, `"w":"put back"`) {
		t.Errorf("nothing says that it may have run: %s", waiting)
	}
	other := sidekiqtest.Start(t, w.server)
	other.Await("the second run", func() bool { return strings.Count(other.Ledger(), "began") == len(w.told) })
	for _, jid := range []string{w.old, w.young} {
		if got, want := strings.Contains(other.Ledger(), jid), slices.Contains(w.told, jid); got != want {
			t.Errorf("%s runs again: %t, want %t", jid, got, want)
		}
	}
	if !slices.Contains(w.told, w.old) {
		t.Errorf("its last beat told of %q", w.told)
	}
	measured(t, "KILL of a Ruby worker with 2 jobs, of which a beat had told of %d: back in the queue after %.1f s, lost %d", len(w.told), back.Seconds(), 2-len(w.told))
}
