package query

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

var berlin = time.FixedZone("CET", 3600)

// now is in a zone of its own, so that a test sees which zone counted.
var now = time.Date(2026, 11, 21, 14, 30, 0, 0, berlin)

func parse(t testing.TB, text string) *Query {
	t.Helper()
	q, err := Parse(text, now)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// entries are jobs of all sorts.
var entries = map[string]store.Entry{
	"ready": {Place: store.Ready, Queue: "mailers", Payload: []byte(
		`{"class":"WelcomeJob","args":[42,"Ada \"L.\" Lovelace",{"user":{"id":7},"tags":["x"],"big":9007199254740993}],"jid":"0199aa00bb11cc222d2a34bb","tags":["eu","big one"],"queue":"mailers","created_at":1795267800.0,"enqueued_at":1795267800.0,"locale":"nl"}`)},
	"retry": {Place: store.Retrying, Queue: "billing", At: now.Add(time.Hour), Payload: []byte(
		`{"class":"InvoiceJob","args":["order 777"],"jid":"0199aa00bb11cc222d2a0001","retry_count":3,"error_class":"Stripe::CardError","error_message":"Your card was DECLINED: over limit","failed_at":1795260000.0,"retried_at":1795267500.5,"created_at":1795250000.0}`)},
	"wrapped": {Place: store.Scheduled, Queue: "default", At: now.Add(time.Hour), Payload: []byte(
		`{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"ReportJob","args":[{"job_class":"ReportJob","arguments":["Z\u00fcrich","a\/b"]}],"jid":"abc","created_at":1795240000.0}`)},
	"cut off": {Place: store.Keeping, Queue: "default", Holder: "w:1:ff", Payload: []byte(
		`{"class":"ImportJob","args":[],"jid":"0199aa00bb11cc222d2a0003","created_at":1795240000.0,"ebb":{"n":2,"log":[{"t":1795267000.0,"w":"interrupted","c":"deploy","by":"w:9:aa"},{"t":1795267100.0,"w":"resumed"}],"pr":{"d":3,"n":9,"m":"row 3"}}}`)},
	"lost": {Place: store.Dead, Queue: "low", At: now.Add(-time.Minute), Payload: []byte(
		`{"class":"CrashJob","args":["secret"],"jid":"0199aa00bb11cc222d2a0004","retry_count":0,"error_class":"","error_message":"boom","failed_at":1795240000.0,"created_at":1795240000.0,"ebb":{"n":1,"hide":true,"log":[{"t":1795200000.0,"w":"rescued","by":"w:1:ff","m":"w:8:bb"}]}}`)},
	"broken": {Place: store.Dead, Queue: "low", At: now.Add(-48 * time.Hour), Payload: []byte(`{"class":"InvoiceJob", order 777`)},
}

func matches(q *Query) string {
	var names []string
	for _, name := range []string{"ready", "retry", "wrapped", "cut off", "lost", "broken"} {
		if q.Match(entries[name]) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

const all = "ready, retry, wrapped, cut off, lost, broken"

func TestMatch(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             all,
		"kind:InvoiceJob":              "retry",
		"kind:Invoice":                 "",
		"kind:Invoice*":                "retry",
		"kind:*Job":                    "ready, retry, wrapped, cut off, lost",
		"kind:*i*":                     "retry, wrapped",
		"kind:ReportJob":               "wrapped",
		"kind:Sidekiq::*":              "wrapped",
		"kind:WelcomeJob,ImportJob":    "ready, cut off",
		"-kind:InvoiceJob":             "ready, wrapped, cut off, lost",
		"!kind:InvoiceJob":             "ready, wrapped, cut off, lost",
		"queue:low":                    "lost, broken",
		"queue:l*":                     "lost, broken",
		"-queue:low,default":           "ready, retry",
		"state:retry":                  "retry",
		"state:retry,dead":             "retry, lost, broken",
		"state:running":                "cut off",
		"state:waiting":                "ready",
		"-state:ready":                 "retry, wrapped, cut off, lost, broken",
		"error:CardError":              "retry",
		"error:carderror":              "retry",
		`error:"CardError: your card"`: "retry",
		`error:"declined: OVER"`:       "retry",
		`error:"Error:"`:               "retry",
		`error:limit,boom`:             "retry, lost",
		"error:Stripe::*":              "retry",
		"error:stripe::*":              "",
		"error:*":                      "retry",
		`error:""`:                     "retry, lost",
		"-error:CardError":             "ready, wrapped, cut off, lost",
		"jid:0199aa00bb11cc222d2a0001": "retry",
		"0199aa00bb11cc222d2a0001":     "retry",
		"jid:0001":                     "retry",
		"jid:001":                      "",
		"jid:2d2a34bb,0003":            "ready, cut off",
		"jid:abc":                      "wrapped",
		"tag:eu":                       "ready",
		`tag:"big one"`:                "ready",
		"tag:b*":                       "ready",
		"args.0=42":                    "ready",
		"args.0:42":                    "ready",
		"args.0=4":                     "",
		`args.1="Ada \"L.\" Lovelace"`: "ready",
		"args.2.user.id=7":             "ready",
		"args.2.tags.0=x":              "ready",
		"args.2.tags.1=x":              "",
		"args.2.big=9007199254740993":  "ready",
		"args.2.big=9007199254740992":  "",
		"args.job_class=ReportJob":     "wrapped",
		"args.arguments.0=Zürich":      "wrapped",
		"args.arguments.1=a/b":         "wrapped",
		"args.0=secret":                "",
		"args.99999999999999999999=1":  "",
		"try>3":                        "retry",
		"try>=4":                       "retry",
		"try=1":                        "lost",
		"try:1":                        "lost",
		"try<1":                        "ready, wrapped, cut off",
		"try<=1":                       "ready, wrapped, cut off, lost",
		"after:14:29":                  "ready, lost",
		"after:-6m":                    "ready, retry, lost",
		"before:-6m":                   "wrapped, cut off",
		"before:2026-11-21":            "",
		"after:2026-11-21":             "ready, retry, wrapped, cut off, lost",
		"after:2026-11-21T13:29:00Z":   "ready, lost",
		"before:2026-11-21T08:00":      "wrapped",
		"interrupted:yes":              "cut off, lost",
		"interrupted:no":               "ready, retry, wrapped",
		"-interrupted:yes":             "ready, retry, wrapped",
		`"CardError: your card"`:       "retry",
		"ow":                           "cut off, lost, broken",
		"777":                          "retry, broken",
		"ORDER":                        "retry, broken",
		`"order 777"`:                  "retry, broken",
		"order 777":                    "retry, broken",
		`"777 order"`:                  "",
		"-777":                         "ready, wrapped, cut off, lost",
		"zürich":                       "wrapped",
		"a/b":                          "wrapped",
		`"Ada \"L.\""`:                 "ready",
		"secret":                       "",
		"nl":                           "ready",
		`"row 3"`:                      "cut off",
		"created_at":                   "",
		"Stripe::CardError":            "retry",
		"kind:InvoiceJob state:dead":   "",
		"kind:*Job -error:boom try<2":  "ready, wrapped, cut off",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			q := parse(t, text)
			if got := matches(q); got != want {
				t.Errorf("%s matches %q, want %q", q, got, want)
			}
			again, err := Parse(q.String(), now.Add(99*time.Hour))
			if err != nil {
				t.Fatalf("%s: %v", q, err)
			}
			if again.String() != q.String() || matches(again) != want {
				t.Errorf("%s read again is %s and matches %q", q, again, matches(again))
			}
		})
	}
}

func TestNormalForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"  a   b ":                   "a b",
		"!kind:A":                    "-kind:A",
		`kind:"A"`:                   "kind:A",
		`kind:"A,B",C*`:              `kind:"A,B",C*`,
		`kind:"*"`:                   `kind:"*"`,
		`kind:**`:                    `kind:*`,
		`kind:"a b"*`:                `kind:"a b"*`,
		"after:-2h":                  "after:2026-11-21T11:30:00Z",
		"before:14:00":               "before:2026-11-21T13:00:00Z",
		"before:14:00:07":            "before:2026-11-21T13:00:07Z",
		"after:-1d12h":               "after:2026-11-20T01:30:00Z",
		"before:+1w":                 "before:2026-11-28T13:30:00Z",
		"try:3":                      "try=3",
		"state:waiting":              "state:ready",
		"interrupted:true":           "interrupted:yes",
		`"a:b"`:                      `"a:b"`,
		`a"b:c"`:                     `"ab:c"`,
		"https://x.example":          `"https://x.example"`,
		"14:00":                      `"14:00"`,
		"vm=1":                       `"vm=1"`,
		"-":                          `"-"`,
		"--a":                        `-"-a"`,
		`"\\ \" \n"`:                 `"\\ \" \\n"`,
		`"0199aa00bb11cc222d2a0001"`: `"0199aa00bb11cc222d2a0001"`,
		"0199aa00bb11cc222d2a0001":   "jid:0199aa00bb11cc222d2a0001",
		"args.a.b=c":                 "args.a.b=c",
		`args.0="a b"`:               `args.0="a b"`,
		"args.0=":                    `args.0=""`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			if got := parse(t, text).String(); got != want {
				t.Errorf("got %s want %s", got, want)
			}
		})
	}
}

