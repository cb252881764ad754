// Package prose writes numbers, sizes and times as people say them, the same on a
// terminal, in a page and in a log line.
package prose

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Count writes a number with a comma at each thousand.
func Count[N int | int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// Bytes writes a size with the unit that suits it.
func Bytes(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	size, units := float64(n)/step, []string{"KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && size >= step-0.5 {
		size, units = size/step, units[1:]
	}
	if size < 10 {
		return fmt.Sprintf("%.1f %s", size, units[0])
	}
	return fmt.Sprintf("%.0f %s", size, units[0])
}

// Span writes a length of time as people say it, in its largest unit: "12 ms",
// "1.4 s", "6 min", "22 h", "3 d".
func Span(d time.Duration) string {
	if d < 0 {
		return "-" + Span(-d)
	}
	const day = 24 * time.Hour
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 999500*time.Microsecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d.Round(time.Minute)/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d.Round(time.Hour)/time.Hour)
	default:
		return fmt.Sprintf("%d d", d.Round(day)/day)
	}
}

// When says how far a moment is from now: "in 22 h", "2 min ago", "now". The zero
// moment is "".
func When(t, now time.Time) string {
	d := t.Sub(now)
	switch {
	case t.IsZero():
		return ""
	case d > time.Second:
		return "in " + Span(d)
	case d < -time.Second:
		return Span(-d) + " ago"
	default:
		return "now"
	}
}

// Plural returns "1 job", "2 jobs", "2 processes": the word gets its ending unless
// there is just one.
func Plural[N int | int64](n N, word string) string {
	if n == 1 {
		return "1 " + word
	}
	ending := "s"
	if strings.HasSuffix(word, "s") {
		ending = "es"
	}
	return Count(n) + " " + word + ending
}

// Plain makes text that others wrote harmless to a terminal and fit for one line:
// what controls a terminal or turns the direction of writing becomes a visible
// stand-in.
func Plain(s string) string {
	if !strings.ContainsFunc(s, unsafe) && utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unsafe(r):
			return utf8.RuneError
		}
		return r
	}, s)
}

func unsafe(r rune) bool {
	return r != ' ' && !unicode.IsPrint(r)
}
