package web

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// chart is how something went over time, drawn in steps: between two of them nothing is
// known, so that nothing is drawn there. Its markup is templates/parts/chart.html.
type chart struct {
	Key     string // unique in its page
	Title   string
	Unit    string // "a minute"; empty: none
	From    time.Time
	Step    time.Duration
	Layers  []layer
	Stacked bool // each layer stands on those before it
	Axis    axis
	Marks   []store.Mark
	None    string // what there is to say when there is nothing to draw
	Query   string // what asks Prometheus for the same; empty: nothing does
}

// layer is one of the things that a chart shows. Values has one for each step; NaN is
// not known: a gap.
type layer struct {
	Name   string
	Class  string // of its colour and stroke
	Values []float64
}

// axis says what the heights of a chart mean. Ticks are as far from one another as they
// are in the drawing, the highest first.
type axis struct {
	Low, High float64
	Ticks     []string
	Text      func(float64) string
}

// chartHeight is that of a drawing in its own units; its width has one for each step.
const chartHeight = 100

// gap is a value that is not known.
var gap = math.NaN()

// steps is how many there are.
func (c *chart) steps() (n int) {
	for _, l := range c.Layers {
		n = max(n, len(l.Values))
	}
	return n
}

// Empty reports whether all that is known is that nothing happened.
func (c *chart) Empty() bool {
	for _, l := range c.Layers {
		for _, v := range l.Values {
			if !math.IsNaN(v) && v != 0 {
				return false
			}
		}
	}
	return true
}

// Box is what the drawing measures in its own units, whatever it does on the screen.
func (c *chart) Box() string {
	return "0 0 " + strconv.Itoa(max(1, c.steps())) + " " + strconv.Itoa(chartHeight)
}

// Top is the highest value of all steps, in words.
func (c *chart) Top() string { return c.text(c.highest()) }

// highest is the highest that any step reaches.
func (c *chart) highest() (top float64) {
	for i := range c.steps() {
		if v := c.sum(len(c.Layers)-1, i); v > top {
			top = v
		}
	}
	return top
}

func (c *chart) text(v float64) string {
	text := c.Axis.Text(v)
	if c.Unit != "" {
		text += " " + c.Unit
	}
	return text
}

// value is that of a layer at a step, NaN where there is none.
func (l *layer) value(step int) float64 {
	if step >= len(l.Values) {
		return gap
	}
	return l.Values[step]
}

// sum is how high the layers up to one reach at a step. NaN: none of them is known.
func (c *chart) sum(upTo, step int) float64 {
	if !c.Stacked {
		highest := gap
		for i := range upTo + 1 {
			if v := c.Layers[i].value(step); math.IsNaN(highest) || v > highest {
				highest = v
			}
		}
		return highest
	}
	sum := gap
	for i := range upTo + 1 {
		switch v := c.Layers[i].value(step); {
		case math.IsNaN(v):
		case math.IsNaN(sum):
			sum = v
		default:
			sum += v
		}
	}
	return sum
}

// y is where a value is in the drawing, from its upper edge.
func (a *axis) y(v float64) float64 {
	return chartHeight * (1 - min(1, max(0, (v-a.Low)/(a.High-a.Low))))
}

// shape is what a layer looks like.
type shape struct{ Name, Class, Path string }

// Shapes are the layers in the order in which they are drawn. Those of a stack reach down
// to the ground, and what stands lower hides that.
func (c *chart) Shapes() (shapes []shape) {
	for i, l := range c.Layers {
		if c.Stacked {
			i = len(c.Layers) - 1 - i
			l = c.Layers[i]
		}
		shapes = append(shapes, shape{l.Name, l.Class, c.path(i)})
	}
	return shapes
}

// path follows one layer from step to step.
func (c *chart) path(at int) string {
	var b strings.Builder
	open := false
	shut := func() {
		if open && c.Stacked {
			b.WriteString("V" + strconv.Itoa(chartHeight) + "Z")
		}
		open = false
	}
	for i := range c.steps() {
		v := c.Layers[at].value(i)
		if c.Stacked {
			v = c.sum(at, i)
		}
		if math.IsNaN(v) {
			shut()
			continue
		}
		y := coordinate(c.Axis.y(v))
		switch {
		case open:
			b.WriteString("V" + y)
		case c.Stacked:
			b.WriteString("M" + strconv.Itoa(i) + " " + strconv.Itoa(chartHeight) + "V" + y)
		default:
			b.WriteString("M" + strconv.Itoa(i) + " " + y)
		}
		b.WriteString("H" + strconv.Itoa(i+1))
		open = true
	}
	shut()
	return b.String()
}

