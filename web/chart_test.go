package web

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

var rewriteCharts = flag.Bool("update-charts", false, "write the golden files of charts anew")

var midday = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestCharts(t *testing.T) {
	t.Parallel()
	var spread store.Spread
	for _, d := range []time.Duration{10 * time.Millisecond, 10 * time.Millisecond, 90 * time.Millisecond, time.Hour} {
		spread.Add(d)
	}
	for name, tt := range map[string]struct {
		template string
		data     any
	}{
		"stacked": {"chart", &chart{Key: "k", Title: "Done and failed", Unit: "a minute", From: midday, Step: time.Minute, Stacked: true, Axis: upTo(7),
			Layers: []layer{{"done", "c-done", []float64{1, 2, gap, 6}}, {"failed", "c-failed", []float64{0, 1, gap, 1}}},
			Marks:  []store.Mark{{At: midday.Add(90 * time.Second), Release: "v2<b>"}}, Query: "rate(x[1m])"}},
		"lines": {"chart", &chart{Key: "k", Title: "Run time", From: midday, Step: time.Minute, Axis: bounded(1, 5),
			Layers: []layer{{"half", "c-half", []float64{1, gap, 2, 2}}, {"99 %", "c-worst", []float64{5, gap, 4, 4}}}}},
		"nothing": {"chart", &chart{Key: "k", Title: "Failed", From: midday, Step: time.Minute, Axis: upTo(0), None: "Nothing failed.",
			Layers: []layer{{"failed", "c-failed", []float64{0, 0, gap}}}}},
		"heat":      {"heat", newHeat(chart{Key: "k", Title: "Run times", From: midday, Step: time.Minute}, []store.Spread{spread, {}, spread})},
		"sparkline": {"sparkline", sparkline{[]float64{0, 1, gap, 4}}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := execute(&b, "overview", tt.template, tt.data); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "chart_"+name+".html")
			if *rewriteCharts {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Error(diff)
			}
			for _, bad := range []string{"NaN", "style=", "<b>", "Inf"} {
				if strings.Contains(strings.ReplaceAll(b.String(), "<b>"+titleOf(tt.data)+"</b>", ""), bad) {
					t.Errorf("%s has %q", name, bad)
				}
			}
		})
	}
}

func titleOf(c any) string {
	switch c := c.(type) {
	case *chart:
		return c.Title
	case *heat:
		return c.Title
	}
	return ""
}

func TestAxis(t *testing.T) {
	t.Parallel()
	for top, want := range map[float64]string{0: "2 1 0", 1: "2 1 0", 2: "2 1 0", 2.1: "4 2 0", 9: "10 5 0", 11: "20 10 0", 61: "80 40 0", 1234: "2,000 1,000 0"} {
		if got := strings.Join(upTo(top).Ticks, " "); got != want {
			t.Errorf("%v: %s, want %s", top, got, want)
		}
	}
	for rate, want := range map[float64]string{0: "a day", 5: "a second", 1: "a minute", 0.001: "an hour", 0.0001: "a day"} {
		if got := unitOf(rate).name; got != want {
			t.Errorf("%v: %s, want %s", rate, got, want)
		}
	}
	for _, a := range []axis{bounded(1, 1), bounded(26, 26), bounded(3, 8), bounded(1, 26), bounded(25, 26)} {
		if len(a.Ticks) != 3 || a.High-a.Low < 2 || int(a.High-a.Low)%2 != 0 || a.High > float64(beyond) || a.Low < 0 {
			t.Errorf("%+v", a)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var s store.Spread
	if b := quantile(&s, 0.5); b.Known() || b.String() != "" {
		t.Errorf("of nothing: %s", b)
	}
	for range 9 {
		s.Add(25 * time.Millisecond)
	}
	s.Add(time.Hour)
	if half, all := quantile(&s, 0.5).String(), quantile(&s, 1).String(); half != "at most 30 ms" || all != "more than 335 s" {
		t.Errorf("half %s, all %s", half, all)
	}
}

func TestTicksFitAPhone(t *testing.T) {
	t.Parallel()
	for _, r := range overviewReaches {
		p := r.until(midday.Add(17*time.Minute + 3*time.Second))
		c := p.chart("", "")
		c.Layers = []layer{{Values: make([]float64, p.Count)}}
		ticks := c.Ticks()
		if len(ticks) < 2 || len(ticks) > 6 {
			t.Errorf("%s: %d ticks", r.Name, len(ticks))
		}
		if p.Count > 72 {
			t.Errorf("%s: %d steps", r.Name, p.Count)
		}
		if time.Duration(r.Count)*r.Step > r.Read.Kept() || r.Step%time.Duration(r.Read) != 0 {
			t.Errorf("%s reads what is not kept, or not in whole points", r.Name)
		}
		if _, ok := p.index(p.At.Add(-r.Step)); !ok {
			t.Errorf("%s leaves out what is news", r.Name)
		}
	}
}

func TestFlagsDoNotLieOnOneAnother(t *testing.T) {
	t.Parallel()
	c := chart{From: midday, Step: time.Minute, Layers: []layer{{Values: make([]float64, 60)}}}
	for i := range 60 {
		c.Marks = append(c.Marks, store.Mark{At: midday.Add(time.Duration(i) * time.Minute), Release: strings.Repeat("r", 80)})
	}
	labels := 0
	for _, f := range c.Flags() {
		if f.Label != "" {
			labels++
		}
	}
	if n := len(c.Flags()); n != 60 || labels > 7 || labels < 5 {
		t.Errorf("%d flags, %d labels", n, labels)
	}
}

func TestPercentText(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0 %", 0.04: "< 0.1 %", 0.26: "0.3 %", 9.96: "10 %", 12.4: "12 %", 100: "100 %"} {
		if got := percentText(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if got := percentText(math.NaN()); got != "–" {
		t.Error(got)
	}
}
