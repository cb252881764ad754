package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestParseLine(t *testing.T) {
	t.Parallel()
	began := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	const payload = `{"class":"A","args":[ 1e400 ],"jid":"j","queue":"q"}`
	type want struct {
		kind, queue, jid string // a jid of * is made up
		payload          string // exactly, unless empty
		at               time.Time
		delay            time.Duration
		later            bool
		err              string
	}
	for name, c := range map[string]struct {
		line string
		want want
	}{
		"a payload":               {payload, want{kind: "A", queue: "q", jid: "j", payload: payload}},
		"a payload without queue": {`{"class":"A","args":[],"jid":"j"}`, want{kind: "A", queue: "default", jid: "j", payload: `{"class":"A","args":[],"jid":"j","queue":"default"}`}},
		"a payload without jid":   {`{"class":"A","args":[]}`, want{kind: "A", queue: "default", jid: "*"}},
		"a payload for later":     {`{"class":"A","args":[],"jid":"j","queue":"q","at":1924995600.5}`, want{kind: "A", queue: "q", jid: "j", payload: `{"class":"A","args":[],"jid":"j","queue":"q"}`, at: began.Add(time.Hour + 500*time.Millisecond), later: true}},
		"a payload for now":       {`{"class":"A","args":[],"jid":"j","queue":"q","at":1}`, want{kind: "A", queue: "q", jid: "j", payload: `{"class":"A","args":[],"jid":"j","queue":"q"}`}},
		"a payload, at is wrong":  {`{"class":"A","args":[],"at":"x"}`, want{err: `"at" is not a number of seconds`}},
		"at inside the arguments": {`{"class":"A","args":[{"at":"x"}],"jid":"j","queue":"q"}`, want{kind: "A", queue: "q", jid: "j", payload: `{"class":"A","args":[{"at":"x"}],"jid":"j","queue":"q"}`}},
		"a payload without args":  {`{"class":"A"}`, want{err: "no args at byte 12"}},
		"a class that is none":    {`{"class":7,"args":[]}`, want{err: "class is not a string at byte 9"}},
		"an export line":          {`{"state":"ready","queue":"x","payload":` + payload + `}`, want{kind: "A", queue: "x", jid: "j", payload: payload}},
		"an export for later":     {`{"state":"scheduled","queue":"q","at":"2031-01-01T01:00:00Z","payload":` + payload + `}`, want{kind: "A", queue: "q", jid: "j", payload: payload, at: began.Add(time.Hour), later: true}},
		"an export of the dead":   {`{"state":"dead","queue":"q","at":"2030-01-01T01:00:00Z","payload":` + payload + `}`, want{kind: "A", queue: "q", jid: "j", payload: payload}},
		"an export in Base64":     {`{"state":"ready","payload_base64":"eyJjbGFzcyI6IkEiLCJhcmdzIjpbXSwicXVldWUiOiJxIn0K"}`, want{kind: "A", queue: "q", payload: "{\"class\":\"A\",\"args\":[],\"queue\":\"q\"}\n"}},
		"an export of no job":     {`{"state":"dead","queue":"q","payload":{"args":[]}}`, want{err: "in the payload: no class at byte 10"}},
		"an export, no queue":     {`{"state":"dead","payload":{"class":"A","args":[]}}`, want{err: "neither the line nor the payload names a queue"}},
		"short":                   {`{"kind":"A"}`, want{kind: "A", queue: "default", jid: "*"}},
		"short, all of it":        {`{"kind":"A","args":[1],"queue":"q","in":"90s","retry":3,"jid":"j","tags":["a","b"]}`, want{kind: "A", queue: "q", jid: "j", delay: 90 * time.Second, later: true}},
		"short, at":               {`{"kind":"A","jid":"j","at":"2031-01-01T01:00:00Z"}`, want{kind: "A", queue: "default", jid: "j", at: began.Add(time.Hour), later: true}},
		"short, at has passed":    {`{"kind":"A","jid":"j","at":"2001-01-01T01:00:00Z"}`, want{kind: "A", queue: "default", jid: "j"}},
		"short, a slip":           {`{"kind":"A","ags":[1]}`, want{err: `unknown field "ags", did you mean "args"?`}},
		"short, a stranger":       {`{"kind":"A","something":[1]}`, want{err: `unknown field "something"; there are kind, args, queue, in, at, retry, jid, tags`}},
		"short, args":             {`{"kind":"A","args":{"a":1}}`, want{err: "push A: the arguments are not a JSON array"}},
		"short, queue":            {`{"kind":"A","queue":"a b"}`, want{err: `push A: queue "a b" has white space or a control character in it`}},
		"short, queue is none":    {`{"kind":"A","queue":7}`, want{err: `"queue" is not a string`}},
		"short, tags":             {`{"kind":"A","tags":"x"}`, want{err: `"tags" is not an array of strings`}},
		"short, in":               {`{"kind":"A","in":"soon"}`, want{err: `"in" is not a span of time such as "10m"`}},
		"short, at is none":       {`{"kind":"A","at":"noon"}`, want{err: `"at" is not a time such as 2031-01-01T06:00:00Z`}},
		"short, both":             {`{"kind":"A","in":"1m","at":"2031-01-01T01:00:00Z"}`, want{err: `"in" and "at" exclude each other`}},
		"short, retry":            {`{"kind":"A","retry":"often"}`, want{err: `"retry": "\"often\"" is neither a number nor true nor false`}},
		"short, no kind":          {`{"kind":""}`, want{err: "push : the kind is empty"}},
		"another object":          {`{"name":"A"}`, want{err: `it is no job: it has neither "class" nor "kind" nor "payload"`}},
		"an array":                {`[1]`, want{err: "it is not a JSON object"}},
		"half an object":          {`{"kind":"A"`, want{err: "it is not a JSON object"}},
		"text":                    {`hello`, want{err: "it is not a JSON object"}},
		"too large":               {`{"class":"A","jid":"j","queue":"q","args":["` + strings.Repeat("x", 1<<20) + `"]}`, want{err: "the payload has 1.0 MiB, and 1.0 MiB are the most"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := []byte(c.line)
			got, err := parseLine(t.Context(), line, began)
			if err != nil {
				if err.Error() != c.want.err {
					t.Fatalf("error %q, want %q", err, c.want.err)
				}
				return
			}
			if c.want.err != "" {
				t.Fatalf("read as %+v, want the error %q", got, c.want.err)
			}
			clear(line) // the reader uses its memory again
			if c.want.jid == "*" && len(got.JID) == 24 {
				c.want.jid = got.JID
			}
			if got.Kind != c.want.kind || got.Queue != c.want.queue || got.JID != c.want.jid || got.later != c.want.later ||
				!got.At.Equal(c.want.at) || got.Delay != c.want.delay {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if c.want.payload != "" && string(got.Payload) != c.want.payload || !json.Valid(got.Payload) {
				t.Errorf("payload %s, want %s", got.Payload, c.want.payload)
			}
		})
	}
}