func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ term, reason, try string }{
		"kind:A knd:B x":   {"knd:B", `unknown field "knd"`, "did you mean kind?"},
		"ärger foo:bar":    {"foo:bar", `unknown field "foo"`, "quote it"},
		"tries>3":          {"tries>3", `unknown field "tries"`, "fields are"},
		"-quue:low":        {"-quue:low", `unknown field "quue"`, "did you mean queue?"},
		"kind:":            {"kind:", "no value", "quote it"},
		"kind=A":           {"kind=A", "kind takes a colon", "write kind:A"},
		"kind>A":           {"kind>A", "kind takes a colon", "write kind:A"},
		"try:many":         {"try:many", "not a number of tries", "try>3"},
		"try>":             {"try>", "not a number of tries", "try>3"},
		"state:rety":       {"state:rety", "no such state", "did you mean retry?"},
		"state:done":       {"state:done", "no such state", "not kept"},
		"state:retry,":     {"state:retry,", "no such state", "ready"},
		"after:2h":         {"after:2h", "not a moment", "write -2h"},
		"after:yesterday":  {"after:yesterday", "not a moment", "-1d"},
		"before:25:00":     {"before:25:00", "not a moment", "14:00"},
		"after:-99999999w": {"after:-99999999w", "not a moment", "-1d"},
		"interrupted:2":    {"interrupted:2", "neither yes nor no", "interrupted:yes"},
		"jid:00*":          {"jid:00*", "takes no *", "last digits"},
		"args=7":           {"args=7", "which argument?", "args.0=42"},
		"args..a=7":        {"args..a=7", "which argument?", "args.0=42"},
		`a "b c`:           {`"b c`, "a quote is not closed", "close it"},
		`a "b\" c`:         {`"b\" c`, "a quote is not closed", "close it"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			q, err := Parse(text, now)
			e, ok := errors.AsType[*SyntaxError](err)
			if !ok {
				t.Fatalf("read as %v, %v", q, err)
			}
			if got := text[e.Offset : e.Offset+e.Length]; got != want.term {
				t.Errorf("marks %q, want %q", got, want.term)
			}
			if !strings.Contains(err.Error(), want.reason) || !strings.Contains(err.Error(), want.term) {
				t.Errorf("says %q, want %q", err, want.reason)
			}
			if !strings.Contains(store.Hint(err), want.try) {
				t.Errorf("hints %q, want %q", store.Hint(err), want.try)
			}
		})
	}
}

func TestMade(t *testing.T) {
	t.Parallel()
	for want, q := range map[string]*Query{
		`queue:"a,b"`:          InQueue("a,b"),
		"-queue:q":             NotInQueue("q"),
		"state:ready,running":  InPlaces(store.Ready, store.Keeping),
		"jid:0001,abc":         ForJIDs("0001", "abc"),
		"kind:A queue:q":       parse(t, "kind:A").And(InQueue("q")),
		"":                     {},
		"queue:q state:dead x": InQueue("q").And(InPlaces(store.Dead)).And(parse(t, "x")),
	} {
		if got := q.String(); got != want {
			t.Errorf("got %s want %s", got, want)
		}
		if q.IsZero() != (want == "") {
			t.Errorf("%s: IsZero is %v", want, q.IsZero())
		}
	}
}

