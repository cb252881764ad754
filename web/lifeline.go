package web

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/lifecycle"
)

// scale is the time that drawings above each other share. They are drawn in percent of
// the width that there is, so that nothing in them shrinks on a narrow screen.
type scale struct{ From, To time.Time }

// scaleOf is wide enough for lines: from shortly before the first of them left its
// running, to the last end. Those that just run have no say in it, if there are others.
// The KILLs belong to it as long as they leave the rest enough room to be seen.
func scaleOf(lines []fleet.Line) (s scale) {
	var kill time.Time
	for _, l := range lines {
		from := leaving(l)
		// Ruby does not tell since when it is quiet: such a line is cut, not the others.
		vague := len(lines) > 1 && l.Parts[0].State != lifecycle.Running.String()
		if !vague && !from.IsZero() && (s.From.IsZero() || from.Before(s.From)) {
			s.From = from
		}
		if l.To.After(s.To) {
			s.To = l.To
		}
		if l.Kill.After(kill) {
			kill = l.Kill
		}
	}
	const room = 4
	if kill.After(s.To) && kill.Sub(s.From) <= room*max(s.To.Sub(s.From), 10*time.Second) {
		s.To = kill
	}
	if s.From.IsZero() && len(lines) > 0 {
		s.From = lines[0].From
	}
	margin := max(time.Second, s.To.Sub(s.From)/12)
	return scale{s.From.Add(-margin), s.To.Add(margin / 2)}
}

// leaving is when a line stops being the one of a process that just runs; zero if it
// does not.
func leaving(l fleet.Line) time.Time {
	for i, p := range l.Parts {
		if p.State != lifecycle.Running.String() {
			return p.From
		}
		if l.End != "" && i == len(l.Parts)-1 {
			return p.To
		}
	}
	return time.Time{}
}

// at is where a moment is, in percent. What is outside is at the edge.
func (s scale) at(t time.Time) float64 {
	whole := s.To.Sub(s.From)
	if whole <= 0 {
		return 0
	}
	return min(100, max(0, 100*float64(t.Sub(s.From))/float64(whole)))
}

// phases are how the parts of a line look. Each is of another height: colour is never
// alone.
var phases = map[string]struct {
	sign, class string
	height      int
}{
	"running": {"●", "running", 4}, "quiet": {"◐", "quiet", 8}, "draining": {"◒", "draining", 12},
	"end jobs": {"┿", "bad", 16}, "deaf": {"▪", "bad", 16}, "frozen": {"▲", "frozen", 4}, fleet.Reserve: {"", "reserve", 12},
}

// ends are how a line ends.
var ends = map[string]look{fleet.Stopped: {"■", "stopped"}, fleet.Vanished: {"✕", "bad"}, "": {"▶", "goes"}}

const (
	lineHeight = 24
	lineMiddle = lineHeight / 2
	// signWidth is how much of a line a sign covers, in percent: the later of two that
	// would lie on each other is drawn.
	signWidth = 1.5
)

// drawLine draws the life of a process around its stop. It says the same in words, for
// whoever does not see it.
func drawLine(l fleet.Line, s scale) template.HTML {
	var b strings.Builder
	words := html.EscapeString(lineWords(l))
	fmt.Fprintf(&b, `<svg class="life" width="100%%" height="%d" role="img" aria-label="%s"><title>%s</title>`, lineHeight, words, words)
	var signs strings.Builder
	for i, p := range l.Parts {
		if !p.To.After(s.From) || !p.From.Before(s.To) {
			continue
		}
		phase, known := phases[p.State]
		if !known {
			phase = phases["running"]
		}
		x := s.at(p.From)
		fill := ""
		if p.State == fleet.Reserve {
			fill = ` fill="url(#reserve)"`
		}
		fmt.Fprintf(&b, `<rect class="%s"%s x="%.2f%%" y="%d" width="%.2f%%" height="%d"/>`,
			phase.class, fill, x, lineMiddle-phase.height/2, max(0.2, s.at(p.To)-x), phase.height)
		covered := i+1 < len(l.Parts) && s.at(l.Parts[i+1].From)-x < signWidth && phases[l.Parts[i+1].State].sign != "" || s.at(l.To)-x < signWidth
		if phase.sign != "" && !p.From.Before(s.From) && !covered {
			drawSign(&signs, phase.sign, phase.class, x)
		}
	}
	if !l.Kill.IsZero() && !l.Kill.Before(s.From) && !l.Kill.After(s.To) {
		x := s.at(l.Kill)
		fmt.Fprintf(&b, `<line class="kill" x1="%.2f%%" x2="%.2f%%" y1="0" y2="%d"/>`, x, x, lineHeight)
	}
	b.WriteString(signs.String())
	end := ends[l.End]
	drawSign(&b, end.sign, end.class, s.at(l.To))
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

func drawSign(b *strings.Builder, sign, class string, x float64) {
	fmt.Fprintf(b, `<text class="sign %s" x="%.2f%%" y="%d" text-anchor="middle">%s</text>`, class, x, lineMiddle+5, sign)
}

// lineWords say what a line shows.
func lineWords(l fleet.Line) string {
	var parts []string
	for i, p := range l.Parts {
		switch {
		case p.State == fleet.Reserve:
			parts = append(parts, "the last "+prose.Span(p.To.Sub(p.From))+" are kept for saving and handing back")
		case i == 0:
			parts = append(parts, p.State)
		default:
			parts = append(parts, fmt.Sprintf("%s from %s for %s", p.State, clock(p.From), prose.Span(p.To.Sub(p.From))))
		}
	}
	if l.End != "" {
		parts = append(parts, l.End+" at "+clock(l.To))
	}
	if !l.Kill.IsZero() {
		parts = append(parts, "KILL at "+clock(l.Kill))
	}
	return strings.Join(parts, ", ")
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly) }

// hatch is the pattern that the end of a grace is filled with.
const hatch = `<defs><pattern id="reserve" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">` +
	`<line class="hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>`

// steps are the distances that marks on an axis may have.
var axisSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// drawAxis draws clock times over lines of a scale. Who does not see them reads them
// with each line. The pattern that the lines share is here, too.
func drawAxis(s scale) template.HTML {
	const most = 6
	step := axisSteps[len(axisSteps)-1]
	for _, d := range axisSteps {
		if s.To.Sub(s.From) <= most*d {
			step = d
			break
		}
	}
	step = max(step, s.To.Sub(s.From)/most)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="axis" width="100%%" height="16" aria-hidden="true">%s`, hatch)
	minute := ""
	for t := s.From.UTC().Truncate(step).Add(step); t.Before(s.To); t = t.Add(step) {
		x := s.at(t)
		if x < 4 || x > 96 { // its text would be cut
			continue
		}
		text := t.Format(time.TimeOnly)
		switch now := t.Format("15:04"); {
		case step >= time.Minute:
			text = now
		case now == minute:
			text = t.Format(":05")
		default:
			minute = now
		}
		fmt.Fprintf(&b, `<line class="tick" x1="%.2f%%" x2="%.2f%%" y1="12" y2="16"/><text x="%.2f%%" y="10" text-anchor="middle">%s</text>`, x, x, x, text)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// usedOf draws how much of its grace a stop has used, and says it beside.
func usedOf(used, of time.Duration) template.HTML {
	if of <= 0 {
		return ""
	}
	words := html.EscapeString(fleet.Of(used, of))
	part := float64(used) / float64(of)
	return template.HTML(fmt.Sprintf(`<meter min="0" max="1" high="0.8" value="%.3f" aria-label="grace used">%s</meter> %[2]s`, min(1, part), cmp.Or(words, "none")))
}
