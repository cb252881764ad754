package wire

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestFailed(t *testing.T) {
	t.Parallel()
	now := at(1795289592, 352494e3)
	tests := []struct {
		name, payload string
		failure       Failure
		want          string
	}{
		{"first", `{"retry":2,"class":"A","args":[7],"jid":"a"}`, Failure{Class: "E", Message: "boom", At: now},
			`{"retry":2,"class":"A","args":[7],"jid":"a","error_message":"boom","error_class":"E","failed_at":1795289592.352494,"retry_count":0}`},
		{"second", `{"class":"A","args":[],"error_message":"x","error_class":"X","failed_at":1795289592350,"retry_count":0,"cattr":1e400}`,
			Failure{Class: "E", Message: "boom", At: now},
			`{"class":"A","args":[],"error_message":"boom","error_class":"E","failed_at":1795289592350,"retry_count":1,"cattr":1e400,"retried_at":1795289592.352494}`},
		{"third", `{"class":"A","args":[],"error_message":"x","error_class":"X","failed_at":1.5,"retry_count":1,"retried_at":2.5}`,
			Failure{Class: "E", Message: "boom", At: now},
			`{"class":"A","args":[],"error_message":"boom","error_class":"E","failed_at":1.5,"retry_count":2,"retried_at":1795289592.352494}`},
		{"to another queue", `{"queue":"a","class":"A","args":[]}`, Failure{Class: "E", At: now, Queue: "low"},
			`{"queue":"low","class":"A","args":[],"error_message":"","error_class":"E","failed_at":1795289592.352494,"retry_count":0}`},
		{"no backtrace wanted", `{"class":"A","args":[],"error_backtrace":"old"}`, Failure{Class: "E", At: now, Backtrace: []string{"l"}},
			`{"class":"A","args":[],"error_message":"","error_class":"E","failed_at":1795289592.352494,"retry_count":0}`},
		{"first, again: a person gave the try back", `{"class":"A","args":[],"error_message":"x","error_class":"X","failed_at":1.5,"retry_count":-1}`,
			Failure{Class: "E", Message: "boom", At: now},
			`{"class":"A","args":[],"error_message":"boom","error_class":"E","failed_at":1.5,"retry_count":0,"retried_at":1795289592.352494}`},
		{"count that is no number", `{"class":"A","args":[],"retry_count":"2"}`, Failure{Class: "E", At: now},
			`{"class":"A","args":[],"retry_count":0,"error_message":"","error_class":"E","failed_at":1795289592.352494}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, string(parse(t, tt.payload).Failed(tt.failure))); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailWithOtherChanges(t *testing.T) {
	t.Parallel()
	j := parse(t, `{"class":"A","args":[],"ebb":{"n":1,"cp":5}}`)
	var p Patch
	p.SetHistory(History{Interruptions: 1})
	p.Fail(j, Failure{Class: "E", Message: "m", At: at(1795289592, 0)})
	want := `{"class":"A","args":[],"ebb":{"n":1},"error_message":"m","error_class":"E","failed_at":1795289592.0,"retry_count":0}`
	if diff := cmp.Diff(want, string(j.With(&p))); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
}

func TestErrorMessageIsCutByCharacters(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, message, want string }{
		{"as long as allowed", strings.Repeat("é", maxMessage), strings.Repeat("é", maxMessage)},
		{"longer", strings.Repeat("é", maxMessage) + "x", strings.Repeat("é", maxMessage)},
		{"bytes that are not UTF-8", "a\xffb" + strings.Repeat("\xe9", maxMessage), "a\uFFFDb" + strings.Repeat("\uFFFD", maxMessage-3)},
		{"a character cut in half", "caf\xc3", "caf\uFFFD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			failed := parse(t, `{"class":"A","args":[]}`).Failed(Failure{Message: tt.message})
			got := parse(t, string(failed)).ErrorMessage
			if got != tt.want || !utf8.ValidString(got) {
				t.Errorf("message has %d characters, want %d", utf8.RuneCountInString(got), utf8.RuneCountInString(tt.want))
			}
		})
	}
}

func TestBacktraceRoundTrip(t *testing.T) {
	t.Parallel()
	lines := []string{"main.go:1 main.main", "é\"<x>", "", "runtime/proc.go:283"}
	tests := []struct {
		name, backtrace string
		want            []string
	}{
		{"all", "true", lines},
		{"two", "2", lines[:2]},
		{"more than there are", "99", lines},
		{"none", "false", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := parse(t, `{"class":"A","args":[],"backtrace":`+tt.backtrace+`}`)
			failed := parse(t, string(j.Failed(Failure{Class: "E", Backtrace: lines})))
			got, err := failed.ErrorBacktrace()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

// pack encodes any text the way a backtrace is.
func pack(data string) string {
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	_, _ = w.Write([]byte(data))
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(buf.Bytes())
}

func TestBacktraceReads(t *testing.T) {
	t.Parallel()
	strict := packBacktrace([]string{"a.rb:1", strings.Repeat("b", 400)})
	want := []string{"a.rb:1", strings.Repeat("b", 400)}
	if strings.ContainsAny(strict, "\r\n") {
		t.Errorf("lines are broken in %q", strict)
	}
	wrapped := strict[:20] + "\n" + strict[20:] + "\n"
	tests := []struct {
		name, encoded string
		want          []string
		bad           bool
	}{
		{"strict", strict, want, false},
		{"wrapped", wrapped, want, false},
		{"empty", "", nil, false},
		{"no lines", pack(`[]`), []string{}, false},
		{"not Base64", "!!", nil, true},
		{"not zlib", base64.StdEncoding.EncodeToString([]byte("plain")), nil, true},
		{"zlib cut off", strict[:24], nil, true},
		{"not an array", pack(`{"a":1}`), nil, true},
		{"a bomb", pack(`["` + strings.Repeat("a", maxBacktrace) + `"]`), nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Backtrace(tt.encoded)
			if (err != nil) != tt.bad {
				t.Fatalf("error is %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrorBacktraceForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		value string
		want  []string
	}{
		{`["a.rb:1","b.rb:2"]`, []string{"a.rb:1", "b.rb:2"}}, // before 6.0.1
		{`null`, nil},
		{`12`, nil},
		{fmt.Sprintf("%q", pack(`["x"]`)), []string{"x"}},
	} {
		got, err := parse(t, `{"class":"A","args":[],"error_backtrace":`+tt.value+`}`).ErrorBacktrace()
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("lines of %s (-want +got):\n%s", tt.value, diff)
		}
	}
}

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	most := func(n int) int { return n - 1 }
	none := func(int) int { return 0 }
	for _, tt := range []struct {
		count  int
		jitter func(int) int
		want   time.Duration
	}{
		{0, none, 15 * time.Second},
		{0, most, 24 * time.Second},
		{1, none, 16 * time.Second},
		{3, most, (81 + 15 + 39) * time.Second},
		{24, none, (331776 + 15) * time.Second},
		{-7, none, 15 * time.Second},
		{300, none, (300*300*300*300 + 15) * time.Second},
		{1 << 30, none, (300*300*300*300 + 15) * time.Second},
	} {
		if got := RetryDelay(tt.count, tt.jitter); got != tt.want {
			t.Errorf("delay at %d is %v, want %v", tt.count, got, tt.want)
		}
	}
	for range 100 {
		if got := RetryDelay(2, nil); got < 31*time.Second || got > 60*time.Second {
			t.Fatalf("delay at 2 is %v, want 31 s to 60 s", got)
		}
	}
}
