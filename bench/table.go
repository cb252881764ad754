package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

var headings = [numFigures]string{
	"enqueue/s, 1 goroutine", "16", "1,000 a call",
	"drain/s", "worker µs/job", "server µs/job", "peak MiB",
	"pick-up p50 ms", "p99", "100 slots, MiB",
}

// tabulate writes a table in Markdown.
func tabulate(w io.Writer, backlog int, chosen []system, measured map[string][]figures) {
	fmt.Fprintf(w, "\n%s jobs wait\n\n| system | %s |\n|%s\n", grouped(float64(backlog)),
		strings.Join(headings[:], " | "), strings.Repeat("---|", numFigures+1))
	medians := map[string]figures{}
	for _, s := range chosen {
		m := median(measured[s.name])
		medians[s.name] = m
		fmt.Fprintf(w, "| %s |", s.name)
		for _, v := range m {
			fmt.Fprintf(w, " %s |", number(v))
		}
		fmt.Fprintln(w)
	}
	ratios(w, chosen, medians)
}

// ratios says how ebb compares with each peer on the same store.
func ratios(w io.Writer, chosen []system, medians map[string]figures) {
	for _, peer := range chosen {
		ours := ebbSQLite.name
		if peer.redis {
			ours = ebbRedis.name
		}
		us, ok := medians[ours]
		if !ok || strings.HasPrefix(peer.name, "ebb") {
			continue
		}
		them := medians[peer.name]
		cpu := func(f figures) float64 { return f[workerCPU] + orZero(f[serverCPU]) }
		fmt.Fprintf(w, "\n%s beside %s: drain %s ×, CPU a job 1/%s", ours, peer.name,
			number(us[drained]/them[drained]), number(cpu(them)/cpu(us)))
		if r := us[enqueueAlone] / them[enqueueAlone]; !math.IsNaN(r) {
			fmt.Fprintf(w, ", enqueue %s × from 1 goroutine and %s × from 16", number(r), number(us[enqueue16]/them[enqueue16]))
		}
		fmt.Fprintln(w)
	}
}

func median(rounds []figures) figures {
	m := noFigures()
	for i := range m {
		var values []float64
		for _, f := range rounds {
			values = append(values, f[i])
		}
		slices.Sort(values)
		m[i] = values[len(values)/2]
	}
	return m
}

func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// number has three digits that count, as much as such figures mean.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v >= 100:
		return grouped(v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

// grouped is a whole number with commas between the thousands.
func grouped(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
