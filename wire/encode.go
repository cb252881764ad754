package wire

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// New is a payload to be made. Zero fields are left out, except Kind and Args.
type New struct {
	Kind       string
	JID        string
	Queue      string
	Args       json.RawMessage // an array; nil is the empty one
	Retry      Retry
	RetryQueue string
	RetryFor   time.Duration // written in whole seconds, rounded up
	NoDead     bool
	Backtrace  int // -1 is all lines
	Tags       []string

	Wrapped      string
	DisplayClass string

	CreatedAt  time.Time
	EnqueuedAt time.Time // zero for a job that goes to the scheduled set
	History    History
	Extra      []Field // written in order
}

// Append appends the payload to dst and returns the longer slice. Keys come in
// the order in which Sidekiq writes them, and nothing is escaped for HTML. Args
// and Extra must be valid JSON and are written as Ruby would, every digit kept: a
// payload made of parts that nobody has checked goes through Parse before it is sent.
func (n *New) Append(dst []byte) []byte {
	o := object{dst: append(dst, '{')}
	if n.Retry.mode != retryAbsent {
		o.key("retry")
		o.dst = n.Retry.appendJSON(o.dst)
	}
	o.string("queue", n.Queue)
	switch {
	case n.Backtrace < 0:
		o.verbatim("backtrace", "true")
	case n.Backtrace > 0:
		o.int("backtrace", int64(n.Backtrace))
	}
	if len(n.Tags) > 0 {
		o.key("tags")
		o.dst = appendStrings(o.dst, n.Tags)
	}
	o.string("retry_queue", n.RetryQueue)
	o.int("retry_for", int64(math.Ceil(max(n.RetryFor, 0).Seconds())))
	if n.NoDead {
		o.verbatim("dead", "false")
	}
	o.string("wrapped", n.Wrapped)
	o.string("display_class", n.DisplayClass)
	for _, f := range n.Extra {
		o.key(f.Key)
		o.dst = appendPlain(o.dst, f.Value)
	}
	o.key("args")
	if n.Args == nil {
		o.dst = append(o.dst, "[]"...)
	}
	o.dst = appendPlain(o.dst, n.Args)
	o.key("class")
	o.dst = appendString(o.dst, n.Kind)
	o.string("jid", n.JID)
	o.time("created_at", n.CreatedAt)
	o.time("enqueued_at", n.EnqueuedAt)
	if !n.History.IsZero() {
		o.key(historyKey)
		o.dst = n.History.append(o.dst)
	}
	return append(o.dst, '}')
}

func (r Retry) appendJSON(dst []byte) []byte {
	switch r.mode {
	case retryFalse:
		return append(dst, "false"...)
	case retryTimes:
		return strconv.AppendInt(dst, int64(r.n), 10)
	default:
		return append(dst, "true"...)
	}
}

// object writes the members of one JSON object, each unless it is zero.
type object struct {
	dst     []byte
	started bool
}

func (o *object) key(key string) {
	if o.started {
		o.dst = append(o.dst, ',')
	}
	o.started = true
	o.dst = append(appendString(o.dst, key), ':')
}

func (o *object) string(key, s string) {
	if s != "" {
		o.key(key)
		o.dst = appendString(o.dst, s)
	}
}

func (o *object) int(key string, n int64) {
	if n != 0 {
		o.key(key)
		o.dst = strconv.AppendInt(o.dst, n, 10)
	}
}

func (o *object) time(key string, t time.Time) {
	if !t.IsZero() {
		o.key(key)
		o.dst = appendTime(o.dst, t)
	}
}

func (o *object) verbatim(key, value string) {
	o.key(key)
	o.dst = append(o.dst, value...)
}

// fields writes members that are valid JSON already.
func (o *object) fields(list []Field) {
	for _, f := range list {
		o.key(f.Key)
		o.dst = append(o.dst, f.Value...)
	}
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// appendString quotes s. A byte that is not part of UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	clean := 0 // up to here all is written
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[clean:i]...), "\uFFFD"...)
				clean = i + 1
			}
			i += size
			continue
		}
		if special[c] {
			dst = appendEscaped(append(dst, s[clean:i]...), c)
			clean = i + 1
		}
		i++
	}
	return append(append(dst, s[clean:]...), '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}
