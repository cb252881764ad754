package wire

import "bytes"

// maxDepth is how deep a payload may nest. Ruby's reader stops at 100.
const maxDepth = 512

// fieldsOnStack is how many fields can be scanned without allocating.
const fieldsOnStack = 24

// field is where one member of the payload's object lies.
type field struct {
	key        string // unquoted
	start      int    // of the key's first quote
	value, end int    // of the value
}

// scan appends the members of the object that data is to fields. It accepts
// what the JSON grammar accepts, as encoding/json does, nested to maxDepth. On a
// fault it returns what came before. end is where the object's closing brace is.
func scan(fields []field, data []byte) (_ []field, end int, fault *PayloadError) {
	s := scanner{data: data}
	s.space()
	if s.peek() != '{' {
		s.fail("not a JSON object")
		return fields, 0, s.fault
	}
	for more := s.open('}'); more; more = s.next('}') {
		start := s.pos
		key, ok := s.key()
		value := s.pos
		if !ok || !s.skip(1) {
			break
		}
		fields = append(fields, field{text(key), start, value, s.pos})
	}
	if s.fault == nil {
		end = s.pos - 1
		if s.space(); s.pos < len(data) {
			s.fail("more after the end of the object")
		}
	}
	return fields, end, s.fault
}

// valid reports whether data is one JSON value that can stand inside as many
// arrays and objects as depth says.
func valid(data []byte, depth int) bool {
	s := scanner{data: data}
	s.space()
	if !s.skip(depth) {
		return false
	}
	s.space()
	return s.pos == len(data)
}

// scanner walks over JSON. Its methods start at pos, leave it behind what they
// accepted, and return false on the first fault, which they record.
type scanner struct {
	data  []byte
	pos   int
	fault *PayloadError
}

func (s *scanner) fail(reason string) bool {
	if s.pos >= len(s.data) {
		reason = "payload ends too early"
	}
	s.fault = &PayloadError{s.pos, reason}
	return false
}

// peek returns the byte at pos, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// skip accepts any value. depth is how many arrays and objects are open.
func (s *scanner) skip(depth int) bool {
	switch s.peek() {
	case '"':
		return s.str()
	case '{':
		return s.object(depth + 1)
	case '[':
		return s.array(depth + 1)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

func (s *scanner) object(depth int) bool {
	if depth > maxDepth {
		return s.fail("nested too deeply")
	}
	for more := s.open('}'); more; more = s.next('}') {
		if _, ok := s.key(); !ok || !s.skip(depth) {
			return false
		}
	}
	return s.fault == nil
}

func (s *scanner) array(depth int) bool {
	if depth > maxDepth {
		return s.fail("nested too deeply")
	}
	for more := s.open(']'); more; more = s.next(']') {
		if !s.skip(depth) {
			return false
		}
	}
	return s.fault == nil
}

// open enters an array or object and reports whether it holds anything.
func (s *scanner) open(closing byte) bool {
	s.pos++
	if s.space(); s.peek() == closing {
		s.pos++
		return false
	}
	return true
}

// next goes on to the next element or member. It returns false behind the last
// one, and on a fault.
func (s *scanner) next(closing byte) bool {
	switch s.space(); s.peek() {
	case ',':
		s.pos++
		s.space()
		return true
	case closing:
		s.pos++
		return false
	default:
		return s.fail("no comma or closing bracket")
	}
}

// key accepts a member up to its value and returns its key in quotes.
func (s *scanner) key() ([]byte, bool) {
	start := s.pos
	if s.peek() != '"' {
		return nil, s.fail("no key where one must be")
	}
	if !s.str() {
		return nil, false
	}
	key := s.data[start:s.pos]
	if s.space(); s.peek() != ':' {
		return nil, s.fail("no colon after a key")
	}
	s.pos++
	s.space()
	return key, true
}

// str accepts a string. Its bytes need not be UTF-8.
func (s *scanner) str() bool {
	data := s.data
	for i := s.pos + 1; i < len(data); i++ {
		c := data[i]
		if !special[c] {
			continue
		}
		if c == '"' {
			s.pos = i + 1
			return true
		}
		s.pos = i
		if c != '\\' {
			return s.fail("a control character in a string")
		}
		n := escape(data[i+1:])
		if n == 0 {
			return s.fail("a bad escape in a string")
		}
		i += n
	}
	s.pos = len(data)
	return s.fail("")
}

// special are the bytes that mean something inside a string.
var special = func() (table [256]bool) {
	for c := range byte(' ') {
		table[c] = true
	}
	table['"'], table['\\'] = true, true
	return table
}()

// escape returns how many bytes of b, which follow a backslash, belong to its
// escape, 0 if none can.
func escape(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if _, ok := hex4(b[1:]); ok {
			return 5
		}
	}
	return 0
}

func (s *scanner) literal(word string) bool {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return s.fail("no value where one must be")
	}
	s.pos += len(word)
	return true
}

func (s *scanner) number() bool {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	switch c := s.peek(); {
	case c == '0':
		s.pos++
	case '1' <= c && c <= '9':
		s.digits()
	case s.pos == start:
		return s.fail("no value where one must be")
	default:
		return s.fail("a bad number")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return s.fail("a bad number")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.fail("a bad number")
		}
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}
