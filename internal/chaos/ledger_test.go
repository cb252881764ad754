package chaos

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ebbjobs/ebb/internal/notes"
)

var zero = time.Unix(1000, 0)

func at(second float64) time.Time { return zero.Add(time.Duration(second * float64(time.Second))) }

// ledgerOf is one of notes such as "1.5 w1 begun a 3": when, by whom, what, which job,
// and a number if it means something.
func ledgerOf(t *testing.T, text string, boots ...*boot) *ledger {
	t.Helper()
	l := newLedger()
	for _, b := range boots {
		l.boots[b.name] = b
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		words := append(strings.Fields(line), "0")
		second, err := strconv.ParseFloat(words[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(words[4], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		l.note(notes.Note{At: at(second), By: words[1], What: words[2], Job: words[3], N: n})
	}
	return l
}

func TestTally(t *testing.T) {
	t.Parallel()
	// Each is a process that lived from 0 to its end, if that is not 0, and what was
	// done to it from when to when.
	lived := func(name string, end float64, deeds ...*deed) *boot {
		b := &boot{name: name, started: at(0), deeds: deeds}
		if end != 0 {
			b.ended = at(end)
		}
		return b
	}
	done := func(f Fault, from, to float64) *deed { return &deed{fault: f, at: at(from), over: at(to)} }
	const twiceTo = `
		0 p accepted a
		1 w1 begun a
		2 w1 ended a
		5 w2 begun a
		6 w2 ended a`
	for name, tt := range map[string]struct {
		notes string
		boots []*boot
		store []*deed
		want  Tally
	}{
		"done": {
			notes: "0 p asked a\n0 p accepted a\n1 w1 begun a\n2 w1 ended a",
			want:  Tally{Accepted: 1, Done: 1},
		},
		"lost": {
			notes: "0 p asked a\n0 p accepted a\n0 p accepted b\n1 w1 begun b\n2 w1 ended b",
			want:  Tally{Accepted: 2, Done: 1, Lost: 1},
		},
		"lost while it ran": {
			notes: "0 p accepted a\n1 w1 begun a",
			boots: []*boot{lived("w1", 3, done(Kill, 3, 3))},
			want:  Tally{Accepted: 1, Lost: 1, Cut: 1},
		},
		"nobody knows whether it was accepted": {
			notes: "0 p asked a\n3 p refused a\n0 p asked b",
			want:  Tally{Unsure: 2},
		},
		"it was": {
			notes: "0 p asked a\n3 p refused a\n1 w1 begun a\n2 w1 ended a",
			want:  Tally{Accepted: 1, Done: 1},
		},
		"asked for again": {
			notes: "0 p accepted a\n1 w1 begun a\n2 w1 again a\n3 w1 begun a\n4 w1 again a\n5 w2 begun a\n6 w2 ended a",
			want:  Tally{Accepted: 1, Done: 1},
		},
		"killed": {
			notes: "0 p accepted a\n1 w1 begun a\n4.5 w2 begun a\n6 w2 ended a",
			boots: []*boot{lived("w1", 3, done(Kill, 3, 3.4))},
			want: Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1, Cut: 1,
				Recovery: Recovery{Samples: 1, P50: 1.5, P99: 1.5, Max: 1.5}},
		},
		"killed twice": {
			notes: "0 p accepted a\n1 w1 begun a\n4 w2 begun a\n10 w3 begun a\n11 w3 ended a",
			boots: []*boot{lived("w1", 3, done(Kill, 3, 3.4)), lived("w2", 5, done(Kill, 5, 5.4))},
			want: Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1, Cut: 2,
				Recovery: Recovery{Samples: 1, P50: 1, P99: 1, Max: 1}, Held: Recovery{Samples: 1, P50: 5, P99: 5, Max: 5}},
		},
		"killed after it had asked for another run": {
			notes: "0 p accepted a\n0.5 w1 begun a\n0.8 w1 again a\n1 w1 begun a\n4 w2 begun a\n5 w2 ended a",
			boots: []*boot{lived("w1", 3.2, done(Kill, 3, 3.4))},
			want: Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1, Cut: 1,
				Recovery: Recovery{Samples: 1, P50: 1, P99: 1, Max: 1}},
		},
		"taken before its holder was killed": {
			notes: "0 p accepted a\n1 w1 begun a\n2 w2 begun a\n4 w2 ended a",
			boots: []*boot{lived("w1", 3, done(Kill, 3, 3.4))},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1, Cut: 1},
		},
		"its process ended, and nobody has done that": {
			notes: "0 p accepted a\n1 w1 begun a\n4 w2 begun a\n6 w2 ended a",
			boots: []*boot{lived("w1", 3)},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1, Cut: 1, Recovery: Recovery{Samples: 1, P50: 1, P99: 1, Max: 1}},
		},
		"taken from a living process": {
			notes: "0 p accepted a\n1 w1 begun a\n2 w2 begun a\n3 w1 taken a\n4 w2 ended a",
			boots: []*boot{lived("w1", 0)},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1},
		},
		"taken from a frozen one": {
			notes: "0 p accepted a\n1 w1 begun a\n4 w2 begun a\n5 w2 ended a\n6 w1 ended a",
			boots: []*boot{lived("w1", 0, done(Freeze, 1.5, 5.5))},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1},
		},
		"frozen before and after": {
			notes: twiceTo,
			boots: []*boot{lived("w1", 0, done(Freeze, 0.2, 0.9), done(Freeze, 5.5, 5.9))},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1},
		},
		"frozen still": {
			notes: twiceTo,
			boots: []*boot{lived("w1", 0, &deed{fault: Freeze, at: at(1.5)})},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1},
		},
		"its verdict was cut off":    {notes: twiceTo, boots: []*boot{lived("w1", 0, done(Mute, 1.9, 4))}, want: Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1}},
		"its verdict was late":       {notes: twiceTo, boots: []*boot{lived("w1", 0, done(Delay, 1.9, 4))}, want: Tally{Accepted: 1, Done: 1, Twice: 1}},
		"stopped":                    {notes: twiceTo, boots: []*boot{lived("w1", 3, done(Stop, 2.5, 3))}, want: Tally{Accepted: 1, Done: 1, Twice: 1}},
		"stopped while nobody heard": {notes: twiceTo, boots: []*boot{lived("w1", 3, done(Stop, 2.5, 3), done(Hold, 2, 5))}, want: Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1}},
		"stopped while the store was away": {
			notes: twiceTo,
			boots: []*boot{lived("w1", 3, done(Stop, 2.5, 3))},
			store: []*deed{done(StoreKill, 2.2, 4)},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1},
		},
		"the store was away": { // which is no reason while the holder lives
			notes: twiceTo,
			boots: []*boot{lived("w1", 0)},
			store: []*deed{done(StoreKill, 2.2, 4)},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1},
		},
		"one of two times is explained": {
			notes: twiceTo + "\n8 w3 begun a\n9 w3 ended a",
			boots: []*boot{lived("w1", 3, done(Kill, 3, 3.4)), lived("w2", 0)},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1},
		},
		"goes on": {
			notes: "0 p accepted a\n1 w1 begun a\n2 w1 saved a 1\n3 w1 saved a 2\n5 w2 begun a 2\n6 w2 ended a",
			boots: []*boot{lived("w1", 4, done(Kill, 4, 4))},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1, Cut: 1, Recovery: Recovery{Samples: 1, P50: 1, P99: 1, Max: 1}},
		},
		"goes back": {
			notes: "0 p accepted a\n1 w1 begun a\n2 w1 saved a 1\n3 w1 saved a 2\n5 w2 begun a 1\n6 w2 ended a",
			boots: []*boot{lived("w1", 4, done(Kill, 4, 4))},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1, Backward: 1, Cut: 1, Recovery: Recovery{Samples: 1, P50: 1, P99: 1, Max: 1}},
		},
		"saves beside its successor": {
			notes: "0 p accepted a\n1 w1 begun a\n2 w1 saved a 1\n5 w2 begun a 1\n5.5 w1 saved a 2\n6 w2 ended a",
			boots: []*boot{lived("w1", 0, done(Freeze, 2.1, 5.2))},
			want:  Tally{Accepted: 1, Done: 1, Twice: 1, Explained: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledgerOf(t, tt.notes, tt.boots...)
			for range 2 { // a count changes nothing
				if diff := cmp.Diff(tt.want, l.tally(tt.store), cmpopts.IgnoreUnexported(Tally{})); diff != "" {
					t.Errorf("-want +got:\n%s\n%s", diff, l.story("a"))
				}
			}
		})
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(200-i)*time.Second)
	}
	if got, want := spread(all), (Recovery{Samples: 200, P50: 100, P99: 198, Max: 200}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := spread(nil); got != (Recovery{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		r  Report
		ok bool
	}{
		"fine":                  {Report{Balanced: true}, true},
		"lost":                  {Report{Balanced: true, Tally: Tally{Lost: 1}}, false},
		"backward":              {Report{Balanced: true, Tally: Tally{Backward: 1}}, false},
		"not balanced":          {Report{}, false},
		"unfinished":            {Report{Balanced: true, Unfinished: 1}, false},
		"interrupted":           {Report{Balanced: true, Unfinished: 1, Interrupted: true}, true},
		"lost and interrupted":  {Report{Balanced: true, Tally: Tally{Lost: 1}, Interrupted: true}, false},
		"twice, for no reason":  {Report{Balanced: true, Tally: Tally{Twice: 1}}, true},
		"nobody knows of a job": {Report{Balanced: true, Tally: Tally{Unsure: 1}}, true},
	} {
		if got := tt.r.OK(); got != tt.ok {
			t.Errorf("%s: %v, want %v", name, got, tt.ok)
		}
	}
}
