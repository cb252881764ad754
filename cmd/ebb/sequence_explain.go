package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/stopseq"
	"github.com/ebbjobs/ebb/store"
)

// sequenceInfo is all about one stop sequence.
type sequenceInfo struct {
	Sequence string       `json:"sequence"` // in its canonical spelling
	Grace    float64      `json:"grace_seconds"`
	Timeout  float64      `json:"timeout_seconds"`
	Steps    []stepRow    `json:"steps"`
	Warnings []warningRow `json:"warnings"`

	text  string // as it was typed
	hours []stopseq.Hour
	grace time.Duration
}

// stepRow is one step, and when it begins and ends at the latest.
type stepRow struct {
	Step string  `json:"step"`
	Kind string  `json:"kind"` // signal, wait, idle
	At   int     `json:"at"`   // where it stands in the text, in bytes
	From float64 `json:"from_seconds"`
	To   float64 `json:"to_seconds"`
	Does string  `json:"does"`

	from, to time.Duration
}

// warningRow is something unwise in a sequence.
type warningRow struct {
	Severity string `json:"severity"` // warning, error
	Rule     string `json:"rule"`
	At       int    `json:"at"`
	Happens  string `json:"happens"`
	Fix      string `json:"fix"`
}

func newSequenceExplain(a *app) *cobra.Command {
	var facts stopseq.Facts
	cmd := &cobra.Command{
		Use: "explain SEQUENCE", Short: "Draw a stop sequence on a time line, with what is unwise in it",
		Long: `Draw a stop sequence on a time line against the grace, and tell what each step does and
when at the latest. Each ends early once the process is gone, and idle once nothing
runs.

Below stands what is unwise in it, with what happens to a running job and what to write
instead. More is known with --grace, which is the time from the first step to the
platform's KILL, with the worker's own --timeout, and with the version of --sidekiq.
It ends with 5 where a running job would be lost.`,
		Example: example("ebb sequence explain 'TSTP;idle<=1h;TERM;25s;KILL' --grace 2m",
			"ebb sequence explain 'tstp, 120, term, 30, kill' --timeout 25s",
			"ebb sequence explain 'USR1;1h;TERM;10s;KILL' --sidekiq 7 -o json   # exit 5: USR1 ends it at once"),
		Args: exactly("SEQUENCE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if facts.Grace < 0 || facts.WorkerTimeout < 0 || facts.SidekiqMajor < 0 {
				return code(exitUsage, store.WithHint(fmt.Errorf("--grace, --timeout and --sidekiq are not negative"), "leave out what is not known"))
			}
			q, err := parseSequence(args[0])
			if err != nil {
				return err
			}
			info := explainSequence(q, args[0], facts)
			if err := a.show(info, info.page); err != nil {
				return err
			}
			if slices.ContainsFunc(info.Warnings, func(w warningRow) bool { return w.Severity == string(stopseq.Fatal) }) {
				return quietly(exitFindings)
			}
			return nil
		},
		ValidArgsFunction: cobra.FixedCompletions([]string{"TSTP;idle<=1h;TERM;25s;KILL"}, cobra.ShellCompDirectiveNoFileComp),
	}
	a.showFlags(cmd)
	cmd.Flags().DurationVar(&facts.Grace, "grace", 0, "time from the first step to the platform's KILL (default: not known)")
	cmd.Flags().DurationVar(&facts.WorkerTimeout, "timeout", 0, "what the worker gives its jobs after TERM, Sidekiq's -t (default: not known)")
	cmd.Flags().IntVar(&facts.SidekiqMajor, "sidekiq", 0, "the major `VERSION` of Sidekiq, if that is the worker (default: not known)")
	return cmd
}

