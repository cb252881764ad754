package stopseq

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	const (
		s = time.Second
		h = time.Hour
	)
	for _, test := range []struct {
		name, text string
		grace      time.Duration
		want       []time.Duration // where each step ends
	}{
		{"no grace known", "TSTP;idle<=1h;TERM;25s;KILL", 0, []time.Duration{0, h, h, h + 25*s, h + 25*s}},
		{"grace to spare", "TSTP;idle<=1h;TERM;25s;KILL", 2 * h, []time.Duration{0, h, h, h + 25*s, h + 25*s}},
		{"idle gives way", "TSTP;idle<=1h;TERM;25s;KILL", 120 * s, []time.Duration{0, 93 * s, 93 * s, 118 * s, 118 * s}},
		{"what follows takes all", "TSTP;idle<=1h;TERM;25s;KILL", 20 * s, []time.Duration{0, 0, 0, 25 * s, 25 * s}},
		{"nothing follows but TERM", "TSTP;idle<=1h;TERM", 30 * s, []time.Duration{0, 28 * s, 28 * s}},
		{"a wait goes past the grace", "TSTP;1h;TERM;10s;KILL", 30 * s, []time.Duration{0, h, h, h + 10*s, h + 10*s}},
		{"idle behind that has no time", "TSTP;1h;idle<=1h;TERM", 30 * s, []time.Duration{0, h, h, h}},
		{"a wait between", "TSTP;idle<=1h;5s;TERM;20s", 60 * s, []time.Duration{0, 33 * s, 38 * s, 38 * s, 58 * s}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []time.Duration
			from := time.Duration(0)
			for i, hour := range parse(t, test.text).Plan(test.grace) {
				if hour.From != from {
					t.Errorf("step %d begins at %v, when the one before ends at %v", i, hour.From, from)
				}
				from = hour.To
				got = append(got, hour.To)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}
