package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWith(t *testing.T) {
	t.Parallel()
	set := func(pairs ...string) *Patch {
		var p Patch
		for i := 0; i < len(pairs); i += 2 {
			p.Set(pairs[i], json.RawMessage(pairs[i+1]))
		}
		return &p
	}
	remove := func(keys ...string) *Patch {
		var p Patch
		for _, key := range keys {
			p.Delete(key)
		}
		return &p
	}
	tests := []struct {
		name    string
		payload string
		patch   *Patch
		want    string
	}{
		{"replace the first", `{"a":1,"b":2}`, set("a", `[9]`), `{"a":[9],"b":2}`},
		{"replace the last", `{"a":1,"b":2 }`, set("b", `null`), `{"a":1,"b":null }`},
		{"add", `{"a":1}`, set("b", `2`), `{"a":1,"b":2}`},
		{"add in order", `{"a":1}`, set("z", `1`, "y", `2`), `{"a":1,"z":1,"y":2}`},
		{"add before closing space", "{\"a\":1\n}\n", set("b", `2`), "{\"a\":1,\"b\":2\n}\n"},
		{"add to nothing", `{}`, set("b", `2`), `{"b":2}`},
		{"add to nothing but space", `{ }`, set("b", `2`), `{ "b":2}`},
		{"add a key to be escaped", `{}`, set("a\"\n", `2`), `{"a\"\n":2}`},
		{"replace and add", `{"a":1,"b":2}`, set("c", `3`, "a", `4`), `{"a":4,"b":2,"c":3}`},
		{"replace under an escaped key", `{"\u0061":1,"b":2}`, set("a", `3`), `{"\u0061":3,"b":2}`},
		{"of two the last is replaced", `{"a":1,"b":2,"a":3}`, set("a", `4`), `{"a":1,"b":2,"a":4}`},
		{"named twice", `{"a":1}`, set("a", `2`, "b", `3`, "a", `4`), `{"a":4,"b":3}`},
		{"not the nested one", `{"b":{"a":1}}`, set("a", `2`), `{"b":{"a":1},"a":2}`},
		{"odd bytes stay", "\t{ \"x\" :1e400,\"\xff\":\"\\u00e9\xfe\",\"n\":9007199254740993 , \"a\" : 1 }", set("a", `2`),
			"\t{ \"x\" :1e400,\"\xff\":\"\\u00e9\xfe\",\"n\":9007199254740993 , \"a\" : 2 }"},
		{"invalid value", `{"a":1}`, set("a", `{`), `{"a":null}`},
		{"empty value", `{"a":1}`, set("a", ``), `{"a":null}`},
		{"value that would be too deep", `{"a":1}`, set("a", strings.Repeat("[", maxDepth)+strings.Repeat("]", maxDepth)), `{"a":null}`},

		{"remove the first", `{ "a":1 , "b":2 }`, remove("a"), `{ "b":2 }`},
		{"remove the middle one", `{"a":1, "b":2, "c":3}`, remove("b"), `{"a":1, "c":3}`},
		{"remove the last", `{"a":1, "b":2 }`, remove("b"), `{"a":1 }`},
		{"remove all", `{ "a":1, "b":2 }`, remove("a", "b"), `{  }`},
		{"remove the first two", `{ "a":1, "b":2, "c":3}`, remove("a", "b"), `{ "c":3}`},
		{"remove every one of that key", `{"a":1,"b":2,"a":3}`, remove("a"), `{"b":2}`},
		{"remove what is not there", `{"a":1}`, remove("b"), `{"a":1}`},
		{"remove from nothing", `{}`, remove("b"), `{}`},

		{"nothing to change", `{"a":1}`, &Patch{}, `{"a":1}`},
		{"no object", `[1]`, set("a", `1`), `[1]`},
		{"broken", `{"a":1,}`, set("a", `2`), `{"a":1,}`},
		{"empty", ``, set("a", `2`), ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j, _ := Parse([]byte(tt.payload))
			if diff := cmp.Diff(tt.want, string(j.With(tt.patch))); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
			if string(j.Payload()) != tt.payload {
				t.Errorf("the job's own payload is now %s", j.Payload())
			}
		})
	}
}

func TestPatchRemoveAndAdd(t *testing.T) {
	t.Parallel()
	var p Patch
	p.Delete("a")
	p.SetInt("b", -3)
	p.SetBool("c", true)
	p.SetString("d", "é\"<&>\u2028\x00\xff")
	p.SetTime("e", at(1795289592, 0))
	p.SetTime("f", time.Time{})
	j, _ := Parse([]byte(`{"a":1,"f":2}`))
	want := "{\"b\":-3,\"c\":true,\"d\":\"é\\\"<&>\u2028\\u0000\uFFFD\",\"e\":1795289592.0}"
	if diff := cmp.Diff(want, string(j.With(&p))); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
}