func explainSequence(q stopseq.Sequence, text string, facts stopseq.Facts) *sequenceInfo {
	info := &sequenceInfo{
		Sequence: q.String(), Grace: facts.Grace.Seconds(), Timeout: facts.WorkerTimeout.Seconds(),
		Steps: []stepRow{}, Warnings: []warningRow{}, text: text, hours: q.Plan(facts.Grace), grace: facts.Grace,
	}
	for _, h := range info.hours {
		info.Steps = append(info.Steps, stepRow{h.Step.String(), h.Step.Kind.String(), h.Step.At, h.From.Seconds(), h.To.Seconds(), does(h, facts.Grace), h.From, h.To})
	}
	for _, w := range q.Lint(facts) {
		info.Warnings = append(info.Warnings, warningRow{string(w.Severity), w.Rule, w.At, w.Happens, w.Fix})
	}
	return info
}

// does says what a step does, in a few words.
func does(h stopseq.Hour, grace time.Duration) string {
	switch {
	case grace > 0 && h.From >= grace:
		return "comes too late: the grace is over"
	case h.Step.Kind == stopseq.Wait:
		return "gives it time"
	case h.Step.Kind == stopseq.Idle:
		if took := h.To - h.From; took < h.Step.For {
			return "waits until nothing runs; the grace leaves it " + stopseq.Span(took)
		}
		return "waits until nothing runs"
	}
	switch h.Step.Signal {
	case syscall.SIGTERM, syscall.SIGINT:
		return "asks the worker to drain and end"
	case syscall.SIGQUIT:
		return "asks the worker to end"
	case syscall.SIGKILL:
		return "ends it where it is"
	}
	switch stopseq.SignalName(h.Step.Signal) {
	case "TSTP":
		return "asks the worker to go quiet"
	case "USR1":
		return "asked Sidekiq 4 to go quiet"
	case "CONT":
		return "wakes it, if it was frozen"
	case "TTIN":
		return "has it print what runs"
	}
	return "is sent"
}

// page is the answer for people, and between tabs.
func (info *sequenceInfo) page(p *page) {
	if !p.plain {
		p.line("%s", timeline(info.hours, info.grace, p.a.term.Width(), p.a.term.Unicode))
	}
	rows := info.Steps
	if info.grace > 0 {
		rows = append(slices.Clone(rows), stepRow{Step: "grace", Kind: "grace", From: info.Grace, To: info.Grace,
			Does: "is over: the platform's KILL", from: info.grace, to: info.grace})
		slices.SortStableFunc(rows, func(a, b stepRow) int { return cmp.Compare(a.from, b.from) })
	}
	hour := func(d time.Duration) any {
		if p.plain {
			return d
		}
		return stopseq.Span(d)
	}
	within(p, &list[stepRow]{columns: []column[stepRow]{
		{"from", func(s stepRow) any { return hour(s.from) }, right},
		{"to", func(s stepRow) any {
			if s.from == s.to && !p.plain {
				return nil
			}
			return hour(s.to)
		}, right},
		{"step", func(s stepRow) any { return s.Step }, asIs},
		{"what_it_does", func(s stepRow) any { return s.Does }, flex},
	}}, rows)
	for _, w := range info.Warnings {
		if p.plain {
			p.line("%s\t%s\t%d\t%s\t%s", w.Severity, w.Rule, w.At, w.Happens, w.Fix)
			continue
		}
		style := console.Warn
		if w.Severity == string(stopseq.Fatal) {
			style = console.Bad
		}
		p.line("\n%s %s\n%s", style(w.Severity+":"), w.Rule, pointed(info.text, w.At))
		p.line("%s\n%s", folded("  ", w.Happens, p.a.term.Width()), console.Dim(folded("  fix: ", w.Fix, p.a.term.Width())))
	}
}

// folded is a text behind a head, in lines of so many cells that begin below each
// other.
func folded(head, text string, cells int) string {
	lines := []string{head}
	for i, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		if i > 0 && len(*last)+1+len(word) > cells {
			lines = append(lines, strings.Repeat(" ", len(head)))
			last = &lines[len(lines)-1]
		} else if i > 0 {
			*last += " "
		}
		*last += word
	}
	return strings.Join(lines, "\n")
}
