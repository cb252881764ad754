package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func parse(t testing.TB, payload string) *Job {
	t.Helper()
	j, err := Parse([]byte(payload))
	if err != nil {
		t.Fatalf("%v in %s", err, payload)
	}
	return j
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	tests := []struct {
		name, payload string
		offset        int
		reason        string
		jid           string // readable all the same
	}{
		{"empty", ``, 0, "payload ends too early", ""},
		{"spaces only", " \n", 2, "payload ends too early", ""},
		{"text", `not json`, 0, "not a JSON object", ""},
		{"array", `[1]`, 0, "not a JSON object", ""},
		{"null", `null`, 0, "not a JSON object", ""},
		{"byte order mark", "\uFEFF{}", 0, "not a JSON object", ""},
		{"no class", `{"jid":"a","args":[]}`, 20, "no class", "a"},
		{"class is null", `{"class":null,"args":[]}`, 9, "class is not a string", ""},
		{"class is a number", `{"class":12,"args":[]}`, 9, "class is not a string", ""},
		{"class is empty", `{"class":"","args":[],"jid":"a"}`, 9, "class is empty", "a"},
		{"last class counts", `{"class":"A","args":[],"class":1}`, 31, "class is not a string", ""},
		{"no args", `{"jid":"a","class":"A"} `, 22, "no args", "a"},
		{"args is an object", `{"class":"A","args":{"a":1}}`, 20, "args is not an array", ""},
		{"args is null", `{"class":"A","args":null}`, 20, "args is not an array", ""},
		{"last args count", `{"args":[],"class":"A","args":"x"}`, 30, "args is not an array", ""},
		{"cut off in a string", `{"jid":"a","class":"A`, 21, "payload ends too early", "a"},
		{"cut off in a number", `{"jid":"a","n":-`, 16, "payload ends too early", "a"},
		{"cut off in an escape", `{"jid":"a","n":"\`, 16, "a bad escape in a string", "a"},
		{"cut off after a key", `{"jid":"a","n"`, 14, "payload ends too early", "a"},
		{"cut off before the brace", `{"jid":"a"`, 10, "payload ends too early", "a"},
		{"two objects", `{"jid":"a"}{}`, 11, "more after the end of the object", "a"},
		{"comma before the brace", `{"jid":"a",}`, 11, "no key where one must be", "a"},
		{"comma before the bracket", `{"jid":"a","args":[1,]}`, 21, "no value where one must be", "a"},
		{"key without quotes", `{"jid":"a",n:1}`, 11, "no key where one must be", "a"},
		{"no colon", `{"jid":"a","n" 1}`, 15, "no colon after a key", "a"},
		{"no comma", `{"jid":"a" "n":1}`, 11, "no comma or closing bracket", "a"},
		{"no comma in an array", `{"jid":"a","args":[1 2]}`, 21, "no comma or closing bracket", "a"},
		{"newline in a string", "{\"jid\":\"a\",\"n\":\"x\ny\"}", 17, "a control character in a string", "a"},
		{"unknown escape", `{"jid":"a","n":"\x"}`, 16, "a bad escape in a string", "a"},
		{"short unicode escape", `{"jid":"a","n":"\u12"}`, 16, "a bad escape in a string", "a"},
		{"leading zero", `{"jid":"a","n":01}`, 16, "no comma or closing bracket", "a"},
		{"plus sign", `{"jid":"a","n":+1}`, 15, "no value where one must be", "a"},
		{"bare point", `{"jid":"a","n":1.}`, 17, "a bad number", "a"},
		{"bare exponent", `{"jid":"a","n":1e}`, 17, "a bad number", "a"},
		{"bare minus", `{"jid":"a","n":-}`, 16, "a bad number", "a"},
		{"NaN", `{"jid":"a","n":NaN}`, 15, "no value where one must be", "a"},
		{"half a literal", `{"jid":"a","n":tru}`, 15, "no value where one must be", "a"},
		{"comment", `{"jid":"a"/**/}`, 10, "no comma or closing bracket", "a"},
		{"too deep", `{"jid":"a","args":` + deep + `}`, 18 + maxDepth - 1, "nested too deeply", "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j, err := Parse([]byte(tt.payload))
			fault, ok := errors.AsType[*PayloadError](err)
			if !ok {
				t.Fatalf("error is %v, want a *PayloadError", err)
			}
			if want := (PayloadError{tt.offset, tt.reason}); *fault != want {
				t.Errorf("fault is %+v, want %+v", *fault, want)
			}
			if j.JID != tt.jid {
				t.Errorf("jid is %q, want %q", j.JID, tt.jid)
			}
			if jid, ok := JIDOf([]byte(tt.payload)); jid != tt.jid || ok != (tt.jid != "") {
				t.Errorf("JIDOf is %q, %t", jid, ok)
			}
			if string(j.Payload()) != tt.payload {
				t.Errorf("payload is %q", j.Payload())
			}
		})
	}
}

func TestPayloadErrorQuotesNothing(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte(`{"class":"A","args":"secret"}`))
	if got, want := err.Error(), "wire: parse payload: args is not an array at byte 20"; got != want {
		t.Errorf("error is %q, want %q", got, want)
	}
}

func TestParseAcceptsWhatIsOdd(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1)
	tests := []struct {
		name, payload string
		want          Job
	}{
		{"absent optional fields", `{}`, Job{}},
		{"escaped key", `{"\u0071ueue":"q"}`, Job{Queue: "q"}},
		{"keys are case sensitive", `{"Queue":"q"}`, Job{}},
		{"escaped value", `{"jid":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}`, Job{JID: "\"\\/\b\f\n\r\té😀"}},
		{"half surrogate pairs", `{"jid":"\ud83d.\ude00\ud83d\u0041\ud83d\n"}`, Job{JID: "\uFFFD.\uFFFD\uFFFDA\uFFFD\n"}},
		{"bytes that are not UTF-8", "{\"queue\":\"caf\xe9\"}", Job{Queue: "caf\xe9"}},
		{"last one counts", `{"queue":"a","queue":"b","tags":["x"],"tags":["y"]}`, Job{Queue: "b", Tags: []string{"y"}}},
		{"last one counts even if unusable", `{"queue":"a","queue":5,"retry":3,"retry":null}`, Job{}},
		{"strings of the wrong type", `{"jid":7,"queue":null,"retry_queue":[],"wrapped":{},"display_class":true,"bid":1,"error_class":1,"error_message":2}`, Job{}},
		{"retry true", `{"retry":true}`, Job{Retry: RetryTrue}},
		{"retry false", `{"retry":false}`, Job{Retry: NoRetry}},
		{"retry 0", `{"retry":0}`, Job{Retry: RetryTimes(0)}},
		{"retry below 0", `{"retry":-1}`, Job{Retry: RetryTimes(0)}},
		{"retry null", `{"retry":null}`, Job{}},
		{"retry in quotes", `{"retry":"5"}`, Job{}},
		{"retry with a fraction", `{"retry":2.5}`, Job{}},
		{"retry beyond counting", `{"retry":99999999999999999999}`, Job{Retry: RetryTimes(1 << 30)}},
		{"count in quotes", `{"retry_count":"3"}`, Job{}},
		{"count below 0", `{"retry_count":-3}`, Job{}},
		{"count beyond counting", `{"retry_count":99999999999999999999}`, Job{Count: 1 << 30}},
		{"retry_for", `{"retry_for":3600}`, Job{RetryFor: time.Hour}},
		{"retry_for with a fraction", `{"retry_for":0.5}`, Job{RetryFor: 500 * time.Millisecond}},
		{"retry_for below 0", `{"retry_for":-5}`, Job{}},
		{"retry_for in quotes", `{"retry_for":"5"}`, Job{}},
		{"retry_for null", `{"retry_for":null}`, Job{}},
		{"retry_for without end", `{"retry_for":1e400}`, Job{RetryFor: 1<<63 - 1}},
		{"dead true", `{"dead":true}`, Job{}},
		{"dead false", `{"dead":false}`, Job{NoDead: true}},
		{"dead null", `{"dead":null}`, Job{}},
		{"backtrace true", `{"backtrace":true}`, Job{Backtrace: -1}},
		{"backtrace false", `{"backtrace":false}`, Job{}},
		{"backtrace 5", `{"backtrace":5}`, Job{Backtrace: 5}},
		{"backtrace below 0", `{"backtrace":-5}`, Job{}},
		{"backtrace in quotes", `{"backtrace":"5"}`, Job{}},
		{"tags of mixed types", `{"tags":[ "a" , 1,null,["b"],"c" ]}`, Job{Tags: []string{"a", "c"}}},
		{"tags empty", `{"tags":[ ]}`, Job{}},
		{"tags null", `{"tags":null}`, Job{}},
		{"tags a string", `{"tags":"a"}`, Job{}},
		{"history not an object", `{"ebb":[1]}`, Job{}},
		{"deepest nesting", `{"x":` + deep + `}`, Job{}},
		{"space everywhere", " { \"queue\" \t:\r\n \"q\" , \"x\" : [ ] , \"y\" : { } } ", Job{Queue: "q"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := strings.TrimLeft(tt.payload, " ")[1:]
			if body != "}" {
				body = "," + body
			}
			tt.want.Kind, tt.want.Args = "A", []byte(`[]`)
			if tt.want.Count == 0 {
				tt.want.Count = -1
			}
			got := parse(t, `{"class":"A","args":[]`+body)
			if diff := cmp.Diff(&tt.want, got, sameJob); diff != "" {
				t.Errorf("job (-want +got):\n%s", diff)
			}
		})
	}
}

func TestArgsCannotGrowIntoThePayload(t *testing.T) {
	t.Parallel()
	payload := `{"class":"A","args":[1],"jid":"a"}`
	j := parse(t, payload)
	_ = append(j.Args, "overwritten"...)
	if string(j.Payload()) != payload {
		t.Errorf("payload is now %s", j.Payload())
	}
}

func TestExtra(t *testing.T) {
	t.Parallel()
	j := parse(t, `{"cattr":{ "a": 1e400 },"class":"A","custom" : [1] ,"args":[],"cattr":2,"error_backtrace":"x","\u0061t":1.50}`)
	want := []Field{
		{"cattr", []byte(`{ "a": 1e400 }`)}, {"custom", []byte(`[1]`)}, {"cattr", []byte(`2`)}, {"at", []byte(`1.50`)},
	}
	if diff := cmp.Diff(want, j.Extra()); diff != "" {
		t.Errorf("extra (-want +got):\n%s", diff)
	}
}

func TestQueueOf(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, payload, want string
		ok                  bool
	}{
		{"there", `{"queue":"low","class":"A"}`, "low", true},
		{"empty", `{"queue":""}`, "", true},
		{"absent", `{"class":"A"}`, "", false},
		{"twice", `{"queue":"a","queue":"b"}`, "b", true},
		{"twice, once in escapes", `{"queue":"a","\u0071ueue":"b"}`, "b", true},
		{"twice, the second with a space", `{"queue":"a","queue" :"b"}`, "b", true},
		{"and inside something else", `{"queue":"a","args":[{"queue":"b"}]}`, "a", true},
		{"and in a text", `{"queue":"a","error":"\"queue\" \\u"}`, "a", true},
		{"not a string", `{"queue":["a"]}`, "", false},
		{"inside something else", `{"args":[{"queue":"a"}]}`, "", false},
		{"no object", `["queue"]`, "", false},
		{"broken behind it", `{"queue":"a","x":}`, "a", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, ok := QueueOf([]byte(tt.payload)); got != tt.want || ok != tt.ok {
				t.Errorf("QueueOf is %q, %t; want %q, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		job  Job
		want string
	}{
		{Job{Kind: "K"}, "K"},
		{Job{Kind: "K", Wrapped: "W"}, "W"},
		{Job{Kind: "K", Wrapped: "W", DisplayClass: "D"}, "D"},
	} {
		if got := tt.job.Name(); got != tt.want {
			t.Errorf("name of %+v is %q, want %q", tt.job, got, tt.want)
		}
	}
}

func TestRetryLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		retry   Retry
		n       int
		retries bool
		text    string
	}{
		{Retry{}, 25, true, "default"},
		{DefaultRetry, 25, true, "default"},
		{RetryTrue, 25, true, "true"},
		{NoRetry, 0, false, "false"},
		{RetryTimes(0), 0, true, "0"},
		{RetryTimes(-4), 0, true, "0"},
		{RetryTimes(7), 7, true, "7"},
	} {
		if n, retries := tt.retry.Limit(25); n != tt.n || retries != tt.retries {
			t.Errorf("limit of %v is %d, %t; want %d, %t", tt.retry, n, retries, tt.n, tt.retries)
		}
		if got := fmt.Sprint(tt.retry); got != tt.text {
			t.Errorf("%#v reads %q, want %q", tt.retry, got, tt.text)
		}
	}
}

// The scanner must agree with encoding/json on what JSON is.
func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	values := []string{
		`0`, `-0`, `00`, `01`, `-`, `-01`, `1.0`, `1.`, `.1`, `1e5`, `1E+05`, `1e-`, `1e400`, `0x1`, `1_0`, `Infinity`,
		`""`, `"\u0000"`, `"\uD800"`, `"\uZZZZ"`, "\"\x7f\"", "\"\x00\"", "\"\xff\"", `"\'"`, `"`, `'a'`,
		`true`, `True`, `truex`, `null`, `nul`, `false`, `fals`, `[]`, `[`, `]`, `[,]`, `[1,]`, `[1,2]`, `[[[]]]`,
		`{}`, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1,"a":2}`, `{"a":{"b":[{"c":null}]}}`, ` [ 1 , 2 ] `, "[\v]", "[\u00a0]", ``,
	}
	for _, value := range values {
		if got, want := valid([]byte(value), 0), json.Valid([]byte(value)); got != want {
			t.Errorf("valid(%q) is %t, encoding/json says %t", value, got, want)
		}
	}
}
