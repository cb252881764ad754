package wire

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Patch is a list of changes to a payload's top-level fields. The zero value
// changes nothing. The changes are applied in the order in which their keys were
// first named, and the last one for a key counts.
type Patch struct {
	changes []change
}

// change is a field's new value; nil removes the field.
type change struct {
	key   string
	value []byte
	text  string // a string that reads so already stays as it is written
	ours  bool   // remove only an object: another value of this key is not ours
}

// Set gives the field a value, which must be valid JSON and must not be changed
// before the patch is applied. Anything else is written as null, since by now
// there is nobody to refuse it to, and a payload that cannot be read is worse.
func (p *Patch) Set(key string, value json.RawMessage) {
	if !valid(value, 1) {
		value = json.RawMessage("null")
	}
	p.put(change{key: key, value: value})
}

// SetString sets a string. What is not UTF-8 in it becomes U+FFFD, unless the
// field holds that very string already: such a queue keeps its name.
func (p *Patch) SetString(key, s string) {
	p.put(change{key: key, value: appendString(make([]byte, 0, len(s)+2), s), text: s})
}

// SetInt sets a number.
func (p *Patch) SetInt(key string, n int) {
	p.put(change{key: key, value: strconv.AppendInt(nil, int64(n), 10)})
}

// SetBool sets true or false.
func (p *Patch) SetBool(key string, b bool) {
	p.put(change{key: key, value: strconv.AppendBool(nil, b)})
}

// SetTime sets a time as float seconds, which every version can read. The zero
// time removes the field.
func (p *Patch) SetTime(key string, t time.Time) {
	if t.IsZero() {
		p.Delete(key)
		return
	}
	p.put(change{key: key, value: appendTime(nil, t)})
}

// SetHistory sets what ebb remembers of the job. A zero History removes it, but
// leaves a value that is not ours where it is.
func (p *Patch) SetHistory(h History) {
	if h.IsZero() {
		p.put(change{key: historyKey, ours: true})
		return
	}
	p.put(change{key: historyKey, value: h.append(make([]byte, 0, 256))})
}

// Delete removes the field, each time it is there. One that is absent stays so.
func (p *Patch) Delete(key string) { p.put(change{key: key}) }

func (p *Patch) put(c change) {
	if i := slices.IndexFunc(p.changes, func(old change) bool { return old.key == c.key }); i >= 0 {
		p.changes[i] = c
		return
	}
	p.changes = append(p.changes, c)
}

// on returns what becomes of a value that is there, nil if it goes. last says
// that no later field has its key; an earlier one's value counts for nothing.
func (c *change) on(old []byte, last bool) []byte {
	switch {
	case c.value == nil && (!c.ours || old[0] == '{'):
		return nil
	case c.value == nil, !last, c.text != "" && c.text == text(old):
		return old
	default:
		return c.value
	}
}

// With returns the payload with the changes made: values replaced in their
// place, new fields at the end in the patch's order, all else byte for byte as it
// was. The job itself stays as it is. A payload that is no JSON object cannot be
// changed and is returned as it is, and so is any with an empty patch.
func (j *Job) With(p *Patch) []byte { return splice(j.payload, p.changes) }

// WithHistory returns the payload with the history h, as [Patch.SetHistory]
// sets it.
func (j *Job) WithHistory(h History) []byte {
	var p Patch
	p.SetHistory(h)
	return j.With(&p)
}

// Stamp returns the payload of a job that goes to a queue: enqueued_at is now,
// and queue, unless it is empty, is where it goes. It never fails: a payload that
// cannot be read is returned unchanged, for whoever fetches it to deal with.
func Stamp(payload []byte, queue string, now time.Time) []byte {
	var when [24]byte
	changes := [2]change{{key: "enqueued_at", value: appendTime(when[:0], now)}}
	if queue == "" {
		return splice(payload, changes[:1])
	}
	var name [64]byte
	changes[1] = change{key: "queue", value: appendString(name[:0], queue), text: queue}
	return splice(payload, changes[:])
}

// splice applies changes to a payload.
func splice(payload []byte, changes []change) []byte {
	if len(changes) == 0 {
		return payload
	}
	var buf [fieldsOnStack]field
	fields, end, fault := scan(buf[:0], payload)
	if fault != nil {
		return payload
	}
	size := len(payload)
	for i := range changes {
		size += len(changes[i].key) + len(changes[i].value) + len(`,"":`)
	}
	out := make([]byte, 0, size)

	// A field goes with what separates it from the one before. The first field
	// that stays takes the place of the very first, which has no comma.
	first := end
	if len(fields) > 0 {
		first = fields[0].start
	}
	out = append(out, payload[:first]...)
	empty, done := true, first
	for i, f := range fields {
		value := payload[f.value:f.end]
		if c := find(changes, f.key); c != nil {
			value = c.on(value, !again(fields[i+1:], f.key))
		}
		if value == nil {
			done = f.end
			continue
		}
		from := done
		if empty {
			from, empty = f.start, false
		}
		out = append(out, payload[from:f.value]...)
		out = append(out, value...)
		done = f.end
	}
	for _, c := range changes {
		if c.value == nil || again(fields, c.key) {
			continue
		}
		if !empty {
			out = append(out, ',')
		}
		empty = false
		out = append(appendString(out, c.key), ':')
		out = append(out, c.value...)
	}
	return append(out, payload[done:]...)
}

func find(changes []change, key string) *change {
	for i := range changes {
		if changes[i].key == key {
			return &changes[i]
		}
	}
	return nil
}

// again reports whether key is among fields.
func again(fields []field, key string) bool {
	for i := range fields {
		if fields[i].key == key {
			return true
		}
	}
	return false
}
