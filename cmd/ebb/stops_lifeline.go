package main

import (
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/fleet"
)

// signs are how a lifeline marks where a state begins, and how in ASCII.
var signs = map[string][2]string{
	"running": {"●", "*"}, "quiet": {"◐", "q"}, "draining": {"◒", "d"}, "end jobs": {"┿", "!"}, "deaf": {"▪", "x"},
	"frozen": {"▲", "^"}, "lapsed": {"✕", "X"}, "stopped": {"■", "#"}, "vanished": {"✕", "X"},
}

// What a lifeline is made of beside its signs: time that has passed, the present, time
// that is left, and the reserve.
var strokes = [2]struct{ dash, now, left, reserve string }{{"━", "▶", "·", "░"}, {"-", ">", ".", ":"}}

// sign is what stands for a state.
func (a *app) sign(state string) string {
	if a.term.Unicode {
		return signs[state][0]
	}
	return signs[state][1]
}

// lifeline draws a line of so many cells at most, on which each state takes its share
// of the time, but for the running before all others:
//
//	●━━◐━━━━━━━◒━━━━■
//
// One that vanished ends in a cross. Of one that goes on the time that is left to it
// follows, and the reserve at its end.
func lifeline(l fleet.Line, cells int, unicode bool) string {
	form := 0
	if !unicode {
		form = 1
	}
	stroke := strokes[form]
	line := []string{console.Good(signs["running"][form] + strings.Repeat(stroke.dash, 2))}
	var parts []fleet.Part
	var whole, left, reserve time.Duration
	for i, p := range l.Parts {
		_, known := signs[p.State]
		switch took := p.To.Sub(p.From); {
		case p.State == fleet.Reserve:
			left, reserve = p.From.Sub(l.To), took
			whole += left + reserve
		case known && (i > 0 || p.State != "running"):
			parts = append(parts, p)
			whole += took
		}
	}
	room := cells - 4 - len(parts)
	share := func(d time.Duration) int {
		return int(int64(max(0, room)) * int64(d/time.Microsecond) / int64(max(1, whole/time.Microsecond)))
	}
	for _, p := range parts {
		style := console.Warn
		if p.State == "running" {
			style = console.Good
		}
		line = append(line, style(signs[p.State][form]+strings.Repeat(stroke.dash, max(1, share(p.To.Sub(p.From))))))
	}
	switch l.End {
	case fleet.Vanished:
		line = append(line, console.Bad(signs[l.End][form]))
	case fleet.Stopped:
		line = append(line, console.Dim(signs[l.End][form]))
	default:
		line = append(line, stroke.now)
		if reserve > 0 {
			line = append(line, console.Dim(strings.Repeat(stroke.left, max(0, share(left)-1))+strings.Repeat(stroke.reserve, share(reserve)+1)))
		}
	}
	return strings.Join(line, "")
}
