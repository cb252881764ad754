package wire

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

const (
	// maxSeconds is the end of the year 9999, the last that time.Time can put
	// into JSON.
	maxSeconds = 253402300799
	// millisFrom is where an integer must be milliseconds: 1973 in these, the
	// year 5138 in seconds.
	millisFrom = 1e11
)

// instant reads a time in any of its forms. What is negative, zero, too far off
// or no number is the zero time. Decimals are read one by one to the nanosecond,
// since a float64 of today's seconds is only good to a quarter of a microsecond.
func instant(value []byte) time.Time {
	if value[0] < '0' || value[0] > '9' {
		return time.Time{}
	}
	if bytes.ContainsAny(value, "eE") {
		sec, err := strconv.ParseFloat(alias(value), 64)
		if err != nil || sec > maxSeconds {
			return time.Time{}
		}
		whole, frac := math.Modf(sec)
		return unix(int64(whole), int64(frac*1e9))
	}
	whole, decimals, isFloat := bytes.Cut(value, []byte{'.'})
	n, err := strconv.ParseInt(alias(whole), 10, 64)
	if err != nil {
		return time.Time{}
	}
	if !isFloat && n > millisFrom {
		return unix(n/1e3, n%1e3*1e6)
	}
	nsec, unit := int64(0), int64(1e8)
	for _, c := range decimals[:min(len(decimals), 9)] {
		nsec += int64(c-'0') * unit
		unit /= 10
	}
	return unix(n, nsec)
}

func unix(sec, nsec int64) time.Time {
	if sec > maxSeconds || sec == 0 && nsec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, nsec).UTC()
}

// appendTime writes float seconds of a microsecond's grain. The point is always there:
// without it Sidekiq 8 takes the number for milliseconds. Further than one digit there
// are no zeros at the end: Ruby's API reschedules the member that it would write itself.
func appendTime(dst []byte, t time.Time) []byte {
	micros := max(t.UnixMicro(), 0)
	dst = strconv.AppendInt(dst, micros/1e6, 10)
	dst = append(dst, '.')
	rest := micros % 1e6
	for unit := int64(1e5); ; unit /= 10 {
		dst = append(dst, byte('0'+rest/unit))
		if rest %= unit; rest == 0 {
			return dst
		}
	}
}

// appendSeconds writes a duration as seconds, with decimals only if need be.
func appendSeconds(dst []byte, d time.Duration) []byte {
	return strconv.AppendFloat(dst, d.Seconds(), 'f', -1, 64)
}
