package ebb

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/wire"
)

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		opt  Option
		want string // empty: fine
	}{
		{"queue", Queue("low:a_b.c-1"), ""},
		{"queue with a slash", Queue("mail/eu"), ""},
		{"queue empty", Queue(""), "option Queue: the queue is empty"},
		{"queue with a space", Queue("a b"), "white space"},
		{"queue with a newline", Queue("a\nb"), "white space or a control character"},
		{"queue with a zero byte", Queue("a\x00b"), "control character"},
		{"queue with a brace", Queue("{a}"), "has a brace"},
		{"queue not UTF-8", Queue("\xff"), "not valid UTF-8"},
		{"queue too long", Queue(strings.Repeat("q", 256)), "256 bytes long"},
		{"retry", Retry(0), ""},
		{"retry negative", Retry(-1), "NoRetry turns retries off"},
		{"retry queue empty", RetryQueue(""), "option RetryQueue: the queue is empty"},
		{"retry for", RetryFor(time.Hour), ""},
		{"retry for nothing", RetryFor(0), "not between"},
		{"retry for ever", RetryFor(math.MaxInt64), "not between a second and 31 years"},
		{"backtrace", Backtrace(AllLines), ""},
		{"backtrace negative", Backtrace(-2), "AllLines keeps all"},
		{"tags", Tags("a", "b c"), ""},
		{"tag empty", Tags("a", ""), "not a tag"},
		{"in", In(-time.Hour), ""},
		{"at zero", At(time.Time{}), "option At: the time is zero"},
		{"timeout", Timeout(0), "not positive"},
		{"expires", Expires(-time.Second), "not positive"},
		{"jid", JID(""), "the jid is empty"},
		{"field", Field("tenant", 7), ""},
		{"field taken", Field("args", 7), `the field "args" is set by the arguments`},
		{"field kept", Field("enqueued_at", 7), `the field "enqueued_at" is kept by ebb`},
		{"field unnamed", Field("", 7), "not a field's name"},
		{"field no JSON", Field("x", math.NaN()), "option Field: x: json: unsupported value: NaN"},
		{"zero", Option{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := options{}.with(atEnqueue, []Option{test.opt})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got error %v, want one about %q", err, test.want)
			}
		})
	}
}

func TestOptionsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	wait := func(int, error) time.Duration { return time.Second }
	for _, test := range []struct {
		opt Option
		at  place
	}{
		{Queue("q"), atDefine | atEnqueue}, {Retry(1), anywhere}, {NoRetry(), anywhere}, {RetryFor(time.Hour), anywhere},
		{RetryQueue("q"), anywhere}, {NoDead(), anywhere}, {Backtrace(1), anywhere}, {Tags("a"), atDefine | atEnqueue},
		{In(1), atDefine | atEnqueue}, {At(time.Now()), atEnqueue}, {Timeout(1), anywhere}, {Expires(1), atDefine | atEnqueue},
		{JID("j"), atEnqueue}, {AsObject(), atDefine}, {HideArgs(), atDefine | atEnqueue}, {Field("x", 1), atDefine | atEnqueue},
		{Backoff(wait), atDefine | atHandle},
	} {
		for _, p := range []place{atDefine, atEnqueue, atHandle} {
			_, err := options{}.with(p, []Option{test.opt})
			if (err == nil) != (test.at&p != 0) {
				t.Errorf("%s at %v: %v", test.opt.name, p, err)
			}
		}
	}
}

func TestOptionsAddUp(t *testing.T) {
	t.Parallel()
	defaults, err := options{}.with(atDefine, []Option{Queue("a"), Retry(3), Tags("x"), Field("f", 1)})
	if err != nil {
		t.Fatal(err)
	}
	o, err := defaults.with(atEnqueue, []Option{NoRetry(), Tags("y"), Field("g", 2)})
	if err != nil {
		t.Fatal(err)
	}
	if o.queue != "a" || o.retry != wire.NoRetry || len(o.tags) != 1 || o.tags[0] != "y" || len(o.fields) != 2 {
		t.Errorf("added up to %+v", o)
	}
	if defaults.retry != wire.RetryTimes(3) || defaults.tags[0] != "x" || len(defaults.fields) != 1 {
		t.Errorf("the defaults became %+v", defaults)
	}
	_, err = defaults.with(atEnqueue, []Option{Queue(""), Backoff(nil), Timeout(-1)})
	for _, want := range []string{"option Queue", "option Backoff means nothing to Enqueue, give it to Define or Handle", "option Timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}
