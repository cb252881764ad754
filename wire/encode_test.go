package wire

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNewAppend(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		make New
		want string
	}{
		{"least", New{Kind: "A"}, `{"args":[],"class":"A"}`},
		{"usual", New{
			Kind: "WelcomeJob", JID: "0123456789abcdef01234567", Queue: "mailers", Args: []byte(`[42,"<nl>"]`),
			Retry: RetryTrue, CreatedAt: at(1795289561, 689e6), EnqueuedAt: at(1795289561, 689001e3),
		}, `{"retry":true,"queue":"mailers","args":[42,"<nl>"],"class":"WelcomeJob","jid":"0123456789abcdef01234567",` +
			`"created_at":1795289561.689,"enqueued_at":1795289561.689001}`},
		{"everything", New{
			Kind: "Über\"Job", JID: "j", Queue: "q", Args: []byte(`[9007199254740993]`), Retry: RetryTimes(3), RetryQueue: "low",
			RetryFor: 90*time.Minute + 1, NoDead: true, Backtrace: 20, Tags: []string{"a", "b\n"}, Wrapped: "W", DisplayClass: "D",
			CreatedAt: at(1795289561, 0), EnqueuedAt: at(1795289562, 0),
			History: History{Timeout: 1500 * time.Millisecond, Expires: at(1795289600, 0), NoArgs: true},
			Extra:   []Field{{"cattr", []byte(`{"u":1e400}`)}, {"locale", []byte(`"nl"`)}},
		}, `{"retry":3,"queue":"q","backtrace":20,"tags":["a","b\n"],"retry_queue":"low","retry_for":5401,"dead":false,` +
			`"wrapped":"W","display_class":"D","cattr":{"u":1.0e+400},"locale":"nl","args":[9007199254740993],"class":"Über\"Job",` +
			`"jid":"j","created_at":1795289561.0,"enqueued_at":1795289562.0,` +
			`"ebb":{"to":1.5,"exp":1795289600.0,"hide":true}}`},
		{"no retry, all lines", New{Kind: "A", Retry: NoRetry, Backtrace: -1}, `{"retry":false,"backtrace":true,"args":[],"class":"A"}`},
		{"a limit of 0", New{Kind: "A", Retry: RetryTimes(0), RetryFor: -time.Hour}, `{"retry":0,"args":[],"class":"A"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := tt.make.Append([]byte("before"))
			if diff := cmp.Diff("before"+tt.want, string(got)); diff != "" {
				t.Fatalf("payload (-want +got):\n%s", diff)
			}
			parse(t, tt.want)
		})
	}
}

// What New writes, Parse reads back, and encoding/json sees the same in it.
func TestNewComesBack(t *testing.T) {
	t.Parallel()
	n := New{
		Kind: "Ünï\x01</b>", JID: NewJID(at(1795289561, 0)), Queue: "q \\ \"", Args: []byte(`["a",1.50]`), Retry: RetryTimes(7),
		RetryQueue: "low", RetryFor: time.Hour, NoDead: true, Backtrace: 3, Tags: []string{"\u2028", "😀"},
		Wrapped: "W", DisplayClass: "D", CreatedAt: at(1795289561, 123456e3), EnqueuedAt: at(1795289562, 0),
		History: History{Interruptions: 1, Checkpoint: []byte(`{"a": 1}`)},
		Extra:   []Field{{"locale", []byte(`"nl"`)}},
	}
	payload := n.Append(nil)
	j := parse(t, string(payload))
	want := &Job{
		Kind: n.Kind, JID: n.JID, Queue: n.Queue, Args: n.Args, Retry: n.Retry, Count: -1, RetryQueue: n.RetryQueue,
		RetryFor: n.RetryFor, NoDead: true, Backtrace: 3, Tags: n.Tags, Wrapped: "W", DisplayClass: "D",
		CreatedAt: n.CreatedAt, EnqueuedAt: n.EnqueuedAt, History: n.History,
	}
	if diff := cmp.Diff(want, j, sameJob); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(n.Extra, j.Extra()); diff != "" {
		t.Errorf("extra (-want +got):\n%s", diff)
	}

	var decoded map[string]any
	if err := json.Unmarshal(payload, &decoded); err != nil {
		t.Fatal(err)
	}
	wantDecoded := map[string]any{
		"class": n.Kind, "jid": n.JID, "queue": n.Queue, "args": []any{"a", 1.5}, "retry": 7.0, "retry_queue": "low",
		"retry_for": 3600.0, "dead": false, "backtrace": 3.0, "tags": []any{"\u2028", "😀"}, "wrapped": "W",
		"display_class": "D", "created_at": 1795289561.123456, "enqueued_at": 1795289562.0, "locale": "nl",
		"ebb": map[string]any{"n": 1.0, "cp": map[string]any{"a": 1.0}},
	}
	if diff := cmp.Diff(wantDecoded, decoded); diff != "" {
		t.Errorf("as encoding/json reads it (-want +got):\n%s", diff)
	}
}

func TestStringsAreEscapedAsEncodingJSONReadsThem(t *testing.T) {
	t.Parallel()
	all := make([]byte, 128)
	for i := range all {
		all[i] = byte(i)
	}
	for _, s := range []string{"", "plain", string(all), "é😀\u2028\uFFFD", "<script>&amp;"} {
		quoted := appendString(nil, s)
		var back string
		if err := json.Unmarshal(quoted, &back); err != nil || back != s {
			t.Errorf("%q is written %s, which reads %q, %v", s, quoted, back, err)
		}
		if got := text(quoted); got != s {
			t.Errorf("%q is written %s, which we read as %q", s, quoted, got)
		}
	}
	if got, want := string(appendString(nil, "a\xff\xfeb\xe2\x82")), "\"a\uFFFD\uFFFDb\uFFFD\uFFFD\""; got != want {
		t.Errorf("bytes that are not UTF-8 are written %q, want %q", got, want)
	}
}
