package query

import (
	"regexp"
	"strconv"
	"time"
)

func parseAfter(value string, now time.Time) (condition, *SyntaxError) {
	t, err := parseMoment(value, now)
	return &since{t, false}, err
}

func parseBefore(value string, now time.Time) (condition, *SyntaxError) {
	t, err := parseMoment(value, now)
	return &since{t, true}, err
}

// Layouts without a zone are in that of now.
var layouts = []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05"}

// ParseMoment reads a moment as people write it: RFC 3339, a day, an hour of today,
// or how far from now.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	t, err := parseMoment(text, now)
	if err != nil {
		err.Query, err.Length = text, len(text)
		return t, err
	}
	return t, nil
}

func parseMoment(value string, now time.Time) (time.Time, *SyntaxError) {
	value = unquote(value)
	if d, ok := parseOffset(value); ok {
		return now.Add(d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, value); err == nil {
		return t, nil
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, value, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, value); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		}
	}
	e := &SyntaxError{Reason: "not a moment", Try: "write 2026-11-21T14:00:00Z, 2026-11-21, 14:00, -2h or -1d"}
	if _, ok := parseOffset("-" + value); ok {
		e.Try = "write -" + value + " for that long ago"
	}
	return time.Time{}, e
}

var (
	offset = regexp.MustCompile(`^[+-]([0-9]{1,9}(ms|s|m|h|d|w))+$`)
	part   = regexp.MustCompile(`([0-9]+)(ms|s|m|h|d|w)`)
	units  = map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}
)

// parseOffset reads how far something is from now, with its sign: -1d12h.
func parseOffset(text string) (time.Duration, bool) {
	const most = 200 * 365 * 24 * time.Hour
	if !offset.MatchString(text) {
		return 0, false
	}
	sum := time.Duration(0)
	for _, p := range part.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(p[1])
		if err != nil || time.Duration(n) > most/units[p[2]] {
			return 0, false
		}
		if sum += time.Duration(n) * units[p[2]]; sum > most {
			return 0, false
		}
	}
	if text[0] == '-' {
		sum = -sum
	}
	return sum, true
}
