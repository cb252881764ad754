package interop

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	"github.com/ebbjobs/ebb/store"
)

// fetchProgram are the jobs of these tests.
const fetchProgram = `
class RaiseJob < SleepJob
  sidekiq_retry_in { 3600 }
  def perform(*)
    say "began"
    raise "no"
  end
end
class OtherJob < SleepJob; end
class LateJob < SleepJob
  def perform(seconds)
    super
    raise "no"
  end
end
`

// withGem is fetchProgram with the second of the two lines that install the fetch; the
// first is the Gemfile's.
func withGem(t testing.TB) string {
	t.Helper()
	readGem(t)
	lib, err := filepath.Abs(gemFolder + "/lib")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s\n$LOAD_PATH.unshift %q\nrequire \"ebb/sidekiq\"\n", fetchProgram, lib)
}

// hurried makes Ruby judge sooner than it does, for tests that do not measure that.
const hurried = `
Ebb::Sidekiq::Keeper::STEADY = 1
Ebb::Sidekiq::Keeper::EVERY = 0.3
Ebb::Sidekiq::Keeper::SUSPICION = 1000
Ebb::Sidekiq::Rescuer::DEFER = 300
`

func kill(t testing.TB, w *sidekiqtest.Worker) {
	t.Helper()
	signal(t, w, syscall.SIGKILL)
	<-w.Exited()
}

func signal(t testing.TB, w *sidekiqtest.Worker, sig syscall.Signal) {
	t.Helper()
	signalPID(t, w.PID, sig)
}

// signalPID takes no number that stands for several processes: 0 is all those around
// this test.
func signalPID(t testing.TB, pid int, sig syscall.Signal) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("no process has the number %d", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("signal %d: %v", pid, err)
	}
}

// begun counts how often a job has begun on these workers.
func begun(jid string, workers ...*sidekiqtest.Worker) (n int) {
	for _, w := range workers {
		n += strings.Count(w.Ledger(), "began "+jid)
	}
	return n
}

// started starts n workers.
func started(t testing.TB, n int, start func() *sidekiqtest.Worker) []*sidekiqtest.Worker {
	t.Helper()
	workers := make([]*sidekiqtest.Worker, n)
	for i := range workers {
		workers[i] = start()
	}
	return workers
}

// rescued kills the worker of two that runs a job, and returns the other, and how long
// it took until that had begun the job.
func rescued(t testing.TB, two []*sidekiqtest.Worker) (*sidekiqtest.Worker, time.Duration) {
	t.Helper()
	jid := two[0].Push(time.Minute)
	two[0].Await("the job's first run", func() bool { return begun(jid, two...) == 1 })
	victim, other := two[0], two[1]
	if begun(jid, victim) == 0 {
		victim, other = other, victim
	}
	kill(t, victim)
	at := time.Now()
	other.Await("the job's second run", func() bool { return begun(jid, other) == 1 })
	return other, time.Since(at)
}

// balanced waits until the books of a queue have what is held, and say that nothing
// is missing.
func (p *pair) balanced(queue string, held int64) store.Books {
	p.Helper()
	var found store.Books
	p.await(fmt.Sprintf("%d held of %s", held, queue), func() bool {
		st, err := p.client.Store().Stats(p.Context())
		p.must(err)
		for _, b := range st.Books {
			if b.Queue == queue {
				found = b
			}
		}
		return found.Held == held
	})
	if found.Custody() != 0 {
		p.Errorf("custody is off by %d: %+v", found.Custody(), found)
	}
	return found
}

func TestAKilledRubyLosesItsJobWithoutTheFetch(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	two := started(t, 2, func() *sidekiqtest.Worker { return sidekiqtest.StartWith(t, server, fetchProgram) })
	jid := two[0].Push(time.Minute)
	two[0].Await("the job's run", func() bool { return begun(jid, two...) == 1 })
	for _, w := range two {
		if begun(jid, w) == 1 {
			kill(t, w)
		}
	}
	// Nobody has it any more, so nothing can come of it.
	if left := server.Do("LLEN", "queue:default") + server.Do("ZCARD", "retry") + server.Do("ZCARD", "dead"); left != "000" {
		t.Errorf("Sidekiq kept the job: %s; what the gem promises is not needed", left)
	}
	if keys := server.Do("KEYS", "ebb:*"); keys != "" {
		t.Errorf("without the gem there is %s", keys)
	}
}

// Beside an ebb process, which judges and rescues.
func TestAKilledRubysJobRunsAgain(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.start(ebb.Config{Queues: []string{"go"}, Lease: ebb.LeaseConfig{TTL: 4 * time.Second}}, func(process *ebb.Process) {
		ebb.Define[int]("Idle").Handle(process, func(context.Context, int) error { return nil })
	})
	two := started(t, 2, func() *sidekiqtest.Worker { return sidekiqtest.StartWith(t, p.server, withGem(t)) })
	_, took := rescued(t, two)
	measured(t, "KILL of a Ruby worker beside an ebb process: the job runs again after %.1f s", took.Seconds())
	b := p.balanced("default", 1)
	if b.Rescued != 1 || b.Fetched != 2 {
		t.Errorf("fetched %d, rescued %d", b.Fetched, b.Rescued)
	}
	for report, err := range p.client.Store().Stops(t.Context()) {
		p.must(err)
		if report.Reason != "vanished" || len(report.Jobs) != 1 || report.Jobs[0].Kind != "SleepJob" {
			t.Errorf("reported as %+v", report)
		}
	}
}

