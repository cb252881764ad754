package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/doctor"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// The forms of the doctor's answer: for people, for programs, for code scanners, and
// for the log of a GitHub workflow, which puts each finding beside its line.
const (
	formText   = "text"
	formSARIF  = "sarif"
	formGitHub = "github"
)

// failLevels are what --fail-on may be.
var failLevels = map[string]doctor.Severity{"error": doctor.Error, "warn": doctor.Warn, "info": doctor.Info, "never": doctor.Error + 1}

func newDoctor(a *app) *cobra.Command {
	var failOn, explain string
	var fix, write, live bool
	cmd := &cobra.Command{
		Use:   "doctor [PATH...]",
		Short: "Say where a stop would cost jobs",
		Long: `Read the files that start and stop workers, and say why TERM would not arrive, or the
grace is too short for what has to happen in it: what will become of a running job,
and the text that mends it. It works for any worker, Sidekiq and shell scripts
included, and needs no store.

PATH is a file or a folder, by default this one. Read are ` + doctor.Formats + `.
What one file says of another counts: a service and the Dockerfile it is built from,
a worker's own timeout and the grace that its platform gives. A file that cannot be
read is told, and the others are examined all the same.

--fix prints what can be mended without doubt as a diff, and --write does it. Each
change has proven itself: with it the doctor finds less, and nothing new.

--live looks at this machine, or container, instead: at PID 1, at the workers that run
and whether a signal reaches them, at the cgroup's limits, at the platform, and at the
settings of the store if --store or EBB_STORE name one.

It exits with 5 if there are findings of the level of --fail-on or above, and with 1
if a file could not be examined.`,
		Example: example(
			"ebb doctor                      # this folder and all below it",
			"ebb doctor Dockerfile k8s/",
			"ebb doctor --explain D07",
			"ebb doctor --fix                # what would be mended; --write does it",
			"ebb doctor -o sarif > doctor.sarif",
			"ebb doctor --live --fail-on never   # in the container, by docker exec",
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			if explain != "" {
				return explainRule(a, explain)
			}
			level, ok := failLevels[failOn]
			if !ok {
				err := fmt.Errorf("--fail-on: there is no level %q", failOn)
				return code(exitUsage, meant(err, failOn, []string{"error", "warn", "info", "never"}, "--fail-on %s", "it is one of error, warn, info, never"))
			}
			switch {
			case live && (len(args) > 0 || fix):
				return usage("--live looks at this machine, and at no files")
			case live:
				return examineLive(cmd.Context(), a, level)
			case write && !fix:
				return usage("--write goes with --fix")
			case fix && a.flags.output != "" && a.flags.output != formText:
				return usage("--fix prints a diff, and knows no -o %s", a.flags.output)
			case fix:
				return mend(a, args, level, write)
			}
			return examine(a, args, level)
		},
	}
	cmd.Flags().StringVar(&failOn, "fail-on", "error", "exit with 5 from this `LEVEL` on: error, warn, info, never")
	cmd.Flags().StringVar(&explain, "explain", "", "say what a `RULE` finds, and why jobs die of it")
	cmd.Flags().BoolVar(&fix, "fix", false, "print a diff of the fixes that are safe")
	cmd.Flags().BoolVar(&write, "write", false, "with --fix: change the files")
	cmd.Flags().BoolVar(&live, "live", false, "look at this machine, and not at files")
	cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"error", "warn", "info", "never"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("explain", cobra.FixedCompletions(ruleIDs(), cobra.ShellCompDirectiveNoFileComp))
	a.outputFlag(cmd, formText, formJSON, formSARIF, formGitHub)
	return cmd
}

func ruleIDs() (ids []string) {
	for _, r := range slices.Concat(doctor.Rules, doctor.LiveRules) {
		ids = append(ids, r.ID)
	}
	return ids
}

func examine(a *app, paths []string, level doctor.Severity) error {
	sources, problems, err := sourcesOf(paths)
	if err != nil {
		return err
	}
	report := doctor.Examine(sources)
	report.Problems = append(problems, report.Problems...)
	a.sayProblems(report)
	if err := printReport(a, report); err != nil {
		return err
	}
	return verdictOn(report, paths, level)
}

func (a *app) sayProblems(report doctor.Report) {
	for _, p := range report.Problems {
		a.say("%s %s: %s", console.Bad("ebb:"), prose.Plain(placeOf(p.At)), prose.Plain(p.Text))
	}
}

// verdictOn is how the command ends.
func verdictOn(report doctor.Report, paths []string, level doctor.Severity) error {
	switch {
	case report.Worst() >= level:
		return quietly(exitFindings)
	case len(report.Problems) > 0:
		return quietly(exitFailed)
	case report.Workloads == 0:
		return code(exitNothing, store.WithHint(fmt.Errorf("nothing in %s starts a worker", cmp.Or(strings.Join(paths, ", "), "this folder")), "it reads %s", doctor.Formats))
	}
	return nil
}

// sourcesOf reads the files that paths name, and what is in the folders. A path that
// is not there is a mistake of whoever typed it; what is unreadable below a folder
// is told.
func sourcesOf(paths []string) (sources []doctor.Source, problems []doctor.Problem, err error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, usage("%s: there is no such file or folder", path)
		}
		if err != nil {
			return nil, nil, err
		}
		dir := path
		if !info.IsDir() {
			dir = filepath.Dir(path)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, nil, err
		}
		if info.IsDir() {
			found, bad := doctor.Collect(root.FS(), filepath.ToSlash(path))
			sources, problems = append(sources, found...), append(problems, bad...)
		} else {
			s, err := doctor.ReadSource(root.FS(), filepath.Base(path))
			if err != nil {
				return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), root.Close())
			}
			s.Name, s.Named = filepath.ToSlash(path), true
			sources = append(sources, s)
		}
		if err := root.Close(); err != nil {
			return nil, nil, err
		}
	}
	return once(sources), problems, nil
}

// once leaves out what was named twice: by itself, and with its folder.
func once(sources []doctor.Source) []doctor.Source {
	seen := map[string]bool{}
	return slices.DeleteFunc(sources, func(s doctor.Source) bool {
		again := seen[s.Name]
		seen[s.Name] = true
		return again
	})
}

func placeOf(at doctor.Place) string {
	if at.Line == 0 {
		return at.File
	}
	return fmt.Sprintf("%s:%d", at.File, at.Line)
}

// explainRule prints all that is known of a rule.
func explainRule(a *app, id string) error {
	r, ok := doctor.RuleOf(id)
	if !ok {
		err := fmt.Errorf("there is no rule %q", id)
		return code(exitUsage, meant(err, strings.ToUpper(id), ruleIDs(), "ebb doctor --explain %s", "docs/reference/doctor.md lists them"))
	}
	p := &page{a: a, plain: !a.term.OutWatched}
	p.line("%s  %s  %s", console.Bold(r.ID), severityStyle(r.Severity)(r.Severity.String()), r.Title)
	p.line("\n%s", wrap(r.Why, min(a.term.Width(), 90)))
	p.line("\n%s", wrap("Fix: "+r.Fix, min(a.term.Width(), 90)))
	_, err := fmt.Fprint(a.term.Out, p.b.String())
	return err
}

// wrap breaks a text into lines of at most width.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch length := len([]rune(word)); {
		case column == 0:
			column = length
		case column+1+length > width:
			b.WriteByte('\n')
			column = length
		default:
			b.WriteByte(' ')
			column += 1 + length
		}
		b.WriteString(word)
	}
	return b.String()
}
