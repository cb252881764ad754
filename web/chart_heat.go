package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// heat is how lengths of time spread, step by step: the more of a step's were so long,
// the darker it is there.
type heat struct {
	chart
	spreads []store.Spread
	low     int // the first counter that is not empty in every step
	rows    int
}

// shades are how many darknesses can be told apart.
const shades = 5

// newHeat draws one spread for each step from then on.
func newHeat(c chart, spreads []store.Spread) *heat {
	h := &heat{chart: c, spreads: spreads}
	low, high := len(store.SpreadBounds), -1
	for i := range spreads {
		for at, n := range spreads[i] {
			if n > 0 {
				low, high = min(low, at), max(high, at)
			}
		}
	}
	if high < 0 {
		return h
	}
	h.Axis = bounded(bound(low+1), bound(high+1))
	h.low, h.rows = int(h.Axis.Low), int(h.Axis.High-h.Axis.Low)
	h.Layers = []layer{{Name: "half", Values: make([]float64, len(spreads))}, {Name: "95 %", Values: make([]float64, len(spreads))}}
	for i := range spreads {
		h.Layers[0].Values[i] = quantile(&spreads[i], 0.5).value()
		h.Layers[1].Values[i] = quantile(&spreads[i], 0.95).value()
	}
	return h
}

// Box is what the drawing measures: a unit for each step and for each counter.
func (h *heat) Box() string { return fmt.Sprintf("0 0 %d %d", max(1, len(h.spreads)), max(1, h.rows)) }

// Rows is the chartHeight of the drawing.
func (h *heat) Rows() int { return h.rows }

// Shades are the squares of each darkness, the lightest first.
func (h *heat) Shades() []shape {
	most := int64(1)
	for i := range h.spreads {
		for _, n := range h.spreads[i] {
			most = max(most, n)
		}
	}
	var paths [shades]strings.Builder
	for x := range h.spreads {
		for at, n := range h.spreads[x] {
			if n > 0 {
				b := &paths[(n*shades-1)/most]
				b.WriteString("M" + strconv.Itoa(x) + " " + strconv.Itoa(h.rows-1-(at-h.low)) + "h1v1h-1z")
			}
		}
	}
	all := make([]shape, shades)
	for i := range all {
		all[i] = shape{Class: "heat" + strconv.Itoa(i+1), Path: paths[i].String()}
	}
	return all
}

// share is how much of a whole something is, as a bar: an SVG without a style of its own.
func share(part, whole time.Duration) string {
	if whole <= 0 {
		return "0%"
	}
	return along(float64(part) / float64(whole))
}
