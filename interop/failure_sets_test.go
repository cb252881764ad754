package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// zset is a sorted set, a member and its score a line, as Redis gives them.
func (p *pair) zset(key string) string {
	p.Helper()
	return p.server.Do("ZRANGE", key, "0", "-1", "WITHSCORES")
}

// kept makes a process of Go's keep a job in a set, and ends it.
func (p *pair) kept(place store.Place) (jid string, e store.Entry) {
	p.Helper()
	envelope := ebb.Envelope{Kind: "KeptJob", Args: []byte(`["ü",9007199254740993]`)}
	opts := map[store.Place][]ebb.Option{
		store.Ready:     nil,
		store.Scheduled: {ebb.In(time.Hour)},
		store.Retrying:  {ebb.Backtrace(2)},
		store.Dead:      {ebb.Retry(0)},
	}[place]
	ref, err := p.client.Push(p.Context(), envelope, opts...)
	p.must(err)
	if place == store.Retrying || place == store.Dead {
		defer p.start(ebb.Config{}, func(process *ebb.Process) {
			(&runs{}).handle(process, func(string, int) error { panic("ouch") }, "KeptJob")
		})()
	}
	e, _ = p.in(place, ref.JID)
	return ref.JID, e
}

func TestRubyMovesWhatGoKept(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from   store.Place
		action string // on e
		to     store.Place
		check  func(t *testing.T, e store.Entry, was, is *wire.Job)
	}{
		"reschedules": {store.Scheduled, `e.reschedule(Time.at(4000000000))`, store.Scheduled, func(t *testing.T, e store.Entry, was, is *wire.Job) {
			if e.At.Unix() != 4000000000 || string(was.Payload()) != string(is.Payload()) {
				t.Errorf("it is due at %v, as %s", e.At, is.Payload())
			}
		}},
		"reschedules a retry": {store.Retrying, `e.reschedule(Time.at(4000000000))`, store.Retrying, func(t *testing.T, e store.Entry, was, is *wire.Job) {
			if e.At.Unix() != 4000000000 || string(was.Payload()) != string(is.Payload()) {
				t.Errorf("it is due at %v, as %s", e.At, is.Payload())
			}
		}},
		"enqueues":               {store.Scheduled, `e.add_to_queue`, store.Ready, nil},
		"kills":                  {store.Scheduled, `e.kill`, store.Dead, unchanged},
		"deletes":                {store.Scheduled, `e.delete`, -1, nil},
		"retries":                {store.Retrying, `e.retry`, store.Ready, givenBack},
		"retries all":            {store.Retrying, `Sidekiq::RetrySet.new.retry_all`, store.Ready, givenBack},
		"kills a retry":          {store.Retrying, `e.kill`, store.Dead, unchanged},
		"kills all retries":      {store.Retrying, `Sidekiq::RetrySet.new.kill_all`, store.Dead, unchanged},
		"deletes a retry":        {store.Retrying, `e.delete`, -1, nil},
		"revives":                {store.Dead, `e.retry`, store.Ready, givenBack},
		"revives all":            {store.Dead, `Sidekiq::DeadSet.new.retry_all`, store.Ready, givenBack},
		"deletes a corpse":       {store.Dead, `e.delete`, -1, nil},
		"clears the dead":        {store.Dead, `Sidekiq::DeadSet.new.clear`, -1, nil},
		"deletes one of a queue": {store.Ready, `e.delete`, -1, nil},
		"clears a queue":         {store.Ready, `Sidekiq::Queue.new("default").clear`, -1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			jid, before := p.kept(tt.from)
			set := []string{`Sidekiq::Queue.new("default")`, `Sidekiq::ScheduledSet.new`, `Sidekiq::RetrySet.new`, `Sidekiq::DeadSet.new`}[map[store.Place]int{store.Scheduled: 1, store.Retrying: 2, store.Dead: 3}[tt.from]]
			p.ruby(fmt.Sprintf(`e = %s.find_job(%q); raise "not the bytes" unless e.value == %q; %s`, set, jid, before.Payload, tt.action))
			after := p.entries(jid)
			if tt.to < 0 {
				if len(after) > 0 {
					t.Errorf("it is in %v", after)
				}
				p.pushesAndRuns()
				return
			}
			if len(after) != 1 || after[0].Place != tt.to {
				t.Fatalf("it is in %v, want it once, in %v", after, tt.to)
			}
			was, err := wire.Parse(before.Payload)
			p.must(err)
			is, err := wire.Parse(after[0].Payload)
			p.must(err)
			if tt.check != nil {
				tt.check(t, after[0], was, is)
			}
			p.pushesAndRuns()
		})
	}
}

func unchanged(t *testing.T, _ store.Entry, was, is *wire.Job) {
	if string(was.Payload()) != string(is.Payload()) {
		t.Errorf("it was %s\nand is  %s", was.Payload(), is.Payload())
	}
}

