package wire

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// seed adds the golden payloads and some that are odd.
func seed(f *testing.F, add func(payload []byte)) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "payloads", "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no payloads: %v", err)
	}
	for _, file := range files {
		payload, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		add(payload)
	}
	for _, payload := range []string{
		``, `{}`, `{"class":"A","args":[]}`, `{"class":"A","args":[],"class":1}`, `{"args":[[{"a":[]}]],"class":"\ud83d\ude00"}`,
		`{"class":"A","args":[],"retry_count":99999999999999999999,"retry_for":1e400}`, `{"a":1,}`, `[]`, "{\"\xff\":\"\\u00ff\xff\"}",
		`{"class":"A","args":[],"ebb":{"log":[{"t":1.5},2],"to":1e-7,"exp":99999999999999,"n":3,"n":4,"new":[1]}}`,
		`{"class":"A","args":[],"ebb":{"s":true,"log":[{"t":1.5,"w":"rescued","a":true,"new":{"b":1}},{"a":0,"a":true}]}}`,
	} {
		add([]byte(payload))
	}
}

// rawFields are all fields with these keys left out, as written.
func rawFields(t *testing.T, payload []byte, without ...string) (list []Field) {
	t.Helper()
	fields, _, fault := scan(nil, payload)
	if fault != nil {
		t.Fatalf("%v in %q", fault, payload)
	}
	for _, f := range fields {
		if !slices.Contains(without, f.key) {
			list = append(list, Field{string(payload[f.start:f.value]), payload[f.value:f.end]})
		}
	}
	return list
}

func FuzzParse(f *testing.F) {
	seed(f, func(payload []byte) { f.Add(payload) })
	f.Fuzz(func(t *testing.T, payload []byte) {
		original := bytes.Clone(payload)
		j, err := Parse(payload)
		if _, err2 := j.ErrorBacktrace(); err2 != nil && !strings.HasPrefix(err2.Error(), "wire: read error_backtrace: ") {
			t.Errorf("backtrace: %v", err2)
		}
		if _, _, fault := scan(nil, payload); fault != nil {
			isObject := json.Valid(payload) && bytes.TrimLeft(payload, " \t\r\n")[0] == '{'
			if isObject && fault.Reason != "nested too deeply" {
				t.Fatalf("encoding/json reads what we do not: %v", fault)
			}
			if err == nil || fault.Offset > len(payload) || !bytes.Equal(j.WithHistory(fullHistory()), payload) {
				t.Fatalf("error %v for fault %v", err, fault)
			}
			return
		}
		if !json.Valid(payload) {
			t.Fatalf("encoding/json does not read %q", payload)
		}
		agrees(t, j, err)
		patches(t, j)
		if !bytes.Equal(payload, original) {
			t.Fatal("the payload was written to")
		}
	})
}

