package wire

import (
	"strconv"
	"unicode/utf8"
)

// appendPlain appends value in the form in which Ruby writes it: without white space,
// with no more escapes than there must be, and with exponents as Ruby has them. Its API
// moves a scheduled job by the bytes that it would write itself. Digits stay as they
// are, and so does what is no JSON.
func appendPlain(dst, value []byte) []byte {
	if !valid(value, 1) {
		return append(dst, value...)
	}
	for i := 0; i < len(value); {
		switch c := value[i]; {
		case c == '"':
			n := 0
			dst, n = appendPlainString(dst, value[i:])
			i += n
			continue
		case c == 'e' || c == 'E':
			if last := value[i-1]; '0' <= last && last <= '9' {
				n := 0
				dst, n = appendExponent(dst, value[i:])
				i += n
				continue
			}
			dst = append(dst, c) // of true and false
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			dst = append(dst, c)
		}
		i++
	}
	return dst
}

// appendPlainString appends the string at the start of b and returns how much of b it
// was.
func appendPlainString(dst, b []byte) ([]byte, int) {
	dst = append(dst, '"')
	for i := 1; ; {
		c := b[i]
		switch {
		case c == '"':
			return append(dst, '"'), i + 1
		case c != '\\':
			dst = append(dst, c)
			i++
			continue
		}
		var room [utf8.UTFMax]byte
		meant, n := appendUnescaped(room[:0], b[i+1:])
		switch {
		case len(meant) == 1 && special[meant[0]]:
			dst = appendEscaped(dst, meant[0])
		case string(meant) == "\uFFFD" && b[i+2] != 'f' && b[i+2] != 'F': // half a pair
			dst = append(dst, b[i:i+1+n]...)
		default:
			dst = append(dst, meant...)
		}
		i += 1 + n
	}
}

// appendExponent appends the exponent at the start of b, whose mantissa dst ends with,
// and returns how much of b it was. Ruby writes one only of numbers that are large or
// small, after one digit and a point.
func appendExponent(dst, b []byte) ([]byte, int) {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	start, end := len(dst), 2
	for start > 0 && (dst[start-1] == '.' || digit(dst[start-1])) {
		start--
	}
	for end < len(b) && digit(b[end]) {
		end++
	}
	mantissa := dst[start:]
	n, err := strconv.Atoi(alias(b[1:end]))
	if err != nil || -5 < n && n < 16 || mantissa[0] == '0' || len(mantissa) > 1 && mantissa[1] != '.' {
		return append(dst, b[:end]...), end
	}
	if len(mantissa) == 1 {
		dst = append(dst, ".0"...)
	}
	sign := byte('+')
	if n < 0 {
		sign, n = '-', -n
	}
	dst = append(dst, 'e', sign)
	if n < 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10), end
}
