//go:build slow

package interop

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	"github.com/ebbjobs/ebb/store"
)

// holders are the processes that have a lease.
func (p *pair) holders() []string {
	return strings.Fields(p.server.Do("ZRANGE", "ebb:holders", "0", "-1"))
}

// beatFor waits until each of these has beaten for so long.
func (p *pair) beatFor(d time.Duration, ids ...string) {
	p.Helper()
	beat := func(id string) time.Duration {
		micros, _ := strconv.ParseInt(p.server.Do("HGET", "ebb:last:"+id, "beat"), 10, 64)
		return time.Duration(micros) * time.Microsecond
	}
	first := map[string]time.Duration{}
	for _, id := range ids {
		first[id] = beat(id)
	}
	for _, id := range ids {
		p.await("beats of "+id, func() bool { return beat(id)-first[id] >= d })
	}
}

// Two Ruby processes and nobody else, with the times that they really take.
func TestRubyRescuesRuby(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	two := started(t, 2, func() *sidekiqtest.Worker { return sidekiqtest.StartWith(t, p.server, withGem(t)) })
	p.beatFor(14*time.Second, p.holders()...) // then they are sure of themselves
	_, took := rescued(t, two)
	measured(t, "KILL of a Ruby worker beside another one, without ebb: the job runs again after %.1f s", took.Seconds())
	if b := p.balanced("default", 1); b.Rescued != 1 {
		t.Errorf("rescued %d", b.Rescued)
	}
}

// Two Ruby workers of which one is killed again and again lose nothing.
func TestKilledRubiesLoseNothing(t *testing.T) {
	t.Parallel()
	const jobs, kills = 500, 10
	p := newPair(t)
	start := func() *sidekiqtest.Worker { return sidekiqtest.StartWith(t, p.server, withGem(t)+hurried) }
	workers := started(t, 2, start)
	all := workers
	jids := make([]string, jobs)
	for i := range jids {
		jids[i] = workers[0].Push(200 * time.Millisecond)
	}
	ended := func() map[string]int {
		n := map[string]int{}
		for _, w := range all {
			for line := range strings.Lines(w.Ledger()) {
				if jid, ok := strings.CutPrefix(strings.TrimSpace(line), "ended "); ok {
					n[jid]++
				}
			}
		}
		return n
	}
	for range kills {
		p.await("the rescue of the last one", func() bool { return len(p.holders()) == 2 })
		moment := min(len(ended())+rand.IntN(jobs/kills/2), jobs)
		p.await("some jobs", func() bool { return len(ended()) >= moment })
		i := rand.IntN(2)
		kill(t, workers[i])
		workers = []*sidekiqtest.Worker{workers[1-i], start()}
		all = append(all, workers[1])
	}
	p.await("the end of all jobs", func() bool { return len(ended()) == jobs })
	b := p.balanced("default", 0)
	again := 0
	for _, n := range ended() {
		again += n - 1
	}
	measured(t, "%d jobs, %d KILLs: 0 lost, %d rescued, %d ended twice", jobs, kills, b.Rescued, again)
	if b.Fetched != b.Done+b.Rescued || b.Done != jobs {
		t.Errorf("fetched %d, done %d, rescued %d", b.Fetched, b.Done, b.Rescued)
	}
}

// A server that goes away and comes back takes no job along: a thread that is done
// waits until it can say so, and what could not be told goes back.
func TestFetchOutlivesTheServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.AOF())
	p := &pair{TB: t, server: server, log: &logbook{}}
	w := sidekiqtest.StartWith(t, server, withGem(t), "-q", "default")
	done := w.Push(4 * time.Second)
	fails := rubyInto[string](t, server, `Sidekiq::Client.push("class" => "LateJob", "args" => [4])`)
	w.Await("both runs", func() bool { return begun(done, w) == 1 && begun(fails, w) == 1 })
	server.Kill()
	w.Await("the end of a job", func() bool { return strings.Contains(w.Ledger(), "ended "+done) })
	w.Await("word of it", func() bool { return strings.Contains(w.Log(), "cannot record that a job has ended") })
	w.Await("a retry that could not be written", func() bool { return strings.Contains(w.Log(), "Internal exception!") })
	server.Restart()
	// Its retry could not be written, so it runs again.
	w.Await("another run of the one that failed", func() bool { return begun(fails, w) == 2 })
	p.await("the retry", func() bool { return strings.Contains(server.Do("ZRANGE", "retry", "0", "-1"), fails) })
	if n := begun(done, w); n != 1 {
		t.Errorf("the job that had ended ran %d times", n)
	}
	p.await("nothing held", func() bool { return server.Do("KEYS", "*:held:*") == "" })
	if books := server.Do("HMGET", "ebb:{queue:default}:books", "fetched", "ruby", "requeued"); strings.Join(strings.Fields(books), " ") != "3 2 1" {
		t.Errorf("fetched, acknowledged and given back: %s", books)
	}
}

// A process that does nothing for a while, as if a job held Ruby's VM lock, keeps its
// connection, and so its jobs.
func TestAFrozenRubyKeepsItsJobs(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	two := started(t, 2, func() *sidekiqtest.Worker { return sidekiqtest.StartWith(t, p.server, withGem(t)+hurried) })
	p.beatFor(2*time.Second, p.holders()...) // then both are sure of themselves
	jid := two[0].Push(10 * time.Second)
	two[0].Await("the job's run", func() bool { return begun(jid, two...) == 1 })
	for i, w := range two {
		if begun(jid, w) == 1 {
			signal(t, w, syscall.SIGSTOP)
			other := slices.DeleteFunc(p.holders(), func(id string) bool { return store.Identity(id).PID() != two[1-i].PID })
			p.beatFor(6*time.Second, other...) // six times what a silent doorbell leaves
			signal(t, w, syscall.SIGCONT)
			w.Await("the job's end", func() bool { return strings.Contains(w.Ledger(), "ended "+jid) })
		}
	}
	if b := p.balanced("default", 0); b.Rescued != 0 || begun(jid, two...) != 1 {
		t.Errorf("rescued %d times, begun %d times", b.Rescued, begun(jid, two...))
	}
}
