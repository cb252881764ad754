package query

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/ebbjobs/ebb/wire"
)

// fold is text to be found in any case of letters.
type fold struct {
	lower string
	ascii bool
}

func newFold(text string) fold { return fold{strings.ToLower(text), ascii(text)} }

func (f fold) in(s string) bool {
	switch {
	case f.lower == "":
		return true
	case f.ascii:
		return containsFold(s, f.lower)
	}
	return strings.Contains(strings.ToLower(s), f.lower)
}

// part is the longest piece of the text that is within one string of a payload
// wherever the text is in "class: message", which is put together of two.
func (f fold) part() (longest string) {
	for part := range strings.SplitSeq(f.lower, ": ") {
		if part = strings.Trim(part, ": "); len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

// contains is text anywhere in what people see of a job.
type contains struct {
	text string
	fold fold
	part string
}

func newContains(text string) condition {
	fold := newFold(text)
	return &contains{text, fold, fold.part()}
}

func (c *contains) missed(r *raw) bool {
	return c.fold.ascii && r.lacks(c.part, true) && !c.fold.in(r.entry.Queue)
}

func (c *contains) holds(s *subject) bool {
	j := s.job
	if j == nil {
		return c.fold.in(string(s.entry.Payload)) || c.fold.in(s.entry.Queue)
	}
	for _, part := range []string{j.Kind, j.Wrapped, j.DisplayClass, j.JID, s.entry.Queue, ErrorOf(j), j.BID} {
		if part != "" && c.fold.in(part) {
			return true
		}
	}
	if slices.ContainsFunc(j.Tags, c.fold.in) {
		return true
	}
	if !j.History.NoArgs && c.fold.inJSON(j.Args) {
		return true
	}
	if p := j.History.Progress; p != nil && c.fold.in(p.Note) {
		return true
	}
	return c.inExtra(j)
}

// inExtra looks through the fields that are a middleware's or a plug-in's.
func (c *contains) inExtra(j *wire.Job) bool {
	for _, f := range j.Extra() {
		if c.fold.inJSON(f.Value) {
			return true
		}
	}
	return false
}

// inJSON looks at a value as it is written and, where its strings have escapes, as
// they read.
func (f fold) inJSON(value json.RawMessage) bool {
	if f.in(string(value)) {
		return true
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		if s, ok := token.(string); ok && f.in(s) {
			return true
		}
	}
}

func (c *contains) String() string {
	t := c.text
	if t == "" || strings.ContainsAny(t, `:=<>"\*-!,`) || strings.ContainsFunc(t, unicode.IsSpace) || wholeJID.MatchString(t) {
		return quote(t)
	}
	return t
}

// argAt reports whether the argument at path reads as want: a string without its
// quotes, any other value as it is written. The path begins with the argument's
// place, or with a name in the first argument.
func argAt(args json.RawMessage, path []string, want string) bool {
	if !isPlace(path[0]) {
		path = append([]string{"0"}, path...)
	}
	value := args
	for _, step := range path {
		value = member(value, step)
		if value == nil {
			return false
		}
	}
	if value[0] == '"' {
		var text string
		return json.Unmarshal(value, &text) == nil && text == want
	}
	return string(value) == want
}

func isPlace(step string) bool {
	for _, r := range step {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// member returns an array's element or an object's value, nil if there is none.
func member(value json.RawMessage, step string) json.RawMessage {
	switch value[0] {
	case '[':
		var list []json.RawMessage
		i, err := strconv.Atoi(step)
		if err == nil && json.Unmarshal(value, &list) == nil && 0 <= i && i < len(list) {
			return list[i]
		}
	case '{':
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) == nil {
			return object[step]
		}
	}
	return nil
}