// Two Ruby processes alone; the times are measured where they are the real ones.
func TestAKilledRubysJobRunsAgainWithoutEbb(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	two := started(t, 2, func() *sidekiqtest.Worker { return sidekiqtest.StartWith(t, p.server, withGem(t)+hurried, "-t", "1") })
	survivor, _ := rescued(t, two)
	if b := p.balanced("default", 1); b.Rescued != 1 {
		t.Errorf("rescued %d", b.Rescued)
	}
	var last store.StopReport
	for report, err := range p.client.Store().Stops(t.Context()) {
		p.must(err)
		last = report
	}
	if last.Reason != "vanished" || last.Cause != store.Lapsed || last.By == "" || last.By == last.ID || last.Ended.IsZero() || last.Heard.IsZero() {
		t.Errorf("reported as %+v", last)
	}
	// The one that runs it now has been told: a rescue counts as ebb's own does.
	signal(t, survivor, syscall.SIGTERM)
	_, job := p.in(store.Ready, last.Jobs[0].JID)
	if h := job.History; h.Interruptions != 1 || h.Crashes != 1 || len(h.Events) != 1 || h.Events[0].What != "rescued" || h.Events[0].Note != string(last.ID) {
		t.Errorf("its history is %+v", h)
	}
}

// One worker from its start to its end: what is done is forgotten, what failed waits
// in Ruby's own set, and what is cut off goes back once.
func TestFetchFromStartToEnd(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := sidekiqtest.StartWith(t, p.server, withGem(t), "-t", "1", "-q", "default", "-q", "second")
	push := func(queue, class string, seconds float64) string {
		t.Helper()
		return rubyInto[string](t, p.server, fmt.Sprintf(`Sidekiq::Client.push("class" => %q, "queue" => %q, "args" => [%g])`, class, queue, seconds))
	}

	quick, failing := push("second", "SleepJob", 0), push("default", "RaiseJob", 0)
	w.Await("the end of a job", func() bool { return strings.Contains(w.Ledger(), "ended "+quick) })
	p.in(store.Retrying, failing)
	p.balanced("second", 0)
	if b := p.balanced("default", 0); b.Done != 1 || !strings.Contains(p.server.Do("ZRANGE", "retry", "0", "-1"), "RuntimeError") {
		t.Errorf("a job that failed in Ruby is in the books as %+v", b)
	}

	long := push("default", "OtherJob", 60)
	w.Await("the long job's run", func() bool { return begun(long, w) == 1 })
	p.balanced("default", 1)
	var shown []store.Process
	p.await("the process with its job", func() bool {
		all, err := p.client.Store().Processes(t.Context())
		p.must(err)
		shown = all
		return len(all) > 0 && len(all[0].Busy) == 1
	})
	if len(shown) != 1 {
		t.Fatalf("%d processes, want one: %+v", len(shown), shown)
	}
	got := shown[0]
	if got.Lang != "ruby" || got.PID != w.PID || got.Holds != 1 || got.State != "running" || got.Concurrency != 2 || got.RSS < 10<<20 || got.Lapsed ||
		got.Busy[0].JID != long || got.Busy[0].Kind != "OtherJob" || len(got.Groups) != 1 || len(got.Groups[0].Queues) != 2 {
		t.Errorf("shown as %+v", got)
	}

	// Ebb's orders reach it as Ruby's signals do: within a beat of Sidekiq's.
	p.must(p.client.Store().Command(t.Context(), got.ID, store.Command{Verb: store.Quiet}))
	p.await("quiet", func() bool {
		all, err := p.client.Store().Processes(t.Context())
		p.must(err)
		return len(all) == 1 && all[0].State == "quiet"
	})
	waits := push("default", "SleepJob", 0)

	signal(t, w, syscall.SIGTERM)
	<-w.Exited()
	_, job := p.in(store.Ready, long)
	if n := len(p.entries(long)); n != 1 || !job.History.IsZero() {
		t.Errorf("%d copies of what was cut off, with a history of %+v", n, job.History)
	}
	if next := p.server.Do("LINDEX", "queue:default", "-1"); !strings.Contains(next, long) {
		t.Errorf("the next is %s, not what was cut off", next)
	}
	p.in(store.Ready, waits)
	if begun(waits, w)+begun(long, w) != 1 {
		t.Errorf("a quiet process fetched:\n%s", w.Ledger())
	}
	b := p.balanced("default", 0)
	if b.Requeued != 1 || b.Fetched != 2 {
		t.Errorf("fetched %d, requeued %d", b.Fetched, b.Requeued)
	}
	st, err := p.client.Store().Stats(t.Context())
	p.must(err)
	if ruby := rubyInto[int64](t, p.server, `Sidekiq::Stats.new.processed`); st.Processed != ruby {
		t.Errorf("%d processed by ebb's count, %d by Ruby's", st.Processed, ruby)
	}
	if keys := p.server.Do("KEYS", string(got.ID)+"*") + p.server.Do("ZRANGE", "ebb:holders", "0", "-1") + p.server.Do("HKEYS", "ebb:presence"); keys != "" {
		t.Errorf("left behind: %s", keys)
	}
}

// A server whose jobs are kept otherwise is not touched.
func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ field, value, want string }{
		"another layout": {"layout", "cluster", "name another server or database"},
		"a newer ebb":    {"min_reader", "9", "upgrade ebb-sidekiq"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			server.Do("HSET", "ebb:meta", "layout", "sidekiq", "min_reader", "1")
			server.Do("HSET", "ebb:meta", tt.field, tt.value)
			got := rubyOnce(t, server, `
				require "sidekiq/cli"
				$LOAD_PATH.unshift "lib"
				require "ebb/sidekiq"
				begin
					Ebb::Sidekiq::Server.new(Sidekiq).check(Sidekiq.redis_info)
				rescue Ebb::Sidekiq::Refused => e
					print e.message
				end`)
			if !strings.Contains(got, tt.want) {
				t.Errorf("said %q", got)
			}
		})
	}
}