func TestTouched(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]time.Time{
		"ready":   time.Unix(1795267800, 0),
		"retry":   time.Unix(1795267500, 5e8),
		"cut off": time.Unix(1795267100, 0),
		"lost":    now.Add(-time.Minute),
		"broken":  now.Add(-48 * time.Hour),
	} {
		e := entries[name]
		job, _ := wire.Parse(e.Payload)
		if got := Touched(&e, job); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", name, got.UTC(), want.UTC())
		}
	}
}

// Reading the same query from its normal form is the same query, whatever it says,
// and so is what its look at the bytes says of a job.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`kind:A,"B C"* -queue:low "order 777" try>=3`, `args.0.user=7 after:-2h !x`, `state:retry,dead error:*Card* jid:0001`,
		`"\\" \" a"b:c" kind:""* version:v1 tag:*`, "interrupted:no before:14:00 \xff \u2028 K",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text, now)
		if err != nil {
			e, ok := errors.AsType[*SyntaxError](err)
			if !ok || e.Offset < 0 || e.Length <= 0 || e.Offset+e.Length > len(text) || e.Reason == "" {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		again, err := Parse(q.String(), now.Add(time.Hour))
		if err != nil {
			t.Fatalf("%q in its normal form %q: %v", text, q, err)
		}
		if diff := cmp.Diff(q.String(), again.String()); diff != "" {
			t.Fatal(diff)
		}
		if matches(q) != matches(again) {
			t.Fatalf("%q matches %q, in its normal form %q", text, matches(q), matches(again))
		}
		for name, e := range entries {
			checkMissed(t, q, name, e)
		}
	})
}

// checkMissed fails if a condition that holds for a job was ruled out by its bytes.
func checkMissed(t *testing.T, q *Query, name string, e store.Entry) {
	job, err := wire.Parse(e.Payload)
	if err != nil {
		return
	}
	for _, term := range q.terms {
		r := raw{entry: &e}
		if term.missed(&r) && term.holds(&subject{entry: e, job: job}) {
			t.Errorf("%s holds for %s and was ruled out", term, name)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	payload := func(i int) []byte {
		return fmt.Appendf(nil, `{"retry":25,"queue":"billing","class":"Billing::InvoiceJob","args":[%d,{"order":"f47ac10b-58cc-4372-a567-0e02b2c3d479","notify":true}],"jid":"0199aa00bb11cc22%08x","created_at":1795289561.689788,"enqueued_at":1795289561.690001,"error_message":"Your card was declined","error_class":"Stripe::CardError","failed_at":1795289592.352494,"retry_count":3,"retried_at":1795289599.544392}`, i, i)
	}
	entries := make([]store.Entry, 1000)
	for i := range entries {
		entries[i] = store.Entry{Place: store.Retrying, Queue: "billing", Payload: payload(i)}
	}
	for _, text := range []string{
		"kind:OtherJob", "error:Timeout", `"order 777"`, "args.0=4242", "jid:ffffffff", "kind:OtherJob error:CardError after:-2h", "try>9", "after:+1h", "before:-1d", "after:-2h",
	} {
		q, err := Parse(text, time.Unix(1795289599, 0))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				q.Match(entries[i%len(entries)])
			}
		})
	}
}

func TestContainsFold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s, text string
		want    bool
	}{
		{"", "a", false}, {"a", "a", true}, {"xA", "a", true}, {"AAB", "ab", true}, {"aa", "aab", false}, {"[\\]", "[", true}, {"{", "[", false}, {"ORDER 77", "order 777", false},
	} {
		if got := containsFold(c.s, c.text); got != c.want || got != bytes.Contains(bytes.ToLower([]byte(c.s)), []byte(c.text)) {
			t.Errorf("%q in %q: %v", c.text, c.s, got)
		}
	}
}

// What a look at the bytes rules out, reading the payload does too.
func FuzzMissed(f *testing.F) {
	for _, e := range entries {
		f.Add(`kind:InvoiceJob error:"Card" "order 777" try>=4 after:-6m args.0=42`, string(e.Payload))
	}
	f.Add("try=1 before:-6m", `{"retry_count":9,"retry_count" : 0,"class":"A","args":[{"retry_count":5},"\"retry_count\":7"],"created_at":1795240000000}`)
	f.Fuzz(func(t *testing.T, text, payload string) {
		q, err := Parse(text, now)
		if err != nil {
			return
		}
		checkMissed(t, q, payload, store.Entry{Place: store.Retrying, Queue: "q", Payload: []byte(payload)})
	})
}
