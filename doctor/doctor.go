// Package doctor reads the files that say how workers are started and stopped, and
// says where a stop would cost jobs: why TERM would not arrive, or the grace is too
// short for what has to happen in it.
//
// It works in three steps, and only the first knows how files look:
//
//	read   a reader for each format turns a file into facts: workloads, images,
//	       scripts, settings, each with its place
//	join   what one file says of what stands in another comes together: a service
//	       and the image it is built from, a worker's own timeout and the grace
//	       that its platform gives, an override and what it overrides
//	check  rules look at facts, and at nothing else
//
// The most important fact is a workload's chain: the programs from PID 1 down to
// the one that runs jobs. A signal has to pass through all of them.
//
// Examine is pure: the same sources give the same report, in the same order.
// Nothing that a file says is run, expanded or looked up.
package doctor

import (
	"cmp"
	"slices"
	"strings"
)

// Source is a file to examine. Its name, with slashes, is how findings name it, and
// decides together with the text what kind of file it is.
type Source struct {
	Name string
	Text []byte
	// Named says that somebody asked for this very file: that no reader knows it is
	// a problem then, and not one file of many.
	Named bool
}

// Severity orders findings by what they cost.
type Severity int

const (
	// Info is what could be better.
	Info Severity = iota + 1
	// Warn is what will probably cost jobs.
	Warn
	// Error is what will cost jobs.
	Error
)

func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warn:
		return "warn"
	case Error:
		return "error"
	}
	return "none"
}

// MarshalText writes a severity as its name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Place is a line of a file. Lines count from one.
type Place struct {
	File string
	Line int
}

func (p Place) known() bool { return p.File != "" }

// Finding is one thing that is wrong at one place.
type Finding struct {
	Rule     string // such as D07
	Severity Severity
	At       Place
	Workload string // whose jobs are meant; "" where the place says it
	Effect   string // what will happen to a running job
	Fix      string // text to paste, or what to do
	Edit     Edit   // the same as Mend does it; zero where somebody has to think
}

// Problem is why something could not be examined.
type Problem struct {
	At   Place // line 0: the whole file
	Text string
}

// Report is what Examine found, ordered by place.
type Report struct {
	Findings []Finding
	Problems []Problem
	// Workloads is how many were examined. None at all usually means that the files
	// are elsewhere.
	Workloads int
}

// Examine reads the sources, joins what they say and checks all rules. A source that
// is broken is a problem, and the others are examined all the same.
func Examine(sources []Source) Report {
	f := read(sources)
	f.join()
	r := Report{Problems: f.problems, Workloads: len(f.workloads)}
	seen := map[Finding]bool{}
	for _, rule := range Rules {
		rule.check(f, func(found Finding) {
			found.Rule, found.Severity = rule.ID, cmp.Or(found.Severity, rule.Severity)
			once := found
			once.Workload = "" // two services of one image: one mistake
			if !seen[once] {
				seen[once] = true
				r.Findings = append(r.Findings, found)
			}
		})
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(a.At.compare(b.At), strings.Compare(a.Rule, b.Rule))
	})
	slices.SortStableFunc(r.Problems, func(a, b Problem) int { return a.At.compare(b.At) })
	return r
}

func (p Place) compare(q Place) int {
	return cmp.Or(strings.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line))
}

// Worst is the highest severity among the findings, 0 if there is none.
func (r Report) Worst() (worst Severity) {
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}
