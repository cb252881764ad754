package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/stopseq"
)

// mark is a moment on a time line that has a name.
type mark struct {
	at    time.Duration
	name  string
	sign  string
	style func(string) string
}

// stretch is the time between two moments.
type stretch struct {
	from, to time.Duration
	dash     string
	style    func(string) string
	cells    int
}

// timeline draws a sequence as a line of at most so many cells, on which each step
// takes its share of the time, with the names of its signals above:
//
//	TSTP                     TERM        KILL grace
//	◐╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌◒━━━━━━━━━━━✕····┃
//
// A wait for idle is broken, time that the sequence does not use is dotted, and what
// lies behind the grace never happens.
func timeline(hours []stopseq.Hour, grace time.Duration, cells int, unicode bool) string {
	marks := marksOf(hours, grace, unicode)
	stretches := stretchesOf(hours, grace, unicode)
	share(stretches, cells-len(marks))
	var line strings.Builder
	var places []int // of the marks
	at := 0
	put := func(m mark) {
		places = append(places, at)
		line.WriteString(m.style(m.sign))
		at++
	}
	next := 0
	for _, s := range stretches {
		for ; next < len(marks) && marks[next].at <= s.from; next++ {
			put(marks[next])
		}
		line.WriteString(s.style(strings.Repeat(s.dash, s.cells)))
		at += s.cells
	}
	for ; next < len(marks); next++ {
		put(marks[next])
	}
	return names(marks, places, cells) + "\n" + line.String() + "\n"
}

// marksOf are the signals and the end of the grace, in their order.
func marksOf(hours []stopseq.Hour, grace time.Duration, unicode bool) (marks []mark) {
	form := 1
	if unicode {
		form = 0
	}
	for _, h := range hours {
		if h.Step.Kind != stopseq.Signal {
			continue
		}
		m := mark{h.From, stopseq.SignalName(h.Step.Signal), signs["running"][form], console.Good}
		switch m.name {
		case "TSTP", "USR1":
			m.sign, m.style = signs["quiet"][form], console.Warn
		case "TERM", "INT", "QUIT":
			m.sign, m.style = signs["draining"][form], console.Warn
		case "KILL":
			m.sign, m.style = signs["vanished"][form], console.Bad
		}
		if grace > 0 && h.From > grace {
			m.style = console.Dim
		}
		marks = append(marks, m)
	}
	if grace > 0 {
		marks = append(marks, mark{grace, "grace", [2]string{"┃", "|"}[form], console.Bad})
		slices.SortStableFunc(marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	}
	return marks
}

// stretchesOf is the time between the moments, cut where the grace ends.
func stretchesOf(hours []stopseq.Hour, grace time.Duration, unicode bool) (all []stretch) {
	dashes := [4]string{"╌", "━", "·", " "} // for idle, wait, what is left, and what never happens
	if !unicode {
		dashes = [4]string{"~", "-", ".", " "}
	}
	add := func(from, to time.Duration, dash string, style func(string) string) {
		if to > from {
			all = append(all, stretch{from: from, to: to, dash: dash, style: style})
		}
	}
	end := time.Duration(0)
	for _, h := range hours {
		dash, within := dashes[1], h.To
		if h.Step.Kind == stopseq.Idle {
			dash = dashes[0]
		}
		if grace > 0 {
			within = max(h.From, min(h.To, grace))
		}
		add(h.From, within, dash, console.Good)
		add(within, h.To, dashes[3], console.Dim)
		end = h.To
	}
	add(end, grace, dashes[2], console.Dim)
	return all
}

// share gives each stretch its part of the cells, and none less than two.
func share(stretches []stretch, cells int) {
	const least = 2
	whole := 0.0
	for _, s := range stretches {
		whole += (s.to - s.from).Seconds()
	}
	room := max(0, cells-least*len(stretches))
	left, longest := room, 0
	for i, s := range stretches {
		more := int(float64(room) * (s.to - s.from).Seconds() / whole)
		stretches[i].cells = least + more
		left -= more
		if s.to-s.from > stretches[longest].to-stretches[longest].from {
			longest = i
		}
	}
	if len(stretches) > 0 {
		stretches[longest].cells += left // of rounding
	}
}

// names writes each mark's name above its place. One that finds no room moves to the
// right, and all of them back to the left where the line ends.
func names(marks []mark, places []int, cells int) string {
	begins := make([]int, len(marks))
	free := 0
	for i, m := range marks {
		begins[i] = max(places[i], free)
		free = begins[i] + len(m.name) + 1
	}
	limit := cells
	for i, m := range slices.Backward(marks) {
		begins[i] = max(0, min(begins[i], limit-len(m.name)))
		limit = begins[i] - 1
	}
	var b strings.Builder
	at := 0
	for i, m := range marks {
		if gap := max(begins[i]-at, min(i, 1)); gap > 0 {
			b.WriteString(strings.Repeat(" ", gap))
			at += gap
		}
		b.WriteString(m.style(m.name))
		at += len(m.name)
	}
	return b.String()
}