// agrees compares what Parse read with what encoding/json reads.
func agrees(t *testing.T, j *Job, err error) {
	t.Helper()
	if !utf8.Valid(j.payload) { // encoding/json replaces what is not, we do not
		return
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(j.payload, &raw); err != nil {
		t.Fatal(err)
	}
	for key, got := range map[string]string{
		"class": j.Kind, "jid": j.JID, "queue": j.Queue, "retry_queue": j.RetryQueue, "wrapped": j.Wrapped,
		"display_class": j.DisplayClass, "bid": j.BID, "error_class": j.ErrorClass, "error_message": j.ErrorMessage,
	} {
		var want any
		_ = json.Unmarshal(raw[key], &want)
		if s, _ := want.(string); got != s {
			t.Errorf("%s is %q, encoding/json reads %q", key, got, s)
		}
	}
	isArray := len(raw["args"]) > 0 && raw["args"][0] == '['
	if isArray && !bytes.Equal(j.Args, raw["args"]) {
		t.Errorf("args are %s, encoding/json reads %s", j.Args, raw["args"])
	}
	if runs := j.Kind != "" && isArray; runs != (err == nil) {
		t.Errorf("error is %v", err)
	}
}

// patches makes every kind of change to j's payload and looks for what it
// changed beside that.
func patches(t *testing.T, j *Job) {
	t.Helper()
	now := at(1795289592, 123456e3)
	failure := Failure{Class: "E", Message: "m", Backtrace: []string{"l"}, At: now, Queue: "low"}
	var mixed Patch
	mixed.Set("args", json.RawMessage(`[1e400]`))
	mixed.Delete("jid")
	mixed.SetString("new", "x")
	for _, change := range []struct {
		name    string
		payload []byte
		keys    []string
	}{
		{"history", j.WithHistory(fullHistory()), []string{historyKey}},
		{"no history", j.WithHistory(History{}), []string{historyKey}},
		{"mixed", j.With(&mixed), []string{"args", "jid", "new"}},
		{"failed", j.Failed(failure), []string{"queue", "error_message", "error_class", "error_backtrace", "failed_at", "retried_at", "retry_count"}},
	} {
		if diff := cmp.Diff(rawFields(t, j.payload, change.keys...), rawFields(t, change.payload, change.keys...)); diff != "" {
			t.Fatalf("%s changed other fields (-before +after):\n%s", change.name, diff)
		}
		after, _ := Parse(change.payload)
		switch change.name {
		case "history":
			if diff := cmp.Diff(fullHistory(), after.History); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
		case "no history":
			if !after.History.IsZero() {
				t.Errorf("history is still %+v", after.History)
			}
		case "mixed":
			if string(after.Args) != `[1e400]` || after.JID != "" {
				t.Errorf("args are %s, jid %q", after.Args, after.JID)
			}
		case "failed":
			if after.Count != min(j.Count+1, 1<<30) || after.Queue != "low" || after.ErrorClass != "E" {
				t.Errorf("after a failure at %d: count %d, queue %q, error class %q", j.Count, after.Count, after.Queue, after.ErrorClass)
			}
		}
	}
	if utf8.Valid(j.payload) {
		again, _ := Parse(j.WithHistory(j.History))
		near := cmp.Options{cmpopts.EquateApproxTime(time.Microsecond), cmpopts.EquateEmpty(), cmp.Comparer(func(a, b time.Duration) bool {
			return max(a-b, b-a) <= 2*time.Microsecond
		})}
		if diff := cmp.Diff(j.History, again.History, near); diff != "" {
			t.Errorf("history written and read again (-before +after):\n%s", diff)
		}
	}
}

func FuzzStamp(f *testing.F) {
	seed(f, func(payload []byte) {
		f.Add(payload, "low", int64(1795289592123456))
		f.Add(payload, "", int64(1))
	})
	f.Add([]byte(`{"queue":"a"}`), "\xff\"\n\u2028", int64(-5))
	f.Fuzz(func(t *testing.T, payload []byte, queue string, micros int64) {
		now := time.UnixMicro(micros)
		before, fields := bytes.Clone(payload), map[string]bool{"enqueued_at": true}
		stamped := Stamp(payload, queue, now)
		if !bytes.Equal(payload, before) {
			t.Fatal("the payload was written to")
		}
		if _, _, fault := scan(nil, payload); fault != nil {
			if !bytes.Equal(stamped, payload) {
				t.Fatalf("unreadable %q became %q", payload, stamped)
			}
			return
		}
		if queue != "" {
			fields["queue"] = true
			old, _ := QueueOf(payload)
			got, ok := QueueOf(stamped)
			if scrubbed := string([]rune(queue)); !ok || got != scrubbed && (got != queue || old != queue) {
				t.Errorf("queue is %q, %t; want %q", got, ok, queue)
			}
		}
		keys := slices.Collect(maps.Keys(fields))
		if diff := cmp.Diff(rawFields(t, payload, keys...), rawFields(t, stamped, keys...)); diff != "" {
			t.Errorf("other fields changed (-before +after):\n%s", diff)
		}
		j, _ := Parse(stamped)
		if sec := now.Unix(); 0 < micros && sec <= maxSeconds && !j.EnqueuedAt.Equal(now) {
			t.Errorf("enqueued_at is %v, want %v", j.EnqueuedAt, now)
		}
		if again := Stamp(stamped, queue, now); !bytes.Equal(again, stamped) {
			t.Errorf("stamped again it is %q, was %q", again, stamped)
		}
	})
}

func FuzzNew(f *testing.F) {
	f.Add("WelcomeJob", "default", "tag", `[1]`, int64(1795289592123456), int64(60))
	f.Add("\x00\"\\</é\u2028", "", "\ud7ff😀", `[]`, int64(0), int64(-1))
	f.Add("A", "", "", ` [ 1e300 , "\u2028\ud83d\ude00\ud83d\/\u001F" ]`, int64(0), int64(0))
	f.Fuzz(func(t *testing.T, kind, queue, tag, args string, micros, seconds int64) {
		if !valid([]byte(args), 1) || strings.TrimLeft(args, " \t\r\n")[0] != '[' || kind == "" {
			return
		}
		n := New{
			Kind: kind, Queue: queue, Tags: []string{tag}, Args: json.RawMessage(args), RetryFor: time.Duration(seconds),
			EnqueuedAt: time.UnixMicro(micros), History: History{Timeout: time.Duration(seconds), Events: []Event{{What: tag}}},
		}
		payload := n.Append(nil)
		j, err := Parse(payload)
		if err != nil || !json.Valid(payload) {
			t.Fatalf("%v in %q", err, payload)
		}
		scrub := func(s string) string { return string([]rune(s)) }
		if j.Kind != scrub(kind) || j.Queue != scrub(queue) || j.Tags[0] != scrub(tag) || j.History.Events[0].What != scrub(tag) {
			t.Errorf("%q came back as %+v", payload, j)
		}
		var sent, got any
		if json.Unmarshal([]byte(args), &sent) == nil && (json.Unmarshal(j.Args, &got) != nil || !reflect.DeepEqual(sent, got)) {
			t.Errorf("args %q came back as %q", args, j.Args)
		}
		if again := appendPlain(nil, j.Args); string(again) != string(j.Args) {
			t.Errorf("args %q were written as %q and then as %q", args, j.Args, again)
		}
	})
}