func TestStamp(t *testing.T) {
	t.Parallel()
	now := at(1795289592, 123456789)
	tests := []struct{ name, payload, queue, want string }{
		{"scheduled", `{"queue":"a","class":"A","args":[]}`, "",
			`{"queue":"a","class":"A","args":[],"enqueued_at":1795289592.123456}`},
		{"retried", `{"queue":"a","enqueued_at":1.5,"args":[1e400]}`, "a",
			`{"queue":"a","enqueued_at":1795289592.123456,"args":[1e400]}`},
		{"from Sidekiq 8", `{"enqueued_at":1795289764512}`, "", `{"enqueued_at":1795289592.123456}`},
		{"moved", `{"queue":"a","enqueued_at":1.5}`, "b", `{"queue":"b","enqueued_at":1795289592.123456}`},
		{"queue under an escaped name stays", `{"queue":"\u0061"}`, "a", `{"queue":"\u0061","enqueued_at":1795289592.123456}`},
		{"queue that is not UTF-8 stays", "{\"queue\":\"caf\xe9\"}", "caf\xe9", "{\"queue\":\"caf\xe9\",\"enqueued_at\":1795289592.123456}"},
		{"queue was absent", `{}`, "b", `{"enqueued_at":1795289592.123456,"queue":"b"}`},
		{"queue was no string", `{"queue":1}`, "b", `{"queue":"b","enqueued_at":1795289592.123456}`},
		{"a long queue name", `{}`, strings.Repeat("q", 99), `{"enqueued_at":1795289592.123456,"queue":"` + strings.Repeat("q", 99) + `"}`},
		{"without a class", `{"args":3}`, "", `{"args":3,"enqueued_at":1795289592.123456}`},
		{"not json", `not json`, "b", `not json`},
		{"broken", `{"queue":"a"`, "b", `{"queue":"a"`},
		{"empty", ``, "b", ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, string(Stamp([]byte(tt.payload), tt.queue, now))); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, value string
		want        time.Time
	}{
		{"seconds, 6 and 7", `1795289561.6897886`, at(1795289561, 689788600)},
		{"our own", `1795289561.689788`, at(1795289561, 689788000)},
		{"milliseconds, 8", `1795289764512`, at(1795289764, 512e6)},
		{"whole seconds with the point", `1795289592.0`, at(1795289592, 0)},
		{"whole seconds without the point", `1795289592`, at(1795289592, 0)},
		{"the last whole seconds", `100000000000`, at(100000000000, 0)},
		{"the first milliseconds", `100000000001`, at(100000000, 1e6)},
		{"with an exponent", `1.795289592e9`, at(1795289592, 0)},
		{"with an exponent and a fraction", `1795289592.5E0`, at(1795289592, 5e8)},
		{"more digits than a nanosecond", `1.0000000019`, at(1, 1)},
		{"half a second after the epoch", `0.5`, at(0, 5e8)},
		{"the epoch", `0`, time.Time{}},
		{"the epoch, with the point", `0.0`, time.Time{}},
		{"negative", `-1795289592.5`, time.Time{}},
		{"beyond the year 9999", `253402300800.5`, time.Time{}},
		{"beyond the year 9999 in milliseconds", `253402300800000`, time.Time{}},
		{"beyond an int64", `99999999999999999999`, time.Time{}},
		{"beyond a float64", `1e400`, time.Time{}},
		{"null", `null`, time.Time{}},
		{"text", `"2026-11-21T19:35:00Z"`, time.Time{}},
		{"digits in quotes", `"1795289592.5"`, time.Time{}},
		{"object", `{}`, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := parse(t, `{"class":"A","args":[],"enqueued_at":`+tt.value+`}`).EnqueuedAt
			if !got.Equal(tt.want) {
				t.Errorf("time is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestTimesAreWrittenWithTheirPoint(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		time time.Time
		want string
	}{
		{at(1795289592, 0), "1795289592.0"},
		{at(1795289592, 1_999), "1795289592.000001"},
		{at(1795289592, 999_999_999), "1795289592.999999"},
		{at(0, 0), "0.0"},
		{at(-5, 5e8), "0.0"},
		{time.Date(2026, 11, 21, 20, 0, 0, 0, time.FixedZone("", 3600)), "1795287600.0"},
	} {
		if got := string(appendTime(nil, tt.time)); got != tt.want {
			t.Errorf("%v is written %s, want %s", tt.time, got, tt.want)
		}
	}
}