func givenBack(t *testing.T, _ store.Entry, was, is *wire.Job) {
	if is.ErrorMessage != was.ErrorMessage || !is.FailedAt.Equal(was.FailedAt) || is.Queue != "default" {
		t.Errorf("it was %s\nand is  %s", was.Payload(), is.Payload())
	}
}

// pushesAndRuns looks whether the queue "default" goes on as ever, by the jobs in it.
func (p *pair) pushesAndRuns() {
	p.Helper()
	ref, err := p.client.Push(p.Context(), ebb.Envelope{Kind: "KeptJob"})
	p.must(err)
	if names := p.word(`Sidekiq::Queue.all.map(&:name).join(" ")`); names != "default" {
		p.Errorf("Ruby sees the queues %q", names)
	}
	seen := &runs{}
	end := p.start(ebb.Config{}, func(process *ebb.Process) { seen.handle(process, nil, "KeptJob") })
	defer end()
	p.await("a new job", func() bool { return len(seen.of(ref.JID)) == 1 })
	p.await("an empty queue", func() bool { return p.server.Do("LLEN", "queue:default") == "0" })
}

// keptByRuby are jobs in each place, as Ruby itself would have left them: two have the
// same score, which has more digits than a microsecond.
const keptByRuby = `
Sidekiq.redis do |c|
  c.sadd("queues", "default")
  [1795289592.3524945, 1795289592.3524945, 1795289599.0].each_with_index do |score, i|
    job = {"retry" => 3, "queue" => "default", "args" => [2**53 + 1, 1e300, "ü"], "class" => "KeptJob", "cattr" => {"z" => 1.0},
      "created_at" => 1795289590.1234567, "jid" => "%024x" % i}
    failed = job.merge("enqueued_at" => 1795289591.0, "error_message" => "boom", "error_class" => "ArgumentError", "failed_at" => score, "retry_count" => 0)
    c.zadd("schedule", (score + 1e9).to_s, Sidekiq.dump_json(job.merge("jid" => "a" + job["jid"])))
    c.zadd("retry", (score + 1e9).to_s, Sidekiq.dump_json(failed.merge("jid" => "b" + job["jid"])))
    c.zadd("dead", score.to_s, Sidekiq.dump_json(failed.merge("jid" => "c" + job["jid"])))
    c.lpush("queue:default", Sidekiq.dump_json(job.merge("jid" => "d" + job["jid"], "enqueued_at" => score)))
  end
end
`

func TestGoMovesWhatRubyKept(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.ruby(keptByRuby)
	everything := func() []string { // a job comes back to the front of its queue
		queue := strings.Split(p.server.Do("LRANGE", "queue:default", "0", "-1"), "\n")
		slices.Sort(queue)
		return append([]string{p.zset("schedule"), p.zset("retry"), p.zset("dead")}, queue...)
	}
	before := everything()
	s := p.client.Store()
	for from, jid := range map[store.Place]string{store.Scheduled: "a", store.Retrying: "b", store.Dead: "c", store.Ready: "d"} {
		jid := jid + strings.Repeat("0", 23) + "1"
		for _, to := range []store.Place{store.Ready, store.Scheduled, store.Retrying, store.Dead, -1} {
			if to == from {
				continue
			}
			found := p.entries(jid)
			if len(found) != 1 || found[0].Place != from {
				t.Fatalf("%s is in %v, want %v", jid, found, from)
			}
			u := store.Undoable{Change: fmt.Sprintf("%v-%v", from, to), For: time.Minute}
			pick := store.Pick{Key: found[0].Key}
			var err error
			if to < 0 {
				_, err = s.Delete(t.Context(), u, pick)
			} else {
				_, err = s.Move(t.Context(), u, to, pick)
			}
			p.must(err)
			if after := p.entries(jid); to < 0 && len(after) > 0 || to >= 0 && (len(after) != 1 || after[0].Place != to) {
				t.Fatalf("%s went from %v to %v, and is in %v", jid, from, to, after)
			}
			if to > store.Ready {
				set := map[store.Place]string{store.Scheduled: "ScheduledSet", store.Retrying: "RetrySet", store.Dead: "DeadSet"}[to]
				if got := p.word(fmt.Sprintf(`e = Sidekiq::%s.new.find_job(%q); [e.klass, e.args, e["cattr"]].inspect`, set, jid)); got != `["KeptJob", [9007199254740993, 1.0e+300, "ü"], {"z"=>1.0}]` {
					t.Errorf("Ruby reads %s", got)
				}
			}
			_, err = s.Undo(t.Context(), u.Change, 0)
			p.must(err)
		}
	}
	if diff := cmp.Diff(before, everything()); diff != "" {
		t.Errorf("after it was all taken back (-want +got):\n%s", diff)
	}
}
