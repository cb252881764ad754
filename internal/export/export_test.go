package export

import (
	"bytes"
	"errors"
	"hash/crc64"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPayloadsComeBackToTheByte(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 14, 2, 11, 400123000, time.UTC)
	for name, payload := range map[string]string{
		"usual":                `{"class":"A","args":[1,"two"],"jid":"01"}`,
		"space inside":         `{ "class" :	"A" , "args":[ 9007199254740993, 1e400 ] }`,
		"a key twice":          `{"class":"A","class":"B","args":[]}`,
		"of Go's escapes":      `{"class":"A","args":["<\u003c&\u2028\/"]}`,
		"characters":           `{"class":"Ä","args":["日本"]}`,
		"several lines":        "{\"class\":\"A\",\n\"args\":[]}",
		"a return":             "{\"class\":\"A\",\r\"args\":[]}",
		"space at the ends":    " {\"class\":\"A\",\"args\":[]}\t",
		"not UTF-8":            "{\"class\":\"\xff\",\"args\":[]}",
		"not JSON":             "not json",
		"half of a payload":    `{"class":"A","args":[`,
		"a newline at the end": "{\"class\":\"A\",\"args\":[]}\n",
		"null":                 "null",
		"nothing":              "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := Record{State: "retry", Queue: "mail<er>s", At: at, Payload: []byte(payload)}
			line := want.Append(nil)
			if n := bytes.Count(line, []byte("\n")); n != 1 || line[len(line)-1] != '\n' {
				t.Fatalf("%d newlines in %q", n, line)
			}
			got, err := Parse(line)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUsualLine(t *testing.T) {
	t.Parallel()
	r := Record{State: "ready", Queue: "default", Payload: []byte(`{"class":"A","args":[]}`)}
	want := `{"state":"ready","queue":"default","payload":{"class":"A","args":[]}}` + "\n"
	if got := string(r.Append(nil)); got != want {
		t.Errorf("got %s want %s", got, want)
	}
	got, err := Parse([]byte(`{"more":[1],"payload":{"class":"A","args":[]}, "queue":"default","state":"ready"}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadLines(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"not JSON":        `state: ready`,
		"cut short":       `{"state":"ready","payload":{"class"`,
		"no payload":      `{"state":"ready","queue":"default"}`,
		"two payloads":    `{"payload":{},"payload_base64":"e30="}`,
		"not Base64":      `{"payload_base64":"%%%"}`,
		"not a moment":    `{"at":"yesterday","payload":{}}`,
		"not an object":   `[]`,
		"state no string": `{"state":1,"payload":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r, err := Parse([]byte(line)); err == nil {
				t.Errorf("read as %+v", r)
			}
		})
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200_000)
	type line struct {
		Text string
		No   int64
		Err  error
	}
	for name, c := range map[string]struct {
		text string
		want []line
	}{
		"nothing":               {"", nil},
		"empty lines":           {"\n\r\n  \n", nil},
		"the last without end":  {"a\nb", []line{{"a", 1, nil}, {"b", 2, nil}}},
		"empty lines count":     {"\na\r\n\n\nb\n", []line{{"a", 2, nil}, {"b", 5, nil}}},
		"longer than a buffer":  {long + "\nb\n", []line{{long, 1, nil}, {"b", 2, nil}}},
		"too long, and on":      {"a\n" + long + long + "\nb\n", []line{{"a", 1, nil}, {"", 2, ErrTooLong}, {"b", 3, nil}}},
		"too long, and the end": {long + long, []line{{"", 1, ErrTooLong}}},
		"as long as may be":     {long + long[:50_000] + "\r\n", []line{{long + long[:50_000], 1, nil}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := NewReader(iotest.HalfReader(strings.NewReader(c.text)), 250_000)
			var got []line
			for {
				text, err := r.Next()
				if err == io.EOF {
					break
				}
				got = append(got, line{string(text), r.Line(), err})
			}
			if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); diff != "" {
				t.Error(diff)
			}
			if r.Offset() != int64(len(c.text)) {
				t.Errorf("offset %d of %d", r.Offset(), len(c.text))
			}
			if want := crc64.Checksum([]byte(c.text), sums); r.Sum() != want {
				t.Errorf("sum %x, want %x", r.Sum(), want)
			}
		})
	}
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader("a\nhalf"), iotest.ErrReader(broken)), 0)
	if text, err := r.Next(); string(text) != "a" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := r.Next(); err != broken {
		t.Errorf("half a line read as %q, %v", text, err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("ready", "q", int64(0), []byte(`{"class":"A","args":[]}`))
	f.Add("dead", "\x00", int64(1795289561689788000), []byte("\xff\n"))
	f.Fuzz(func(t *testing.T, state, queue string, at int64, payload []byte) {
		r := Record{State: state, Queue: queue, Payload: payload}
		if at > 0 {
			r.At = time.Unix(0, at).UTC()
		}
		got, err := Parse(r.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Payload, payload) || !got.At.Equal(r.At) {
			t.Errorf("%+v came back as %+v", r, got)
		}
	})
}
