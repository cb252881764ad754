package main

import (
	"fmt"
	"strings"

	"github.com/ebbjobs/ebb/doctor"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
)

// doctorReport is what ebb doctor found, as JSON.
type doctorReport struct {
	Findings  []findingRow `json:"findings"`
	Problems  []problemRow `json:"problems"` // files that could not be examined
	Workloads int          `json:"workloads"`
	Errors    int          `json:"errors"`
	Warnings  int          `json:"warnings"`
	Live      *machineInfo `json:"live,omitempty"` // with --live: what was looked at
}

type findingRow struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"` // error, warn or info
	File     string `json:"file"`
	Line     int    `json:"line"` // 0 with --live, where the file is one of the system's, or a name
	Workload string `json:"workload,omitempty"`
	Effect   string `json:"effect"`
	Fix      string `json:"fix"`
}

type problemRow struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"` // absent if it is the whole file
	Text string `json:"text"`
}

func doctorReportOf(r doctor.Report) doctorReport {
	report := doctorReport{Findings: make([]findingRow, len(r.Findings)), Problems: make([]problemRow, len(r.Problems)), Workloads: r.Workloads}
	for i, f := range r.Findings {
		report.Findings[i] = findingRow{f.Rule, f.Severity.String(), f.At.File, f.At.Line, f.Workload, f.Effect, f.Fix}
		switch f.Severity {
		case doctor.Error:
			report.Errors++
		case doctor.Warn:
			report.Warnings++
		}
	}
	for i, p := range r.Problems {
		report.Problems[i] = problemRow{p.At.File, p.At.Line, p.Text}
	}
	return report
}

func printReport(a *app, r doctor.Report) error {
	switch a.flags.output {
	case formJSON:
		return a.printJSON(doctorReportOf(r))
	case formSARIF:
		return a.printJSON(sarifOf(r))
	case formGitHub:
		return printGitHub(a, r)
	}
	return printFindings(a, r)
}

// printFindings prints what a person reads: the finding, what it comes to, and the
// fix below it, or between tabs where a program does.
func printFindings(a *app, r doctor.Report) error {
	var b strings.Builder
	for _, f := range r.Findings {
		at, effect, fix := prose.Plain(placeOf(f.At)), prose.Plain(f.Effect), prose.Plain(f.Fix)
		if !a.term.OutWatched {
			fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\n", f.Rule, f.Severity, at, effect, fix)
			continue
		}
		style := severityStyle(f.Severity)
		between := "  "
		if width := a.term.Width(); len([]rune(at+effect))+8 > width { // mark, rule and spaces
			between, effect = "\n      ", strings.ReplaceAll(wrap(effect, width-6), "\n", "\n      ")
		}
		fmt.Fprintf(&b, "%s %s %s%s%s\n", style(severityMark(f.Severity, a.term.Unicode)), style(f.Rule), console.Bold(at), between, effect)
		fmt.Fprintf(&b, "      %s  %s\n", console.Dim("fix:"), console.Code(fix))
	}
	if _, err := fmt.Fprint(a.term.Out, b.String()); err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		a.say("%s · explain: %s", countFindings(r), console.Code("ebb doctor --explain "+worstRule(r)))
	} else if r.Workloads > 0 {
		a.say("%s examined, nothing found", prose.Plural(r.Workloads, "workload"))
	}
	return nil
}

func countFindings(r doctor.Report) string {
	report := doctorReportOf(r)
	var parts []string
	if report.Errors > 0 {
		parts = append(parts, console.Bad(prose.Plural(report.Errors, "error")))
	}
	if report.Warnings > 0 {
		parts = append(parts, console.Warn(prose.Plural(report.Warnings, "warning")))
	}
	if hints := len(r.Findings) - report.Errors - report.Warnings; hints > 0 {
		parts = append(parts, prose.Plural(hints, "hint"))
	}
	return strings.Join(parts, ", ")
}

// worstRule is the first of the worst findings' rules.
func worstRule(r doctor.Report) string {
	for _, f := range r.Findings {
		if f.Severity == r.Worst() {
			return f.Rule
		}
	}
	return ""
}

func severityStyle(s doctor.Severity) func(string) string {
	switch s {
	case doctor.Error:
		return console.Bad
	case doctor.Warn:
		return console.Warn
	}
	return console.Dim
}

func severityMark(s doctor.Severity, unicode bool) string {
	switch {
	case s == doctor.Error && unicode:
		return "✕"
	case s == doctor.Error:
		return "x"
	case s == doctor.Warn:
		return "!"
	}
	return "i"
}

// printGitHub prints workflow commands, which GitHub shows beside the lines.
// (docs.github.com, Workflow commands for GitHub Actions.)
func printGitHub(a *app, r doctor.Report) error {
	levels := map[doctor.Severity]string{doctor.Error: "error", doctor.Warn: "warning", doctor.Info: "notice"}
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "::%s file=%s,line=%d,title=%s::%s\n", levels[f.Severity], property.Replace(f.At.File), f.At.Line, f.Rule, data.Replace(f.Effect+"\nfix: "+f.Fix))
	}
	_, err := fmt.Fprint(a.term.Out, b.String())
	return err
}
