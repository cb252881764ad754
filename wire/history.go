package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"
)

// historyKey is the one field of a payload that is ebb's own.
const historyKey = "ebb"

const (
	maxEvents = 20  // events that are kept
	maxNote   = 200 // characters of each of an event's texts that are kept
)

// History is what ebb remembers of a job beyond what Sidekiq does. It travels in
// the payload, so it is kept short, as are its keys there.
type History struct {
	Interruptions int             // n: times it was cut off, by whatever cause
	Crashes       int             // x: of these, times its process vanished while it ran
	Events        []Event         // log: newest last; use Add
	Checkpoint    json.RawMessage // cp: the handler's own value, verbatim
	Progress      *Progress       // pr
	Timeout       time.Duration   // to: how long one run may take
	Expires       time.Time       // exp: not to be begun after this
	Snoozes       int             // z: times it asked to run later
	NoArgs        bool            // hide: its arguments are not for people to see
	Suspect       bool            // s: processes that ran it have died; each runs one such job at a time
	Settled       bool            // sd: a suspect that has run for a while without harm
	Extra         []Field         // what a newer ebb added, kept as it is
}

// Event is one thing that happened to a job.
type Event struct {
	At    time.Time // t
	What  string    // w: interrupted, rescued, resumed, snoozed, yielded, buried
	Cause string    // c: deploy, crash and the like
	By    string    // by: the process that saw it
	Note  string    // m: of a rescue, the process that was lost
	Alone bool      // a: it was the only suspect that the process held
	Extra []Field   // what a newer ebb added, kept as it is
}

// Progress is how far a job says it is.
type Progress struct {
	Done  int64  // d
	Total int64  // n
	Note  string // m
}

// IsZero reports whether there is nothing to remember.
func (h History) IsZero() bool {
	return h.Interruptions == 0 && h.Crashes == 0 && len(h.Events) == 0 && len(h.Checkpoint) == 0 &&
		h.Progress == nil && h.Timeout == 0 && h.Expires.IsZero() && h.Snoozes == 0 && !h.NoArgs && !h.Suspect && !h.Settled && len(h.Extra) == 0
}

// Add notes an event. Of more than 20 the first, which tells how it began, and
// the last 19 are kept, and of each of its texts 200 characters. Copies of h made
// before are not changed.
func (h *History) Add(e Event) {
	e.What, e.Cause = cut(e.What, maxNote), cut(e.Cause, maxNote)
	e.By, e.Note = cut(e.By, maxNote), cut(e.Note, maxNote)

	events := make([]Event, 0, min(len(h.Events)+1, maxEvents))
	old := h.Events
	if surplus := len(old) + 1 - maxEvents; surplus > 0 {
		events = append(events, old[0])
		old = old[1+surplus:]
	}
	h.Events = append(append(events, old...), e)
}

// MarshalJSON writes h as it is in a payload.
func (h History) MarshalJSON() ([]byte, error) { return h.append(nil), nil }

// UnmarshalJSON reads h as from a payload. A member of the wrong type is left
// out; what is no object at all is an error.
func (h *History) UnmarshalJSON(data []byte) error {
	read, ok := readHistory(bytes.Clone(data))
	if !ok {
		return errors.New("wire: read history: not an object")
	}
	*h = read
	return nil
}

func (h *History) append(dst []byte) []byte {
	o := object{dst: append(dst, '{')}
	o.int("n", int64(h.Interruptions))
	o.int("x", int64(h.Crashes))
	if len(h.Events) > 0 {
		o.key("log")
		o.dst = append(o.dst, '[')
		for i, e := range h.Events {
			if i > 0 {
				o.dst = append(o.dst, ',')
			}
			o.dst = e.append(o.dst)
		}
		o.dst = append(o.dst, ']')
	}
	if valid(h.Checkpoint, 2) {
		o.key("cp")
		o.dst = append(o.dst, h.Checkpoint...)
	}
	if h.Progress != nil {
		o.key("pr")
		o.dst = h.Progress.append(o.dst)
	}
	if h.Timeout > 0 {
		o.key("to")
		o.dst = appendSeconds(o.dst, h.Timeout)
	}
	o.time("exp", h.Expires)
	o.int("z", int64(h.Snoozes))
	if h.NoArgs {
		o.verbatim("hide", "true")
	}
	if h.Suspect {
		o.verbatim("s", "true")
	}
	if h.Settled {
		o.verbatim("sd", "true")
	}
	o.fields(h.Extra)
	return append(o.dst, '}')
}

func (e *Event) append(dst []byte) []byte {
	o := object{dst: append(dst, '{')}
	o.time("t", e.At)
	o.string("w", e.What)
	o.string("c", e.Cause)
	o.string("by", e.By)
	o.string("m", e.Note)
	if e.Alone {
		o.verbatim("a", "true")
	}
	o.fields(e.Extra)
	return append(o.dst, '}')
}

func (p *Progress) append(dst []byte) []byte {
	o := object{dst: append(dst, '{')}
	o.int("d", p.Done)
	o.int("n", p.Total)
	o.string("m", p.Note)
	return append(o.dst, '}')
}

// readHistory reads the value of the field "ebb". Of an object whatever can be
// read is; any other value is somebody else's, and ok is false.
func readHistory(value []byte) (h History, ok bool) {
	var buf [fieldsOnStack]field
	fields, _, fault := scan(buf[:0], value)
	if fault != nil {
		return h, false
	}
	for _, f := range fields {
		value := value[f.value:f.end:f.end]
		switch f.key {
		case "n":
			h.Interruptions = count(value)
		case "x":
			h.Crashes = count(value)
		case "log":
			h.Events = readEvents(value)
		case "cp":
			h.Checkpoint = value
		case "pr":
			h.Progress = readProgress(value)
		case "to":
			h.Timeout = duration(value)
		case "exp":
			h.Expires = instant(value)
		case "z":
			h.Snoozes = count(value)
		case "hide":
			h.NoArgs = value[0] == 't'
		case "s":
			h.Suspect = value[0] == 't'
		case "sd":
			h.Settled = value[0] == 't'
		default:
			h.Extra = append(h.Extra, Field{f.key, value})
		}
	}
	return h, true
}

func count(value []byte) int {
	n, _ := integer(value)
	return max(n, 0)
}

func readEvents(value []byte) (events []Event) {
	var buf [fieldsOnStack]field
	for element := range elements(value) {
		fields, _, fault := scan(buf[:0], element)
		if fault != nil {
			continue
		}
		var e Event
		for _, f := range fields {
			value := element[f.value:f.end:f.end]
			switch f.key {
			case "t":
				e.At = instant(value)
			case "w":
				e.What = text(value)
			case "c":
				e.Cause = text(value)
			case "by":
				e.By = text(value)
			case "m":
				e.Note = text(value)
			case "a":
				e.Alone = value[0] == 't'
			default:
				e.Extra = append(e.Extra, Field{f.key, value})
			}
		}
		events = append(events, e)
	}
	return events
}

func readProgress(value []byte) *Progress {
	var buf [fieldsOnStack]field
	fields, _, fault := scan(buf[:0], value)
	if fault != nil {
		return nil
	}
	p := new(Progress)
	for _, f := range fields {
		value := value[f.value:f.end]
		switch f.key {
		case "d":
			p.Done, _ = strconv.ParseInt(alias(value), 10, 64)
		case "n":
			p.Total, _ = strconv.ParseInt(alias(value), 10, 64)
		case "m":
			p.Note = text(value)
		}
	}
	return p
}
