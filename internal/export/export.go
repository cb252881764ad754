// Package export is the form in which jobs leave a store and come into another:
// JSON lines, one job each.
//
//	{"state":"retry","queue":"mailers","at":"2026-11-21T14:02:11.400123Z","payload":{"class":…}}
//
// The members of a line:
//
//	state           where the job is: ready, scheduled, retry, dead or running
//	queue           where it waits or will run next
//	at              when it is due or, dead, since when it is; absent for the ready and the running
//	payload         the job itself. Between the colon and what follows stand its very bytes
//	payload_base64  the same, in Base64, of a payload that is not JSON in one line of UTF-8
//
// Exactly one of the last two is there. Members that a reader does not know it
// skips, as it does empty lines. A payload read is the payload written, to the
// byte, unless a program in between wrote the line anew.
package export

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Record is one job.
type Record struct {
	State   string
	Queue   string
	At      time.Time // zero: none
	Payload []byte
}

// Append appends r as one line, its newline included, to dst and returns the longer
// slice.
func (r *Record) Append(dst []byte) []byte {
	dst = appendString(append(dst, `{"state":`...), r.State)
	dst = appendString(append(dst, `,"queue":`...), r.Queue)
	if !r.At.IsZero() {
		dst = append(dst, `,"at":"`...)
		dst = r.At.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	if verbatim(r.Payload) {
		dst = append(append(dst, `,"payload":`...), r.Payload...)
	} else {
		dst = append(dst, `,"payload_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, r.Payload)
		dst = append(dst, '"')
	}
	return append(dst, "}\n"...)
}

// verbatim reports whether a payload can stand in a line as it is and be found
// again: space at its ends would be taken for the line's own.
func verbatim(payload []byte) bool {
	return len(bytes.TrimSpace(payload)) == len(payload) && !bytes.ContainsAny(payload, "\r\n") &&
		utf8.Valid(payload) && json.Valid(payload)
}

// appendString quotes s. The name of a queue that is not UTF-8 is changed by it,
// as JSON has no way to write it; the one in the payload stays.
func appendString(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string always can be
	return append(dst, quoted...)
}

// Parse reads one line. The record shares no memory with it.
func Parse(line []byte) (Record, error) {
	var l struct {
		State   string          `json:"state"`
		Queue   string          `json:"queue"`
		At      time.Time       `json:"at"`
		Payload json.RawMessage `json:"payload"`
		Base64  *string         `json:"payload_base64"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return Record{}, fmt.Errorf("export: parse line: %w", err)
	}
	r := Record{State: l.State, Queue: l.Queue, At: l.At, Payload: l.Payload}
	switch {
	case l.Payload != nil && l.Base64 != nil:
		return Record{}, errors.New("export: parse line: both payload and payload_base64")
	case l.Base64 != nil:
		payload, err := base64.StdEncoding.DecodeString(*l.Base64)
		if err != nil {
			return Record{}, fmt.Errorf("export: parse line: payload_base64: %w", err)
		}
		r.Payload = payload
	case l.Payload == nil:
		return Record{}, errors.New("export: parse line: no payload")
	}
	return r, nil
}