// coordinate writes a coordinate as short as the eye needs it.
func coordinate(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }

// Lines are the heights of the ticks between the lowest and the highest.
func (c *chart) Lines() (lines []string) {
	for i := 1; i < len(c.Axis.Ticks)-1; i++ {
		lines = append(lines, coordinate(chartHeight*float64(i)/float64(len(c.Axis.Ticks)-1)))
	}
	return lines
}

// Short is its name where there is room for few letters.
func (l layer) Short() string { return shortened(l.Name, 16) }

// moment is one step in words.
type moment struct {
	X      int
	At     time.Time
	Values []string // by layer; empty: not known
	Title  string
}

// Moments are the steps of which something is known.
func (c *chart) Moments() (moments []moment) {
	for i := range c.steps() {
		m := moment{X: i, At: c.From.Add(time.Duration(i) * c.Step)}
		var parts []string
		for _, l := range c.Layers {
			text := ""
			if v := l.value(i); !math.IsNaN(v) {
				text = c.Axis.Text(v)
				if v != 0 || len(c.Layers) < 4 {
					parts = append(parts, l.Short()+" "+text)
				}
			}
			m.Values = append(m.Values, text)
		}
		if len(parts) == 0 {
			continue
		}
		m.Title = m.At.UTC().Format("Jan 2 15:04:05") + " UTC: " + strings.TrimSpace(strings.Join(parts, ", ")+" "+c.Unit)
		moments = append(moments, m)
	}
	return moments
}

// tick is a moment that the time axis names.
type tick struct {
	X    string // from the left
	At   time.Time
	Text string
	Days bool // it names days
}

// between are the distances that ticks of time may have.
var between = []time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
	3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour, 28 * 24 * time.Hour,
}

// Ticks are a few round moments of UTC. There is room for five on a phone.
func (c *chart) Ticks() (ticks []tick) {
	const most = 5
	long := time.Duration(c.steps()) * c.Step
	apart := between[len(between)-1]
	for _, d := range between {
		if long/d <= most {
			apart = d
			break
		}
	}
	layout, days := "15:04", apart >= 24*time.Hour
	if days {
		layout = "Jan 2"
	}
	for at := c.From.UTC().Truncate(apart); !at.After(c.From.Add(long)); at = at.Add(apart) {
		if x := float64(at.Sub(c.From)) / float64(long); x >= 0.03 && x <= 0.97 {
			ticks = append(ticks, tick{along(x), at, at.Format(layout), days})
		}
	}
	return ticks
}

// releaseFlag is a release that began.
type releaseFlag struct {
	X, Release, Label string
	At                time.Time
	Left              bool // its label stands to the left of it
}

// Flags are the releases that began within the time of the chart. One whose label would
// lie on the next one's has none; its line says what it is.
func (c *chart) Flags() (flags []releaseFlag) {
	const label, room = 12, 0.14
	long := time.Duration(c.steps()) * c.Step
	last := 2.0
	for i := len(c.Marks) - 1; i >= 0; i-- {
		m := c.Marks[i]
		x := float64(m.At.Sub(c.From)) / float64(long)
		if x < 0 || x > 1 {
			continue
		}
		f := releaseFlag{X: along(x), Release: prose.Plain(m.Release), At: m.At, Left: x > 1-room}
		if last-x > room {
			f.Label, last = shortened(f.Release, label), x
			if f.Left {
				last -= room
			}
		}
		flags = append(flags, f)
	}
	return flags
}

func along(x float64) string { return coordinate(100*x) + "%" }

// shortened cuts text to so many characters.
func shortened(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// sparkline is a chart small enough to stand beside a number.
type sparkline struct{ Values []float64 }

// Box is what it measures in its own units.
func (s sparkline) Box() string {
	return "0 0 " + strconv.Itoa(max(1, len(s.Values))) + " " + strconv.Itoa(chartHeight)
}

// Path follows the values, the highest of which is at the upper edge.
func (s sparkline) Path() string {
	c := chart{Stacked: true, Layers: []layer{{Values: s.Values}}, Axis: axis{High: 1}}
	for _, v := range s.Values {
		if v > c.Axis.High {
			c.Axis.High = v
		}
	}
	return c.path(0)
}
