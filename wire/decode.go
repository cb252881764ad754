package wire

import (
	"bytes"
	"errors"
	"iter"
	"math"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// What is below reads single values that the scanner has accepted: they are
// never empty and never broken. A value of another type is the zero value.

// text returns a string's content. Without escapes it shares the value's
// memory. Bytes that are not UTF-8 stay as they are: they may be part of the name
// of a queue that somebody else made.
func text(value []byte) string {
	if value[0] != '"' {
		return ""
	}
	body := value[1 : len(value)-1]
	i := bytes.IndexByte(body, '\\')
	if i < 0 {
		return alias(body)
	}
	out := make([]byte, 0, len(body))
	for i >= 0 {
		out = append(out, body[:i]...)
		var n int
		out, n = appendUnescaped(out, body[i+1:])
		body = body[i+1+n:]
		i = bytes.IndexByte(body, '\\')
	}
	return alias(append(out, body...))
}

// appendUnescaped appends what the escape at the start of b stands for, b being
// what follows the backslash, and returns how much of b that was.
func appendUnescaped(dst, b []byte) ([]byte, int) {
	switch b[0] {
	case 'b':
		return append(dst, '\b'), 1
	case 'f':
		return append(dst, '\f'), 1
	case 'n':
		return append(dst, '\n'), 1
	case 'r':
		return append(dst, '\r'), 1
	case 't':
		return append(dst, '\t'), 1
	case 'u':
		r, _ := hex4(b[1:])
		if utf16.IsSurrogate(r) {
			if len(b) > 6 && b[5] == '\\' && b[6] == 'u' {
				if low, ok := hex4(b[7:]); ok {
					if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
						return utf8.AppendRune(dst, pair), 11
					}
				}
			}
			r = utf8.RuneError // half a pair
		}
		return utf8.AppendRune(dst, r), 5
	default:
		return append(dst, b[0]), 1
	}
}

// hex4 reads the four hex digits at the start of b.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// texts returns the strings in an array, without what else is in it.
func texts(value []byte) (list []string) {
	for element := range elements(value) {
		if element[0] == '"' {
			list = append(list, text(element))
		}
	}
	return list
}

// elements yields the elements of an array, nothing of another value.
func elements(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if value[0] != '[' {
			return
		}
		s := scanner{data: value}
		for more := s.open(']'); more; more = s.next(']') {
			start := s.pos
			if !s.skip(1) || !yield(value[start:s.pos:s.pos]) {
				return
			}
		}
	}
}

// integer returns a number that is written as one. Beyond what anybody counts to
// it stops, so that one more never overflows.
func integer(value []byte) (n int, ok bool) {
	const most = 1 << 30
	n, err := strconv.Atoi(alias(value))
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return min(max(n, -most), most), true
}

// duration reads seconds. Negative ones are none, and too many are the most
// there can be.
func duration(value []byte) time.Duration {
	sec, err := strconv.ParseFloat(alias(value), 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), sec <= 0:
		return 0
	case sec >= math.MaxInt64/1e9:
		return math.MaxInt64
	}
	return time.Duration(math.Round(sec * 1e9))
}
