// Package wire is the job as it travels: the JSON object that Sidekiq's clients
// and processes leave for each other, in the forms of versions 6, 7 and 8.
//
// A payload is one JSON object. Two of its fields must be there: "class", the
// job's kind, and "args", an array. Nearly always there are "jid", by which
// people find the job again, "queue", where it goes when it comes back from one
// of the sets, and "retry": true for the reader's own limit, a number for a limit
// of one's own, false for a job that fails once and is forgotten. A time to run
// at is not in the payload; it is the score in the scheduled set. A job that
// failed carries the account of it along: "error_class", "error_message",
// "failed_at" for the first time and "retried_at" for the last, and
// "retry_count", which is 0 after the first failure.
//
// Anything else is somebody's: a middleware's, a plug-in's, a newer version's.
// So a payload is never decoded and encoded again. [Parse] reads it in one pass
// that checks all of it, [Job.With] writes the fields that change in their place
// and new ones at the end, and every other byte, order, spacing, duplicate and
// number too large for a float64 included, stays what it was. Of a key that is
// there twice the last one counts, as in Ruby, and it is the one replaced.
//
// Times are where versions differ. 6 and 7 write seconds as a float, 8 writes
// milliseconds as an integer; 8 reads both and tells them apart by the point,
// the others read seconds only. So this package writes float seconds to the
// microsecond, always with the point and otherwise as Ruby would, and reads a number
// without point or exponent beyond 1e11 as milliseconds and any other as seconds.
//
// What ebb itself remembers of a job, its interruptions, checkpoint and
// progress, is one more field, "ebb", of the type [History]. A job that ran
// undisturbed has none.
//
// Reading is forgiving where Ruby is: an optional field of the wrong type counts
// as absent. What no process could run is a [*PayloadError].
package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// DefaultMaxPayload is how large a payload may be, in bytes, unless told
// otherwise. This package reads and writes any size; clients refuse larger ones.
const DefaultMaxPayload = 1 << 20

// Job is one payload, read. Its strings and Args share memory with the payload,
// which nobody may change afterwards; changing the Job's fields changes no
// payload. A Job may be read by several goroutines.
type Job struct {
	Kind       string          // "class"
	JID        string          // "jid"; empty if absent, which Ruby runs too
	Queue      string          // "queue"; empty if absent
	Args       json.RawMessage // "args": always an array
	Retry      Retry           // "retry"
	Count      int             // "retry_count": -1 before the first failure
	RetryQueue string          // "retry_queue"
	RetryFor   time.Duration   // "retry_for": retry until so long after the first failure; 0: no such limit
	NoDead     bool            // "dead" is false: not to the dead set when out of tries
	Backtrace  int             // "backtrace": lines to keep, 0 none, -1 all
	Tags       []string        // "tags"

	Wrapped      string // "wrapped": the job's own class where Kind is Active Job's wrapper
	DisplayClass string // "display_class"
	BID          string // "bid": the batch it belongs to
	ErrorClass   string // "error_class"
	ErrorMessage string // "error_message"

	CreatedAt  time.Time // "created_at"; each time is zero if absent
	EnqueuedAt time.Time // "enqueued_at": absent while scheduled
	FailedAt   time.Time // "failed_at": first failure
	RetriedAt  time.Time // "retried_at": last failure but the first

	History History // "ebb"; zero if absent or not ours

	payload []byte
}

// named are the fields that Job has a name or a method for.
var named = map[string]bool{
	"class": true, "jid": true, "queue": true, "args": true, "retry": true, "retry_count": true,
	"retry_queue": true, "retry_for": true, "dead": true, "backtrace": true, "tags": true,
	"wrapped": true, "display_class": true, "bid": true, "error_class": true, "error_message": true,
	"error_backtrace": true, "created_at": true, "enqueued_at": true, "failed_at": true,
	"retried_at": true, historyKey: true,
}

// PayloadError says why a payload is not a job and where. It quotes nothing of
// the payload, so it may be logged.
type PayloadError struct {
	Offset int // in bytes
	Reason string
}

func (e *PayloadError) Error() string {
	return fmt.Sprintf("wire: parse payload: %s at byte %d", e.Reason, e.Offset)
}

// Parse reads a payload. One that is not a JSON object with a class and an
// array of args, as a whole, is a *PayloadError; the Job returned beside it then
// holds what came before the fault, so that it can be shown and buried by name.
func Parse(payload []byte) (*Job, error) {
	var buf [fieldsOnStack]field
	fields, end, fault := scan(buf[:0], payload)

	j := &Job{Count: -1, payload: payload}
	class, args := -1, -1
	for i, f := range fields {
		switch f.key {
		case "class":
			class = i
		case "args":
			args = i
		}
		j.read(f.key, payload[f.value:f.end:f.end])
	}
	if fault == nil {
		fault = j.check(fields, class, args, end)
	}
	if fault != nil {
		return j, fault
	}
	return j, nil
}

// check finds what a payload lacks to be a job. class and args are the places
// of these two among fields, or -1.
func (j *Job) check(fields []field, class, args, end int) *PayloadError {
	switch {
	case class < 0:
		return &PayloadError{end, "no class"}
	case j.payload[fields[class].value] != '"':
		return &PayloadError{fields[class].value, "class is not a string"}
	case j.Kind == "":
		return &PayloadError{fields[class].value, "class is empty"}
	case args < 0:
		return &PayloadError{end, "no args"}
	case j.Args == nil:
		return &PayloadError{fields[args].value, "args is not an array"}
	}
	return nil
}

