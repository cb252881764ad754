package interop

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	"github.com/ebbjobs/ebb/wire"
)

// workProgram makes a Ruby worker that notes each job it is given, whole, and what of
// it reached perform. FailJob does as its first argument says. Its scheduler looks
// often, from the start on.
const workProgram = `
require "json"
Sidekiq.options[:poll_interval_average] = 0.2
Sidekiq::Scheduled::Poller.prepend(Module.new { def initial_wait; end })
class NoteJob
  def call(worker, job, queue)
    worker.instance_variable_set(:@noted, [queue, job])
    yield
  end
end
Sidekiq.configure_server { |c| c.server_middleware { |chain| chain.add NoteJob } }
module Noting
  def note(args)
    queue, job = @noted
    File.open(ENV["LEDGER"], "a") { |f| f.syswrite(JSON.generate(jid: jid, class: self.class.name, queue: queue, args: args, job: job) + "\n") }
  end
end
class RubyJob
  include Sidekiq::Worker, Noting
  def perform(*args) = note(args)
end
module Billing
  class Refund < RubyJob
  end
end
class FailJob
  include Sidekiq::Worker, Noting
  def perform(*args)
    note(args)
    raise ArgumentError, args[0].to_s
  end
end
`

// note is a line that such a worker wrote.
type note struct {
	JID, Class, Queue string
	Args              json.RawMessage
	Job               map[string]json.RawMessage
}

// notes are the lines about jobs of that jid, of any if it is empty.
func notes(w *sidekiqtest.Worker, jid string) (found []note) {
	for line := range strings.Lines(w.Ledger()) {
		var n note
		if json.Unmarshal([]byte(line), &n) == nil && (n.JID == jid || jid == "") {
			found = append(found, n)
		}
	}
	return found
}

// refund is what Go sends to Ruby's Billing::Refund, by position.
type refund struct {
	ID      int64
	Serial  uint64
	Amount  float64
	Reason  string
	Partial bool
	Details map[string]any
	Lines   []int
	Note    *string
}

