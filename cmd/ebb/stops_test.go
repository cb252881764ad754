package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

func TestLifeline(t *testing.T) {
	t.Parallel()
	began := time.Unix(1767225600, 0)
	phases := func(p ...store.Phase) store.StopReport { return store.StopReport{Began: began, Phases: p} }
	for _, test := range []struct {
		name           string
		report         store.StopReport
		unicode, ascii string
	}{
		{"vanished", store.StopReport{Reason: "vanished"}, "●━━✕", "*--X"},
		{"stopped at once", phases(store.Phase{Name: "draining"}), "●━━◒━■", "*--d-#"},
		{"drained", phases(store.Phase{Name: "draining", Took: time.Second}, store.Phase{Name: "leave", Took: time.Millisecond}), "●━━◒━━━━━━━━━━━━━━━■", "*--d---------------#"},
		{"quiet before", phases(store.Phase{Name: "quiet", Took: 2 * time.Second}, store.Phase{Name: "draining", Took: time.Second}), "●━━◐━━━━━━━━━◒━━━━■", "*--q---------d----#"},
		{"cut", phases(store.Phase{Name: "draining", Took: 9 * time.Second}, store.Phase{Name: "end jobs", Took: time.Millisecond}), "●━━◒━━━━━━━━━━━━━┿━■", "*--d-------------!-#"},
		{"a clock that was set", phases(store.Phase{Name: "draining", Took: -time.Second}), "●━━◒━■", "*--d-#"},
		{"a phase of a later release", phases(store.Phase{Name: "dreaming", Took: time.Second}), "●━━■", "*--#"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, out, _ := appOn(nil)
			fmt.Fprintln(a.term.Out, lifeline(test.report, 20, true)) // nobody watches: without colours
			fmt.Fprintln(a.term.Out, lifeline(test.report, 20, false))
			if want := test.unicode + "\n" + test.ascii + "\n"; out.String() != want {
				t.Errorf("got\n%swant\n%s", out, want)
			}
		})
	}
}

func TestStopRow(t *testing.T) {
	t.Parallel()
	began := time.Unix(1767225600, 0)
	fate := func(jid, fate string) store.Fate { return store.Fate{JID: jid, Fate: fate} }
	row := newStopRow(store.StopReport{
		ID: "host-1:7:0123456789ab", Reason: "SIGTERM", Began: began, Ended: began.Add(3 * time.Second), Grace: time.Minute,
		Phases: []store.Phase{{Name: "draining", InFlight: 8}},
		Jobs: []store.Fate{
			fate("a", "finished"), fate("b", "finished"), fate("c", "checkpointed"), fate("d", "handed back"),
			fate("e", "deaf"), fate("f", "lost lease"), fate("e", "rescued"), // as its rescuer wrote later
		},
	})
	want := fateCount{Finished: 2, Checkpointed: 1, HandedBack: 1, Rescued: 1, Other: 1}
	if diff := cmp.Diff(want, row.Fates); diff != "" {
		t.Error(diff)
	}
	if row.Touched != 6 || row.Lost != 2 || row.Took != 3 || row.Grace != 60 {
		t.Errorf("got %+v", row)
	}

	gone := newStopRow(store.StopReport{Reason: "vanished", Ended: began, Grace: time.Minute, Jobs: []store.Fate{fate("a", "rescued")}})
	if gone.Took != 0 || gone.Grace != 0 || gone.Lost != 0 || gone.Fates.Rescued != 1 {
		t.Errorf("got %+v", gone)
	}
}
