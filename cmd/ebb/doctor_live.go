package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/doctor"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/platform"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// machineInfo is what ebb doctor --live looked at, as JSON.
type machineInfo struct {
	First      string      `json:"pid_1"`
	Platform   string      `json:"platform,omitempty"`
	Grace      string      `json:"grace"`
	Source     string      `json:"grace_source"`
	Ceiling    string      `json:"ceiling,omitempty"` // the most that the platform grants
	Processes  []livingRow `json:"processes"`
	Memory     *limitInfo  `json:"memory,omitempty"`
	PIDs       *limitInfo  `json:"pids,omitempty"`
	Told       []string    `json:"told"`
	Missing    []string    `json:"missing"`
	Store      string      `json:"store,omitempty"`
	Durability string      `json:"durability,omitempty"`
}

type livingRow struct {
	PID     int      `json:"pid"`
	Command string   `json:"command"`
	Above   []string `json:"above"`
	Reached bool     `json:"reached"` // by TERM, as far as is known
}

type limitInfo struct {
	Most int64 `json:"most"`
	Used int64 `json:"used"`
}

func machineInfoOf(m *doctor.Machine, d store.Description) *machineInfo {
	info := &machineInfo{
		First: m.First, Platform: m.Platform, Grace: m.Grace.String(), Source: m.Source, Processes: []livingRow{},
		Told: append([]string{}, m.Told...), Missing: append([]string{}, m.Missing...), Memory: limitOf(m.Limits.Memory), PIDs: limitOf(m.Limits.PIDs),
		Store: strings.TrimSpace(cmp.Or(d.Server, d.Driver) + " " + d.URL), Durability: d.Durability,
	}
	if m.Limit > 0 {
		info.Ceiling = m.Limit.String()
	}
	for _, w := range m.Workers {
		info.Processes = append(info.Processes, livingRow{w.PID, w.Command, append([]string{}, w.Above...), w.Problem == ""})
	}
	return info
}

func limitOf(l doctor.Limit) *limitInfo {
	if l.Most == 0 {
		return nil
	}
	return &limitInfo{l.Most, l.Used}
}

// examineLive looks at what runs here, and at the store if one is named. A store that
// cannot be asked is a problem, and all else is looked at.
func examineLive(ctx context.Context, a *app, level doctor.Severity) error {
	if out := a.flags.output; out != "" && out != formText && out != formJSON {
		return usage("--live finds nothing in files, and knows no -o %s", out)
	}
	here := doctor.Here{Input: platform.Input{Getenv: a.getenv, Root: os.DirFS("/"), PID: os.Getpid()}, Environ: a.environ}
	var described store.Description
	var problems []doctor.Problem
	if a.flags.store != "" || a.getenv("EBB_STORE") != "" {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		s, err := a.openExisting(ctx)
		if err != nil {
			problems = append(problems, doctor.Problem{At: doctor.Place{File: "the store"}, Text: err.Error()})
		} else {
			described = s.Describe()
			here.StoreWarnings = described.Warnings
		}
	}
	m, report, err := doctor.Live(here)
	if err != nil {
		return err
	}
	report.Problems = problems
	a.sayProblems(report)
	info := machineInfoOf(m, described)
	if a.flags.output == formJSON {
		answer := doctorReportOf(report)
		answer.Live = info
		err = a.printJSON(answer)
	} else if err = printMachine(a, m, info); err == nil {
		err = printFindings(a, report)
	}
	if err != nil {
		return err
	}
	return verdictOn(report, nil, level)
}

// wrapped is a field whose text goes on below itself.
func (p *page) wrapped(name, text string) {
	if p.plain {
		p.field(name, text)
		return
	}
	text = wrap(prose.Plain(text), p.a.term.Width()-14)
	p.line("%s%s", console.Dim(fmt.Sprintf("%-14s", name)), strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 14)))
}

// printMachine says what was looked at, above the findings.
func printMachine(a *app, m *doctor.Machine, info *machineInfo) error {
	p := &page{a: a, plain: !a.term.OutWatched}
	p.field("PID 1", info.First)
	grace := fmt.Sprintf("%v, %s", m.Grace, m.Source)
	if m.Limit > 0 {
		grace += fmt.Sprintf("; at most %v", m.Limit)
	}
	p.field("platform", cmp.Or(m.Platform, "none that is known"))
	p.field("grace", grace)
	for _, w := range m.Workers {
		above := strings.Join(append(w.Above, fmt.Sprintf("%s (%d)", w.Command, w.PID)), " > ")
		if w.Problem == "" {
			above += ": TERM arrives"
		}
		p.wrapped("process", above)
	}
	if l := m.Limits.Memory; l.Most > 0 {
		p.field("memory", fmt.Sprintf("%d of %d MiB", l.Used>>20, l.Most>>20))
	}
	if l := m.Limits.PIDs; l.Most > 0 {
		p.field("processes", fmt.Sprintf("%d of %d", l.Used, l.Most))
	}
	p.field("told", strings.Join(m.Told, ", "))
	p.field("missing", strings.Join(m.Missing, ", "))
	p.field("store", info.Store)
	p.field("durability", info.Durability)
	if len(p.b.String()) > 0 && a.term.OutWatched {
		p.line("")
	}
	_, err := fmt.Fprint(a.term.Out, p.b.String())
	return err
}
