package main

import (
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
)

// signs are how a lifeline marks where a phase begins, and how in ASCII.
var signs = map[string][2]string{
	"running": {"●", "*"}, "quiet": {"◐", "q"}, "draining": {"◒", "d"}, "end jobs": {"┿", "!"}, "deaf": {"▪", "x"},
	"stopped": {"■", "#"}, "vanished": {"✕", "X"},
}

// lifeline draws a stop as a line of so many cells, on which each phase takes its
// share of the time:
//
//	●━━◐━━━━━━━◒━━━━■
//
// One that vanished has no phases, and ends in a cross. Leaving is the end itself.
func lifeline(r store.StopReport, cells int, unicode bool) string {
	form, dash := 0, "━"
	if !unicode {
		form, dash = 1, "-"
	}
	line := []string{console.Good(signs["running"][form] + strings.Repeat(dash, 2))}
	phases := make([]store.Phase, 0, len(r.Phases))
	whole := time.Duration(0)
	for _, p := range r.Phases {
		if _, known := signs[p.Name]; known {
			phases = append(phases, p)
			whole += max(0, p.Took)
		}
	}
	room := cells - 4 - len(phases)
	for _, p := range phases {
		length := 1
		if whole > 0 {
			length = max(1, int(int64(room)*max(0, int64(p.Took/time.Microsecond))/int64(max(1, whole/time.Microsecond))))
		}
		line = append(line, console.Warn(signs[p.Name][form]+strings.Repeat(dash, length)))
	}
	end := console.Dim(signs["stopped"][form])
	if r.Began.IsZero() {
		end = console.Bad(signs["vanished"][form])
	}
	return strings.Join(append(line, end), "")
}
