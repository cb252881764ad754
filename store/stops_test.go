package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A process that was taken for gone and came back says itself how it ended.
func TestMergeStopsOfOneThatCameBack(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	rescuer := StopReport{
		ID: "a:1:x", Reason: "vanished", By: "b:2:y", Cause: Lapsed, Heard: noon, Ended: noon.Add(12 * time.Second),
		Jobs: []Fate{{JID: "1", Fate: "rescued"}}, Notes: []string{"1 job given back"},
	}
	own := StopReport{
		ID: "a:1:x", Reason: "SIGTERM", Began: noon.Add(time.Minute), Ended: noon.Add(2 * time.Minute), Grace: time.Minute,
		Phases: []Phase{{Name: "draining"}}, Jobs: []Fate{{JID: "2", Fate: "finished"}},
	}
	want := own
	want.Jobs = []Fate{{JID: "1", Fate: "rescued"}, {JID: "2", Fate: "finished"}}
	want.Notes = rescuer.Notes
	if diff := cmp.Diff(want, MergeStops([]StopReport{rescuer, own})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	later := rescuer
	later.Ended = noon.Add(13 * time.Second)
	if got := MergeStops([]StopReport{rescuer, later}); got.By != "b:2:y" || got.Heard != noon || got.Ended != later.Ended || len(got.Jobs) != 2 {
		t.Errorf("of two rescuers: %+v", got)
	}
}

func TestUncounted(t *testing.T) {
	t.Parallel()
	st := Stats{Scheduled: 5, Retrying: 1, Books: []Books{{Scheduled: 2, Dead: 1}, {Scheduled: 1, Retrying: 1}}}
	for set, want := range map[Place]int64{Scheduled: 2, Retrying: 0, Dead: -1} {
		if got := st.Uncounted(set); got != want {
			t.Errorf("%v: %d, want %d", set, got, want)
		}
	}
}
