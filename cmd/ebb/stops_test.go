package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
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
			stop := fleet.NewStop(test.report)
			fmt.Fprintln(a.term.Out, lifeline(stop.Line(), 20, true)) // nobody watches: without colours
			fmt.Fprintln(a.term.Out, lifeline(stop.Line(), 20, false))
			if want := test.unicode + "\n" + test.ascii + "\n"; out.String() != want {
				t.Errorf("got\n%swant\n%s", out, want)
			}
		})
	}
}
