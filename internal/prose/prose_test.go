package prose

import (
	"testing"
	"time"
)

func TestProse(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for want, got := range map[string]string{
		"0":          Count(0),
		"999":        Count(999),
		"1,000,060":  Count(1000060),
		"-1,204":     Count(int64(-1204)),
		"1023 B":     Bytes(1023),
		"1.5 KiB":    Bytes(1536),
		"1.0 MiB":    Bytes(1<<20 - 1),
		"38 MiB":     Bytes(38 << 20),
		"2048 TiB":   Bytes(2 << 50),
		"0 µs":       Span(0),
		"17 ms":      Span(17 * time.Millisecond),
		"1.0 s":      Span(999600 * time.Microsecond),
		"1.4 s":      Span(1400 * time.Millisecond),
		"10 s":       Span(9960 * time.Millisecond),
		"119 s":      Span(119 * time.Second),
		"6 min":      Span(6*time.Minute + 20*time.Second),
		"22 h":       Span(22 * time.Hour),
		"3 d":        Span(71 * time.Hour),
		"-2 min":     Span(-2 * time.Minute),
		"in 22 h":    When(now.Add(22*time.Hour), now),
		"2 min ago":  When(now.Add(-2*time.Minute), now),
		"now":        When(now.Add(time.Second), now),
		"":           When(time.Time{}, now),
		"1 job":      Plural(1, "job"),
		"1,204 jobs": Plural(1204, "job"),
		"a b":        Plain("a\nb"),
		"a�[2Jb":     Plain("a\x1b[2Jb"),
		"�live":      Plain("\u202elive"),
		"grüße, 你":   Plain("grüße, 你"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
