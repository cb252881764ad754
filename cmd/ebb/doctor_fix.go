package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/ebbjobs/ebb/doctor"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
)

// mend prints what can be mended as a diff that git apply and patch -p1 take, and does
// it if asked to. The verdict is on what is left in the files then.
func mend(a *app, paths []string, level doctor.Severity, write bool) error {
	sources, problems, err := sourcesOf(paths)
	if err != nil {
		return err
	}
	report := doctor.Examine(sources)
	mended, left := doctor.Mend(sources)
	files := 0
	for i, s := range sources {
		if bytes.Equal(s.Text, mended[i].Text) {
			continue
		}
		files++
		if write {
			if err := rewrite(s, mended[i].Text); err != nil {
				return err
			}
		}
		if err := printDiff(a, s.Name, s.Text, mended[i].Text); err != nil {
			return err
		}
	}
	fixed := len(report.Findings) - len(left.Findings)
	if write {
		report = left
	}
	report.Problems = append(problems, report.Problems...)
	a.sayProblems(report)
	sayMended(a, fixed, files, len(left.Findings), write)
	return verdictOn(report, paths, level)
}

func sayMended(a *app, fixed, files, left int, write bool) {
	switch {
	case fixed == 0 && left > 0:
		a.say("%s, none that can be mended without doubt", prose.Plural(left, "finding"))
		return
	case fixed == 0:
		a.say("nothing to mend")
		return
	}
	line := fmt.Sprintf("%s in %s can be mended: %s", prose.Plural(fixed, "finding"), prose.Plural(files, "file"), console.Code("ebb doctor --fix --write"))
	if write {
		line = fmt.Sprintf("%s in %s mended", prose.Plural(fixed, "finding"), prose.Plural(files, "file"))
	}
	if left > 0 {
		line += fmt.Sprintf(" · %d left to do by hand: %s", left, console.Code("ebb doctor"))
	}
	a.say("%s", line)
}

// rewrite replaces a file at once, under the name that a link leads to. One that has
// changed since it was read is left alone.
func rewrite(s doctor.Source, text []byte) error {
	name, err := filepath.EvalSymlinks(filepath.FromSlash(s.Name))
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if now, err := os.ReadFile(name); err != nil {
		return err
	} else if !bytes.Equal(now, s.Text) {
		return fmt.Errorf("%s has changed since it was read: run the doctor again", s.Name)
	}
	return replaceFile(name, info.Mode().Perm(), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

func printDiff(a *app, name string, old, text []byte) error {
	var b strings.Builder
	lines := strings.SplitAfter(string(diff.Diff("a/"+name, old, "b/"+name, text)), "\n")
	for i, line := range lines[1:] { // the first one is the command of the diff
		body := strings.TrimRight(line, "\r\n")
		end := line[len(body):]
		if !a.term.OutWatched {
			b.WriteString(line)
			continue
		}
		body = prose.Plain(body)
		switch {
		case i < 2: // the names
			body = console.Bold(body)
		case strings.HasPrefix(body, "@@"):
			body = console.Dim(body)
		case strings.HasPrefix(body, "-"):
			body = console.Bad(body)
		case strings.HasPrefix(body, "+"):
			body = console.Good(body)
		}
		b.WriteString(body + end)
	}
	_, err := fmt.Fprint(a.term.Out, b.String())
	return err
}
