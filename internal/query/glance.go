package query

import (
	"bytes"
	"math"
	"strconv"
)

// glance is what a quick walk over a payload's fields finds. It believes that the
// payload is JSON: of one that is not it may tell anything, but such a payload
// matches nothing that is asked by it.
type glance struct {
	unclear bool      // it must be read to be judged
	times   [4][]byte // as they are written
	count   int       // retry_count; -1: absent
}

// touched is the latest of its times, in seconds; 0: none.
func (g *glance) touched() (last float64) {
	for _, value := range g.times {
		last = max(last, seconds(value))
	}
	return last
}

func glanceAt(payload []byte) (g glance) {
	g.count = -1
	s := skimmer{data: payload}
	if s.next() != '{' {
		return glance{unclear: true}
	}
	for s.pos++; s.next() == '"'; {
		key := s.value()
		if s.next() != ':' || bytes.IndexByte(key, '\\') >= 0 {
			return glance{unclear: true}
		}
		s.pos++
		s.next()
		value := s.value()
		switch string(key) {
		case `"retry_count"`:
			g.count = -1
			if n, err := strconv.Atoi(string(value)); err == nil && n >= 0 {
				g.count = n
			}
		case `"created_at"`:
			g.times[0] = value
		case `"enqueued_at"`:
			g.times[1] = value
		case `"failed_at"`:
			g.times[2] = value
		case `"retried_at"`:
			g.times[3] = value
		case `"ebb"`:
			g.unclear = true
			return g
		}
		if s.next() == ',' {
			s.pos++
		}
	}
	return g
}

// seconds reads a time in any of its forms, 0 if it is none.
func seconds(value []byte) float64 {
	if len(value) == 0 || value[0] < '0' || value[0] > '9' {
		return 0
	}
	t, err := strconv.ParseFloat(string(value), 64)
	if err != nil || math.IsInf(t, 0) {
		return 0
	}
	if t > 1e11 && !bytes.ContainsAny(value, ".eE") {
		t /= 1e3
	}
	return t
}

// skimmer walks over JSON without checking it.
type skimmer struct {
	data []byte
	pos  int
}

// next returns the next byte that is not space, 0 at the end.
func (s *skimmer) next() byte {
	for ; s.pos < len(s.data); s.pos++ {
		if c := s.data[s.pos]; c > ' ' {
			return c
		}
	}
	return 0
}

// value passes over one value and returns it.
func (s *skimmer) value() []byte {
	start, depth := s.pos, 0
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case '"':
			s.str()
			if depth == 0 {
				return s.data[start:s.pos]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				s.pos++
				return s.data[start:s.pos]
			}
			if depth < 0 {
				return s.data[start:s.pos]
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return s.data[start:s.pos]
			}
		}
		s.pos++
	}
	return s.data[start:]
}

// str passes over a string.
func (s *skimmer) str() {
	for s.pos++; ; {
		i := bytes.IndexByte(s.data[s.pos:], '"')
		if i < 0 {
			s.pos = len(s.data)
			return
		}
		s.pos += i + 1
		slashes := 0
		for k := s.pos - 2; k >= 0 && s.data[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return
		}
	}
}
