package interop

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// relay is a class that both languages know and that fails in both. Go runs it from the
// queue "go", Ruby from the queue "ruby", and tries go from one to the other.
type relay struct {
	*pair
	worker *sidekiqtest.Worker
	seen   runs
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	r := &relay{pair: newPair(t)}
	r.worker = sidekiqtest.StartWith(t, r.server, workProgram, "-q", "ruby")
	r.start(ebb.Config{Queues: []string{"go"}}, func(process *ebb.Process) {
		r.seen.handle(process, func(string, int) error { return errors.New("boom in Go") }, "FailJob")
		r.seen.handle(process, func(string, int) error { panic("boom in Go") }, "PanicJob")
	})
	return r
}

// push puts a job into the queue of a language, with more fields of a Ruby hash. Its
// tries go to the other language's queue.
func (r *relay) push(first, class, fields string) string {
	r.Helper()
	other := map[string]string{"go": "ruby", "ruby": "go"}[first]
	return r.word(fmt.Sprintf(`Sidekiq::Client.push({"class" => %q, "queue" => %q, "retry_queue" => %q, "args" => ["boom in Ruby"]}.merge(%s))`,
		class, first, other, fields))
}

// runsOf counts the runs of a job, in both languages.
func (r *relay) runsOf(jid string) int { return len(r.seen.of(jid)) + len(notes(r.worker, jid)) }

// fails waits for the n-th run of a job to have failed, and returns what it left in a
// set.
func (r *relay) fails(jid string, n int) (e store.Entry, job *wire.Job) {
	r.Helper()
	r.await(fmt.Sprintf("run %d of %s", n, jid), func() bool {
		job = nil
		for _, e = range r.entries(jid) {
			job, _ = wire.Parse(e.Payload)
		}
		return job != nil && job.Count == n-1 && e.Place != store.Ready
	})
	return e, job
}

// due makes the next try of a job due now.
func (r *relay) due(e store.Entry) {
	r.Helper()
	r.server.Do("ZADD", "retry", "XX", "1", string(e.Payload))
}

func TestAFailureGoesOnInTheOtherLanguage(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	var gone []string // looked for at the end, when they would have been written
	messages := map[string]string{"go": "boom in Go", "ruby": "boom in Ruby"}
	for _, order := range [][2]string{{"go", "ruby"}, {"ruby", "go"}} {
		first, second := order[0], order[1]
		for name, tt := range map[string]struct {
			fields string
			then   []store.Place // of each run; -1: gone
		}{
			"tries left":      {`{"retry" => 2, "backtrace" => true}`, []store.Place{store.Retrying, store.Retrying}},
			"no number":       {`{"retry" => true}`, []store.Place{store.Retrying, store.Retrying}},
			"out of tries":    {`{"retry" => 1, "cattr" => {"z" => 1.0}}`, []store.Place{store.Retrying, store.Dead}},
			"not to the dead": {`{"retry" => 1, "dead" => false}`, []store.Place{store.Retrying, -1}},
			"no tries":        {`{"retry" => 0}`, []store.Place{store.Dead}},
			"no retry":        {`{"retry" => false}`, []store.Place{-1}},
			"nothing said":    {`{"retry" => nil}`, []store.Place{store.Retrying, store.Retrying}},
		} {
			t.Run(first+" first/"+name, func(t *testing.T) {
				jid := r.push(first, "FailJob", tt.fields)
				var failedAt time.Time
				for i, place := range tt.then {
					if place < 0 {
						r.await("the last run", func() bool { return r.runsOf(jid) == i+1 })
						gone = append(gone, jid)
						return
					}
					e, job := r.fails(jid, i+1)
					if e.Place != place {
						t.Fatalf("after run %d it is in %v, want %v", i+1, e.Place, place)
					}
					if i == 0 {
						failedAt = job.FailedAt
					}
					if job.ErrorMessage != messages[order[i]] || !job.FailedAt.Equal(failedAt) || failedAt.IsZero() || job.RetriedAt.IsZero() != (i == 0) {
						t.Errorf("after run %d: %s", i+1, e.Payload)
					}
					if place != store.Retrying {
						return
					}
					if job.Queue != second {
						t.Errorf("its tries go to %s, want %s", job.Queue, second)
					}
					at := job.RetriedAt
					if i == 0 {
						at = job.FailedAt
					}
					base := time.Duration(i*i*i*i+15) * time.Second
					if wait := e.At.Sub(at); wait < base-time.Second || wait > base+time.Duration(10*(i+1))*time.Second {
						t.Errorf("it waits for %v after run %d", wait, i+1)
					}
					if i+1 < len(tt.then) {
						r.due(e)
					}
				}
			})
		}
	}
	for _, jid := range gone {
		if left := r.entries(jid); len(left) > 0 {
			t.Errorf("there is something left: %v %s", left[0].Place, left[0].Payload)
		}
	}
}