func TestGoEnqueuesAndRubyRuns(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := sidekiqtest.StartWith(t, p.server, workProgram, "-q", "default", "-q", "other")
	job := ebb.Define[refund]("Billing::Refund", ebb.Queue("other"), ebb.Retry(4), ebb.Tags("money"))
	full := refund{
		ID: -1 << 63, Serial: math.MaxUint64, Amount: 0.1, Reason: "\u2028 <b> \U0001F600 \x00 \x7f \"\\", Partial: true,
		Details: map[string]any{"a": []any{nil, 1.5}, "b": map[string]any{}}, Lines: []int{1, 2},
	}
	const fullArgs = "[-9223372036854775808,18446744073709551615,0.1,\"\u2028 <b> \U0001F600 \\u0000 \x7f \\\"\\\\\",true,{\"a\":[null,1.5],\"b\":{}},[1,2],null]"
	plain := ebb.Envelope{Kind: "RubyJob", Args: json.RawMessage(`[9007199254740993, 1.0, 1e300, {"k":null}]`)}
	const plainArgs = `[9007199254740993,1.0,1.0e+300,{"k":null}]`

	for name, tt := range map[string]struct {
		typed bool
		opts  []ebb.Option
		queue string
		args  string
		want  string // fields of the job as Ruby has it, beside class, args, jid and times
	}{
		"a kind's own options": {typed: true, queue: "other", args: fullArgs, want: `{"retry":4,"queue":"other","tags":["money"]}`},
		"a call's options": {
			typed: true, opts: []ebb.Option{ebb.Queue("default"), ebb.NoRetry(), ebb.Tags("a", "ü")}, args: fullArgs,
			want: `{"retry":false,"queue":"default","tags":["a","ü"]}`},
		"no options":    {want: `{"retry":true,"queue":"default"}`},
		"another queue": {opts: []ebb.Option{ebb.Queue("other")}, queue: "other", want: `{"retry":true,"queue":"other"}`},
		"retries":       {opts: []ebb.Option{ebb.Retry(0)}, want: `{"retry":0,"queue":"default"}`},
		"time to retry": {opts: []ebb.Option{ebb.RetryFor(time.Hour)}, want: `{"retry":true,"retry_for":3600,"queue":"default"}`},
		"retry queue":   {opts: []ebb.Option{ebb.RetryQueue("low")}, want: `{"retry":true,"retry_queue":"low","queue":"default"}`},
		"no dead":       {opts: []ebb.Option{ebb.NoDead()}, want: `{"retry":true,"dead":false,"queue":"default"}`},
		"backtrace":     {opts: []ebb.Option{ebb.Backtrace(3)}, want: `{"retry":true,"backtrace":3,"queue":"default"}`},
		"all lines":     {opts: []ebb.Option{ebb.Backtrace(ebb.AllLines)}, want: `{"retry":true,"backtrace":true,"queue":"default"}`},
		"fields": {
			opts: []ebb.Option{ebb.Field("locale", "nl"), ebb.Field("cattr", map[string]any{"user": 7})},
			want: `{"retry":true,"locale":"nl","cattr":{"user":7},"queue":"default"}`},
		"later":    {opts: []ebb.Option{ebb.In(300 * time.Millisecond)}, want: `{"retry":true,"queue":"default"}`},
		"at":       {opts: []ebb.Option{ebb.At(time.Now().Add(300 * time.Millisecond))}, want: `{"retry":true,"queue":"default"}`},
		"of ebb's": {opts: []ebb.Option{ebb.HideArgs()}, want: `{"retry":true,"queue":"default","ebb":{"hide":true}}`},
	} {
		var ref ebb.Ref
		var err error
		class, args, queue := "RubyJob", plainArgs, or(tt.queue, "default")
		if tt.typed {
			class, args = "Billing::Refund", tt.args
			ref, err = job.Enqueue(t.Context(), p.client, full, tt.opts...)
		} else {
			ref, err = p.client.Push(t.Context(), plain, tt.opts...)
		}
		p.must(err)
		p.await(name, func() bool { return len(notes(w, ref.JID)) > 0 })
		got := notes(w, ref.JID)[0]
		if got.Class != class || got.Queue != queue || string(got.Args) != args {
			t.Errorf("%s: Ruby ran %s from %s with\n%s\nwant %s, %s,\n%s", name, got.Class, got.Queue, got.Args, class, queue, args)
		}
		for _, known := range []string{"class", "args", "jid", "created_at", "enqueued_at"} {
			if got.Job[known] == nil {
				t.Errorf("%s: there is no %s", name, known)
			}
			delete(got.Job, known)
		}
		var fields map[string]json.RawMessage
		p.must(json.Unmarshal([]byte(tt.want), &fields))
		if diff := cmp.Diff(fields, got.Job); diff != "" {
			t.Errorf("%s: fields (-want +got):\n%s", name, diff)
		}
	}
	if n := p.word(`Sidekiq::Stats.new.failed.to_s`); n != "0" {
		t.Errorf("%s jobs failed", n)
	}
}

// Ruby's API moves a scheduled job by the bytes that it would write itself: where Go
// wrote others there would be a second job, due since 1970.
func TestRubyWritesWhatGoWrote(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for i := range 200 { // one time in ten ends with a zero
		created := time.Unix(1795289592, int64(i)*1e6).UTC()
		payload := (&wire.New{
			Kind: "RubyJob", JID: "j", Queue: "default", Retry: wire.RetryTrue, RetryFor: time.Hour, Backtrace: -1, Tags: []string{"ü\x7f"},
			Args:      json.RawMessage(`[ 1, 0.1, 1e300, 1e-7, "\u2028</\u0001\b\ud83d\ude00" ]`),
			CreatedAt: created, EnqueuedAt: created.Add(time.Microsecond),
			History: wire.History{Timeout: time.Second, Expires: created.Add(time.Hour)},
		}).Append(nil)
		p.server.Do("RPUSH", "payloads", string(payload))
	}
	wrong := rubyInto[[]string](t, p.server, `Sidekiq.redis { |c| c.lrange("payloads", 0, -1) }.filter_map do |was|
		again = Sidekiq.dump_json(Sidekiq.load_json(was))
		"#{was}\n#{again}" unless was == again
	end`)
	for _, pair := range wrong {
		t.Errorf("Go wrote, and Ruby would write\n%s", pair)
	}
}
