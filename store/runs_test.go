package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int{
		0: 0, 20*time.Millisecond - 1: 0, 20 * time.Millisecond: 1, 29 * time.Millisecond: 1, 30 * time.Millisecond: 2,
		999 * time.Millisecond: 10, 334 * time.Second: 24, 335 * time.Second: 25, time.Hour: 25,
	} {
		var s Spread
		s.Add(d)
		if s[want] != 1 {
			t.Errorf("%v is counted as %v, not in %d", d, s, want)
		}
	}
}

func TestRunsSince(t *testing.T) {
	t.Parallel()
	was := Runs{Kind: "A", Ended: 3, Failed: 1, Took: time.Second, Spread: Spread{2: 2}}
	now := Runs{Kind: "A", Ended: 7, Failed: 2, Took: 3 * time.Second, Spread: Spread{2: 3, 25: 2}}
	want := Runs{Kind: "A", Ended: 4, Failed: 1, Took: 2 * time.Second, Spread: Spread{2: 1, 25: 2}}
	if diff := cmp.Diff(want, now.Since(was)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
