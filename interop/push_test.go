package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

// pushProgram are the classes that Ruby pushes here, in one of which a job of Active
// Job is put as its adapter does it.
const pushProgram = `
class PushJob
  include Sidekiq::Worker
end
module Billing
  class Charge
    include Sidekiq::Worker
    sidekiq_options queue: "billing", retry: 7, backtrace: 4
  end
end
def push_active_job(wrapper, retries = true)
  Sidekiq::Client.push("class" => wrapper, "wrapped" => "ReportJob", "queue" => "default", "retry" => retries, "args" => [{
    "job_class" => "ReportJob", "job_id" => "2a3c1f0e-5d0b-4d77-9c1e-7c3b6a1d9e55", "provider_job_id" => nil,
    "queue_name" => "default", "priority" => nil, "arguments" => [9007199254740993, {"since" => "2026", "_aj_symbol_keys" => ["since"]}],
    "executions" => 0, "exception_executions" => {}, "locale" => "en", "timezone" => "UTC",
    "enqueued_at" => "2026-11-21T19:35:00.123456789Z", "scheduled_at" => nil }])
end
`

func TestRubyEnqueuesAndGoRuns(t *testing.T) {
	t.Parallel()
	p, seen := newPair(t), &runs{}
	p.ruby(pushProgram)
	p.start(ebb.Config{Queues: []string{"default", "billing", "other"}}, func(process *ebb.Process) {
		seen.handle(process, nil, "PushJob", "Billing::Charge", "ReportJob")
	})
	const wrapped = `[9007199254740993,{"since":"2026","_aj_symbol_keys":["since"]}]`
	for name, tt := range map[string]struct {
		program                  string // its value is a jid
		kind, queue, args, retry string
		tags                     []string
		extra                    string
	}{
		"perform_async": {program: `PushJob.perform_async(1, "two")`, args: `[1,"two"]`},
		"no arguments":  {program: `PushJob.perform_async`, args: `[]`},
		"perform_in":    {program: `PushJob.perform_in(0.3, "later")`, args: `["later"]`},
		"perform_at":    {program: `PushJob.perform_at(Time.now + 0.3, "then")`, args: `["then"]`},
		"perform_at, in the past": {
			program: `PushJob.perform_at(Time.now - 3600, "then")`, args: `["then"]`},
		"perform_bulk":           {program: `PushJob.perform_bulk([[1], ["two"], [nil]])[1]`, args: `["two"]`},
		"perform_bulk, of later": {program: `Sidekiq::Client.push_bulk("class" => PushJob, "args" => [[1], [2]], "at" => Time.now.to_f + 0.3)[1]`, args: `[2]`},
		"set": {
			program: `PushJob.set(queue: :other, retry: 3, tags: ["a", "ü"]).perform_async(1)`,
			args:    `[1]`, queue: "other", retry: "3", tags: []string{"a", "ü"}},
		"set, no retry": {program: `PushJob.set(retry: false).perform_async(1)`, args: `[1]`, retry: "false"},
		"set and perform_in": {
			program: `PushJob.set(queue: "other").perform_in(0.3, 1)`, args: `[1]`, queue: "other"},
		"nested modules": {
			program: `Billing::Charge.perform_async({"cents" => 1250})`,
			kind:    "Billing::Charge", queue: "billing", args: `[{"cents":1250}]`, retry: "7"},
		"a string for a class": {program: `Sidekiq::Client.push("class" => "PushJob", "args" => [])`, args: `[]`},
		"Active Job":           {program: `push_active_job("ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper")`, kind: "ReportJob", args: wrapped},
		"Active Job since 8":   {program: `push_active_job("Sidekiq::ActiveJob::Wrapper")`, kind: "ReportJob", args: wrapped},
		"cattr and locale": {
			program: `PushJob.set("cattr" => {"user_id" => 7, "_aj_symbol_keys" => ["user_id"]}, "locale" => "nl").perform_async`,
			args:    `[]`, extra: `cattr={"user_id":7,"_aj_symbol_keys":["user_id"]} locale="nl"`},
		"every type": {
			program: `PushJob.perform_async(nil, true, false, 0, -1, 1.5, "", [], {}, [[nil]], {"a" => {"b" => [1]}})`,
			args:    `[null,true,false,0,-1,1.5,"",[],{},[[null]],{"a":{"b":[1]}}]`},
		"integers above 2^53": {
			program: `PushJob.perform_async(2**53 + 1, -2**63, 2**64 - 1, 2**100)`,
			args:    `[9007199254740993,-9223372036854775808,18446744073709551615,1267650600228229401496703205376]`},
		"floats": {
			program: `PushJob.perform_async(1.0, 1e300, 5e-324, -0.0, 0.1 + 0.2)`,
			args:    `[1.0,1.0e+300,5.0e-324,-0.0,0.30000000000000004]`},
		"unicode": {
			program: `PushJob.perform_async("\u{1f600} e\u0301 \u2028 \u0000 \u007f </script> \\ \"")`,
			args:    "[\"\U0001F600 e\u0301 \u2028 \\u0000 \u007f </script> \\\\ \\\"\"]"},
		"ninety levels": {
			program: `PushJob.perform_async(90.times.inject(1) { |inner, _| [inner] })`,
			args:    `[` + strings.Repeat("[", 90) + `1` + strings.Repeat("]", 90) + `]`},
		"four megabytes": {program: `PushJob.perform_async("x" * (4 << 20))`, args: `["` + strings.Repeat("x", 4<<20) + `"]`},
	} {
		jid := p.word(tt.program)
		p.await(name, func() bool { return len(seen.of(jid)) > 0 })
		got := seen.of(jid)[0]
		want := run{kind: or(tt.kind, "PushJob"), queue: or(tt.queue, "default"), args: tt.args}
		if got.kind != want.kind || got.queue != want.queue || got.args != want.args {
			t.Errorf("%s: ran %s from %s with %.300s, want %s, %s, %.300s", name, got.kind, got.queue, got.args, want.kind, want.queue, want.args)
		}
		if retry := got.job.Retry.String(); retry != or(tt.retry, "true") {
			t.Errorf("%s: retry %s", name, retry)
		}
		if diff := cmp.Diff(tt.tags, got.job.Tags); diff != "" {
			t.Errorf("%s: tags %s", name, diff)
		}
		var extra []string
		for _, f := range got.job.Extra() {
			extra = append(extra, f.Key+"="+string(f.Value))
		}
		if text := strings.Join(extra, " "); text != tt.extra {
			t.Errorf("%s: also %s, want %s", name, text, tt.extra)
		}
		if len(seen.of(jid)) > 1 || len(p.entries(jid)) > 0 {
			t.Errorf("%s: ran %d times, and is in %v", name, len(seen.of(jid)), p.entries(jid))
		}
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// charge is what Ruby's Billing::Charge is given, by position.
type charge struct {
	Account  uint64
	Amount   float64
	Huge     float64
	Currency string
	Lines    []json.Number
	Options  map[string]any
	Note     *string
}

func TestRubysArgumentsAreExactInGo(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.ruby(pushProgram)
	got := make(chan charge, 1)
	p.start(ebb.Config{Queues: []string{"billing"}}, func(process *ebb.Process) {
		ebb.Define[charge]("Billing::Charge").Handle(process, func(_ context.Context, c charge) error {
			got <- c
			return nil
		})
	})
	p.ruby(`Billing::Charge.perform_async(2**64 - 1, 1.0, 1e300, "€", [2**53 + 1, 0.1, 1e300], {"deep" => {"er" => [nil, true]}}, nil)`)
	want := charge{
		Account: math.MaxUint64, Amount: 1, Huge: 1e300, Currency: "€", Lines: []json.Number{"9007199254740993", "0.1", "1.0e+300"},
		Options: map[string]any{"deep": map[string]any{"er": []any{nil, true}}},
	}
	select {
	case c := <-got:
		if diff := cmp.Diff(want, c); diff != "" {
			t.Errorf("Go was given (-want +got):\n%s", diff)
		}
	case <-time.After(time.Minute):
		t.Fatalf("it never ran\n%s", p.log)
	}
}

// What goes on with a job adds to it. Nothing that is there changes by a byte.
func TestGoWritesBackWhatRubyWrote(t *testing.T) {
	t.Parallel()
	p, seen := newPair(t), &runs{}
	p.ruby(pushProgram)
	end := p.start(ebb.Config{Queues: []string{"default", "billing"}}, func(process *ebb.Process) {
		verdict := func(string, int) error { return errors.New("no luck") }
		seen.handle(process, verdict, "PushJob", "Billing::Charge", "ReportJob")
	})
	const args = `1.0, 1e300, 2**100, "\u2028\u{1f600}", {"b" => 1, "a" => [nil]}`
	for name, tt := range map[string]struct {
		program string
		place   store.Place
	}{
		"retry":             {`Billing::Charge.set("cattr" => {"z" => 1.0}, "locale" => "nl").perform_async(` + args + `)`, store.Retrying},
		"dead":              {`PushJob.set(retry: 0, "profile" => "mike").perform_async(` + args + `)`, store.Dead},
		"Active Job, retry": {`push_active_job("ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper")`, store.Retrying},
		"Active Job, dead":  {`push_active_job("Sidekiq::ActiveJob::Wrapper", 0)`, store.Dead},
		"without queue or id": {`j = PushJob.perform_in(3600); e = Sidekiq::ScheduledSet.new.find_job(j); e.delete
			Sidekiq.redis { |c| c.sadd("queues", "billing"); c.lpush("queue:billing", '{"class":"PushJob","args":[1.50],"jid":"aaaa","x": 1}') }; "aaaa"`, store.Retrying},
	} {
		jid := p.word(tt.program)
		e, job := p.in(tt.place, jid)
		before := string(seen.of(jid)[0].job.Payload())
		if after := string(e.Payload); !strings.HasPrefix(after, strings.TrimSuffix(before, "}")) {
			t.Errorf("%s: Ruby wrote\n%s\nand Go made\n%s", name, before, after)
		}
		if job.ErrorMessage != "no luck" || job.Count != 0 || job.Queue != seen.of(jid)[0].queue {
			t.Errorf("%s: %q, retry_count %d, queue %q", name, job.ErrorMessage, job.Count, job.Queue)
		}
		set := map[store.Place]string{store.Retrying: "RetrySet", store.Dead: "DeadSet"}[tt.place]
		read := p.word(fmt.Sprintf(`e = Sidekiq::%s.new.find_job(%q); [e.klass, e.queue, e["error_message"], e.score].join(" ")`, set, jid))
		if want := fmt.Sprintf("%s %s no luck %s", job.Kind, job.Queue, score(p, e, jid)); read != want {
			t.Errorf("%s: Ruby reads %s, want %s", name, read, want)
		}
	}
	end()
}

// score is the text of a member's score, as Ruby prints the number.
func score(p *pair, e store.Entry, jid string) string {
	p.Helper()
	set := map[store.Place]string{store.Scheduled: "schedule", store.Retrying: "retry", store.Dead: "dead"}[e.Place]
	return p.word(fmt.Sprintf(`Sidekiq.redis { |c| c.zrange(%q, 0, -1, with_scores: true) }.find { |m, _| m.include?(%q) }[1].to_s`, set, jid))
}