// read takes one field over. A later one of the same key replaces it, even by
// nothing: the last one counts whatever it holds.
func (j *Job) read(key string, value []byte) {
	switch key {
	case "class":
		j.Kind = text(value)
	case "jid":
		j.JID = text(value)
	case "queue":
		j.Queue = text(value)
	case "args":
		j.Args = nil
		if value[0] == '[' {
			j.Args = value
		}
	case "retry":
		j.Retry = retryOf(value)
	case "retry_count":
		j.Count = -1
		if n, ok := integer(value); ok && n >= 0 {
			j.Count = n
		}
	case "retry_queue":
		j.RetryQueue = text(value)
	case "retry_for":
		j.RetryFor = duration(value)
	case "dead":
		j.NoDead = value[0] == 'f'
	case "backtrace":
		j.Backtrace = backtraceLines(value)
	case "tags":
		j.Tags = texts(value)
	case "wrapped":
		j.Wrapped = text(value)
	case "display_class":
		j.DisplayClass = text(value)
	case "bid":
		j.BID = text(value)
	case "error_class":
		j.ErrorClass = text(value)
	case "error_message":
		j.ErrorMessage = text(value)
	case "created_at":
		j.CreatedAt = instant(value)
	case "enqueued_at":
		j.EnqueuedAt = instant(value)
	case "failed_at":
		j.FailedAt = instant(value)
	case "retried_at":
		j.RetriedAt = instant(value)
	case historyKey:
		j.History, _ = readHistory(value)
	}
}

// Payload returns the bytes the job was parsed from, not a copy.
func (j *Job) Payload() []byte { return j.payload }

// Name is the job's kind for people and metrics: what it asks to be shown as,
// else the class inside an Active Job wrapper, else its kind.
func (j *Job) Name() string { return cmp.Or(j.DisplayClass, j.Wrapped, j.Kind) }

// Extra returns every top-level field that Job has no name for, in order and as
// it is written, a key that is there twice included.
func (j *Job) Extra() []Field {
	var buf [fieldsOnStack]field
	var extra []Field
	fields, _, _ := scan(buf[:0], j.payload)
	for _, f := range fields {
		if !named[f.key] {
			extra = append(extra, Field{f.key, j.payload[f.value:f.end:f.end]})
		}
	}
	return extra
}

// Field is one field of a payload: its key, unquoted, and its value as written.
type Field struct {
	Key   string
	Value json.RawMessage
}

// QueueOf returns the payload's "queue" if it is there and a string. It reads
// less than Parse does and takes payloads that Parse refuses, as far as they can
// be read. The string shares memory with the payload.
func QueueOf(payload []byte) (string, bool) { return stringOf(payload, "queue") }

// JIDOf returns the payload's "jid" as [QueueOf] does its queue.
func JIDOf(payload []byte) (string, bool) { return stringOf(payload, "jid") }

func stringOf(payload []byte, key string) (string, bool) {
	value := last(payload, key)
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	return text(value), true
}

// last returns the value of the last field of that key, or nil.
func last(payload []byte, key string) (value []byte) {
	s := scanner{data: payload}
	if s.space(); s.peek() != '{' {
		return nil
	}
	for more := s.open('}'); more; more = s.next('}') {
		name, ok := s.key()
		start := s.pos
		if !ok || !s.skip(1) {
			break
		}
		if string(name[1:len(name)-1]) == key || bytes.IndexByte(name, '\\') >= 0 && text(name) == key {
			value = payload[start:s.pos:s.pos]
			if !mayName(payload[s.pos:], key) {
				break
			}
		}
	}
	return value
}

// mayName tells whether a field of rest may have that key: only if it stands there, or
// has letters that are written as escapes. To look for that takes less than to read all.
func mayName(rest []byte, key string) bool {
	text := alias(rest)
	return strings.Contains(text, `"`+key+`"`) || strings.Contains(text, `\u`)
}

// Retry is how often a job may be tried again: the field "retry", which is a
// boolean or a number. The zero value, DefaultRetry, is a field that is absent.
type Retry struct {
	mode retryMode
	n    int
}

type retryMode uint8

const (
	retryAbsent retryMode = iota
	retryTrue
	retryFalse
	retryTimes
)

var (
	// DefaultRetry leaves the limit to whoever runs the job; the field is absent.
	DefaultRetry = Retry{}
	// RetryTrue does the same in so many words: the field is true, as Ruby's
	// clients write it.
	RetryTrue = Retry{mode: retryTrue}
	// NoRetry is a job that fails once: it is neither tried again nor kept in the
	// dead set.
	NoRetry = Retry{mode: retryFalse}
)

// RetryTimes allows n retries, that is n+1 runs. With 0, or less, the first
// failure leads to the dead set.
func RetryTimes(n int) Retry { return Retry{retryTimes, max(n, 0)} }

// Limit is the number of retries, def where the payload leaves it open.
// retries is false for NoRetry only: a job with a limit of 0 is buried, one that
// does not retry is dropped.
func (r Retry) Limit(def int) (n int, retries bool) {
	switch r.mode {
	case retryFalse:
		return 0, false
	case retryTimes:
		return r.n, true
	default:
		return def, true
	}
}

// String is the field's value in JSON, or "default" where it is absent.
func (r Retry) String() string {
	switch r.mode {
	case retryTrue:
		return "true"
	case retryFalse:
		return "false"
	case retryTimes:
		return strconv.Itoa(r.n)
	default:
		return "default"
	}
}

func retryOf(value []byte) Retry {
	switch value[0] {
	case 't':
		return RetryTrue
	case 'f':
		return NoRetry
	}
	if n, ok := integer(value); ok {
		return RetryTimes(n)
	}
	return DefaultRetry
}

func backtraceLines(value []byte) int {
	if value[0] == 't' {
		return -1
	}
	n, _ := integer(value)
	return max(n, 0)
}

// alias is b as a string without a copy: payloads are never written to.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
