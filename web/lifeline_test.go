package web

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/fleet"
)

// noon is when the lines of these tests are.
var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func lifeline(end string, kill int, parts ...fleet.Part) fleet.Line {
	l := fleet.Line{From: parts[0].From, Parts: parts, End: end}
	for _, p := range parts {
		if p.State != fleet.Reserve {
			l.To = p.To
		}
	}
	if kill > 0 {
		l.Kill = noon.Add(time.Duration(kill) * time.Second)
	}
	return l
}

func part(state string, from, to int) fleet.Part {
	return fleet.Part{State: state, From: noon.Add(time.Duration(from) * time.Second), To: noon.Add(time.Duration(to) * time.Second)}
}

func TestDrawLine(t *testing.T) {
	t.Parallel()
	s := scale{noon, noon.Add(100 * time.Second)}
	for _, c := range []struct {
		name string
		line fleet.Line
		want []string // besides the words
		says string
	}{
		{"a stop", lifeline(fleet.Stopped, 90, part("running", 0, 20), part("quiet", 20, 30), part("draining", 30, 50)), []string{
			`<rect class="running" x="0.00%" y="10" width="20.00%" height="4"/>`,
			`<rect class="quiet" x="20.00%" y="8" width="10.00%" height="8"/>`,
			`<rect class="draining" x="30.00%" y="6" width="20.00%" height="12"/>`,
			`<line class="kill" x1="90.00%" x2="90.00%" y1="0" y2="24"/>`,
			`<text class="sign running" x="0.00%" y="17" text-anchor="middle">●</text>`,
			`<text class="sign quiet" x="20.00%" y="17" text-anchor="middle">◐</text>`,
			`<text class="sign draining" x="30.00%" y="17" text-anchor="middle">◒</text>`,
			`<text class="sign stopped" x="50.00%" y="17" text-anchor="middle">■</text>`,
		}, "running, quiet from 12:00:20 for 10 s, draining from 12:00:30 for 20 s, stopped at 12:00:50, KILL at 12:01:30"},
		{"one that drains", lifeline("", 90, part("running", -3600, 40), part("draining", 40, 60), part(fleet.Reserve, 80, 90)), []string{
			`<rect class="running" x="0.00%" y="10" width="40.00%" height="4"/>`,
			`<rect class="draining" x="40.00%" y="6" width="20.00%" height="12"/>`,
			`<rect class="reserve" fill="url(#reserve)" x="80.00%" y="6" width="10.00%" height="12"/>`,
			`<line class="kill" x1="90.00%" x2="90.00%" y1="0" y2="24"/>`,
			`<text class="sign draining" x="40.00%" y="17" text-anchor="middle">◒</text>`,
			`<text class="sign goes" x="60.00%" y="17" text-anchor="middle">▶</text>`,
		}, "running, draining from 12:00:40 for 20 s, the last 10 s are kept for saving and handing back, KILL at 12:01:30"},
		{"a sign on another's place", lifeline(fleet.Stopped, 0, part("running", 0, 20), part("quiet", 20, 21), part("draining", 21, 50), part("end jobs", 50, 51)), []string{
			`<rect class="running" x="0.00%" y="10" width="20.00%" height="4"/>`,
			`<rect class="quiet" x="20.00%" y="8" width="1.00%" height="8"/>`,
			`<rect class="draining" x="21.00%" y="6" width="29.00%" height="12"/>`,
			`<rect class="bad" x="50.00%" y="4" width="1.00%" height="16"/>`,
			`<text class="sign running" x="0.00%" y="17" text-anchor="middle">●</text>`,
			`<text class="sign draining" x="21.00%" y="17" text-anchor="middle">◒</text>`,
			`<text class="sign stopped" x="51.00%" y="17" text-anchor="middle">■</text>`,
		}, "running, quiet from 12:00:20 for 1.0 s, draining from 12:00:21 for 29 s, end jobs from 12:00:50 for 1.0 s, stopped at 12:00:51"},
		{"one that vanished", lifeline(fleet.Vanished, 0, part("running", 0, 30)), []string{
			`<rect class="running" x="0.00%" y="10" width="30.00%" height="4"/>`,
			`<text class="sign running" x="0.00%" y="17" text-anchor="middle">●</text>`,
			`<text class="sign bad" x="30.00%" y="17" text-anchor="middle">✕</text>`,
		}, "running, vanished at 12:00:30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want := `<svg class="life" width="100%" height="24" role="img" aria-label="` + c.says + `"><title>` + c.says + `</title>` +
				strings.Join(c.want, "") + `</svg>`
			if diff := cmp.Diff(want, string(drawLine(c.line, s))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScaleOf(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	for _, c := range []struct {
		name  string
		lines []fleet.Line
		want  scale
	}{
		{"a long life before is left out", []fleet.Line{lifeline(fleet.Stopped, 0, part("running", -86400, 0), part("draining", 0, 24))},
			scale{at(-2 * time.Second), at(25 * time.Second)}},
		{"a KILL that is near belongs to it", []fleet.Line{lifeline("", 96, part("running", -10, 0), part("draining", 0, 24))},
			scale{at(-8 * time.Second), at(100 * time.Second)}},
		{"one that is far does not", []fleet.Line{lifeline(fleet.Stopped, 600, part("running", -10, 0), part("draining", 0, 24))},
			scale{at(-2 * time.Second), at(25 * time.Second)}},
		{"one that just runs has no say", []fleet.Line{lifeline("", 0, part("running", -86400, 24)), lifeline("", 0, part("running", -10, 0), part("draining", 0, 24))},
			scale{at(-2 * time.Second), at(25 * time.Second)}},
		{"a moment is not too short to draw", []fleet.Line{lifeline(fleet.Vanished, 0, part("running", -2, 0))},
			scale{at(-time.Second), at(500 * time.Millisecond)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, scaleOf(c.lines)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDrawAxis(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		s    scale
		want []string
	}{
		{"seconds", scale{noon.Add(-3 * time.Second), noon.Add(21 * time.Second)}, []string{">12:00:00<", ">:05<", ">:20<"}},
		{"over a minute", scale{noon.Add(50 * time.Second), noon.Add(80 * time.Second)}, []string{">12:00:55<", ">12:01:00<", ">:15<"}},
		{"hours", scale{noon, noon.Add(5 * time.Hour)}, []string{">13:00<", ">16:00<"}},
		{"years", scale{noon, noon.Add(20000 * time.Hour)}, []string{"<text"}},
		{"nothing", scale{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			drawn := string(drawAxis(c.s))
			for _, want := range c.want {
				if !strings.Contains(drawn, want) {
					t.Errorf("no %s in %s", want, drawn)
				}
			}
			if n := strings.Count(drawn, "<text"); n > 7 {
				t.Errorf("%d marks do not fit", n)
			}
		})
	}
}