// A time to retry for ends where the failure is seen: 6 does not know it.
func TestGoEndsTheTimeToRetryThatBeganInRuby(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	jid := r.push("ruby", "FailJob", `{"retry" => 1, "retry_for" => 3600}`)
	e, _ := r.fails(jid, 1)
	r.due(e)
	if e, _ := r.fails(jid, 2); e.Place != store.Retrying {
		t.Errorf("with time left it is in %v", e.Place)
	}
	for form, failedAt := range map[string]string{"seconds": "1795289592.5", "milliseconds": "1795289592500"} {
		jid := fmt.Sprintf("%024d", len(form))
		e := store.Entry{Payload: fmt.Appendf(nil, `{"class":"FailJob","args":[],"queue":"go","jid":%q,"retry":25,"retry_for":60,"failed_at":%s,"retry_count":0}`, jid, failedAt)}
		r.server.Do("ZADD", "retry", "1", string(e.Payload))
		if e, _ := r.fails(jid, 2); e.Place != store.Dead {
			t.Errorf("%s: with no time left it is in %v", form, e.Place)
		}
	}
}

func TestBacktracesAreReadableInTheOtherLanguage(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	jid := r.push("ruby", "FailJob", `{"backtrace" => true}`)
	_, job := r.fails(jid, 1)
	if lines, err := job.ErrorBacktrace(); err != nil || len(lines) < 5 || !strings.Contains(lines[0], "app.rb:") {
		t.Errorf("Go reads %v, %v", lines, err)
	}
	jid = r.push("go", "PanicJob", `{"backtrace" => 3}`)
	r.fails(jid, 1)
	lines := rubyInto[[]string](t, r.server, fmt.Sprintf(`Sidekiq::RetrySet.new.find_job(%q).error_backtrace`, jid))
	if len(lines) != 3 || !strings.Contains(lines[0], "failure_test.go:") {
		t.Errorf("Ruby reads %q", lines)
	}
}

// A person's retry gives the try back. What fails then has failed before, in either
// language.
func TestRetriedByHandItHasFailedBefore(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	for _, first := range []string{"ruby", "go"} {
		jid := r.push(first, "FailJob", `{"retry" => 1}`)
		_, before := r.fails(jid, 1)
		r.ruby(fmt.Sprintf(`Sidekiq::RetrySet.new.find_job(%q).retry`, jid))
		r.await("a second run", func() bool { return r.runsOf(jid) == 2 })
		e, after := r.fails(jid, 1)
		if !after.FailedAt.Equal(before.FailedAt) || after.Count != 0 || !after.RetriedAt.After(after.FailedAt) {
			t.Errorf("%s first: it was\n%s\nand is\n%s", first, before.Payload(), e.Payload)
		}
	}
}

// A queue that both take jobs from is no way to share Redis: Ruby bills jobs that it
// does not know. What ebb does not know it bills nothing, it neither keeps Ruby from
// it nor spins.
func TestJobsThatOnlyRubyKnows(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	const jobs = 200
	p.ruby(`class RubyJob; include Sidekiq::Worker; end; class NapJob; include Sidekiq::Worker; end`)
	end := p.start(ebb.Config{}, func(process *ebb.Process) { (&runs{}).handle(process, nil, "GoJob") })
	fetched := func() (n int64) {
		stats, err := p.client.Store().Stats(t.Context())
		p.must(err)
		for _, b := range stats.Books {
			n += b.Fetched
		}
		return n
	}

	// Without Ruby they go round, at their leisure.
	p.ruby(`Sidekiq::Client.push_bulk("class" => NapJob, "args" => [[0.02]] * ` + strconv.Itoa(jobs-2) + `)
		Sidekiq::Client.push("class" => RubyJob, "args" => [1], "bid" => "77ttk4VvK6xDUg")
		Sidekiq.redis { |c| c.lpush("queue:default", '{"class":"RubyJob","args":[2]}') }`)
	began := time.Now()
	p.await("each job fetched twice", func() bool { return fetched() > 2*jobs })
	took := time.Since(began)
	measured(t, "%d jobs of nobody here are fetched %.0f times a second", jobs, float64(fetched())/took.Seconds())
	if took < 900*time.Millisecond { // two hundred of them come back within a second, at most
		t.Errorf("each was fetched twice within %v", took)
	}

	// With Ruby each runs there.
	began = time.Now()
	w := sidekiqtest.StartWith(t, p.server, workProgram+`
class NapJob < RubyJob
  def perform(*args) = (sleep args[0]; super)
end`)
	booted := time.Since(began)
	p.await("all jobs run by Ruby", func() bool { return len(notes(w, "")) == jobs })
	measured(t, "Ruby, which needs %v for them, has run them all %v after its start, of which it took %v to start",
		(jobs-2)*20*time.Millisecond/2, time.Since(began).Round(time.Millisecond), booted.Round(time.Millisecond))
	end()
	for _, n := range notes(w, "") {
		if n.Job["retry_count"] != nil || n.Queue != "default" {
			t.Errorf("Ruby was given %s from %s", n.Job, n.Queue)
		}
	}
	if n := p.log.count("given back for others"); n != 2 {
		t.Errorf("%d warnings, want one for each kind\n%s", n, p.log)
	}
	if got := p.word(`s = Sidekiq::Stats.new; "#{s.failed} failed, #{s.retry_size + s.dead_size + s.scheduled_size + s.enqueued} left"`); got != "0 failed, 0 left" {
		t.Error(got)
	}
}
