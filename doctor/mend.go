package doctor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Edit is a finding's fix as a change of one line: what is there, and what should be.
type Edit struct {
	At       Place
	Old, New string
}

// Mend does the edits of what Examine finds, and says what is left then. An edit has to
// prove itself: one that does not take its finding away, that brings another, or of
// which the line does not say where it belongs, is not done. All other bytes stay as
// they are, the ends of lines included.
func Mend(sources []Source) (mended []Source, left Report) {
	mended, left = slices.Clone(sources), Examine(sources)
	refused := map[Edit]bool{}
	for {
		i := slices.IndexFunc(left.Findings, func(f Finding) bool { return f.Edit != Edit{} && !refused[f.Edit] })
		if i < 0 {
			return mended, left
		}
		edit := left.Findings[i].Edit
		refused[edit] = true // it is not tried again, whatever comes of it
		changed, ok := edit.apply(mended)
		if !ok {
			continue
		}
		if after := Examine(changed); after.better(left) {
			mended, left = changed, after
		}
	}
}

// better says that a report has less in it than another, and nothing else.
func (r Report) better(than Report) bool {
	if len(r.Problems) > len(than.Problems) || r.Workloads != than.Workloads {
		return false
	}
	type key struct {
		rule string
		at   Place
	}
	count := map[key]int{}
	for _, f := range than.Findings {
		count[key{f.Rule, f.At}]++
	}
	for _, f := range r.Findings {
		count[key{f.Rule, f.At}]--
		if count[key{f.Rule, f.At}] < 0 {
			return false
		}
	}
	return len(r.Findings) < len(than.Findings)
}

func (e Edit) apply(sources []Source) (changed []Source, ok bool) {
	i := slices.IndexFunc(sources, func(s Source) bool { return s.Name == e.At.File })
	if i < 0 || isImageConfig(sources[i]) {
		return nil, false // what is built is changed where it is built from
	}
	lines := bytes.SplitAfter(sources[i].Text, []byte("\n"))
	if e.At.Line < 1 || e.At.Line > len(lines) {
		return nil, false
	}
	line, ok := replaceWord(string(lines[e.At.Line-1]), e.Old, e.New)
	if !ok {
		return nil, false
	}
	lines[e.At.Line-1] = []byte(line)
	changed = slices.Clone(sources)
	changed[i].Text = bytes.Join(lines, nil)
	return changed, true
}

// replaceWord replaces what stands in a line exactly once, and not as a part of a
// longer word or number.
func replaceWord(line, old, by string) (string, bool) {
	found := -1
	for i := 0; old != "" && i+len(old) <= len(line); i++ {
		if line[i:i+len(old)] != old || i > 0 && inWord(line[i-1]) && inWord(old[0]) ||
			i+len(old) < len(line) && inWord(old[len(old)-1]) && inWord(line[i+len(old)]) {
			continue
		}
		if found >= 0 {
			return "", false
		}
		found = i
	}
	if found < 0 {
		return "", false
	}
	return line[:found] + by + line[found+len(old):], true
}

func inWord(c byte) bool {
	return c == '_' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// raise makes a length of time that somebody wrote longer, in the same spelling.
func (s span) raise(to time.Duration) Edit {
	if !s.said() || to <= s.value {
		return Edit{}
	}
	by := fmt.Sprint(wholeSeconds(to))
	if strings.Trim(s.written, "0123456789") != "" {
		by += "s"
	}
	return Edit{s.at, s.written, by}
}

// terminate makes a stop signal TERM.
func (w *workload) terminate() Edit { return Edit{w.stopSignal.at, w.stopSignal.value, "SIGTERM"} }

// replaceShell puts exec in front of the program that a shell waits for as the last
// thing it does. What the shell has to do at its end would be lost.
func (p shellPath) replaceShell(at Place) Edit {
	if !p.tail || p.behind || p.nested || p.piped != "" || p.timed || p.looped || p.exec || p.traps {
		return Edit{}
	}
	return Edit{at, p.here, "exec " + p.here}
}

// replaceShell is that of the path, with the line of a text that has several.
func (l layer) replaceShell() Edit {
	at := l.at
	if l.kind == shell && strings.Contains(l.text, "\n") {
		at.Line += l.path.line // of a block, which begins below its sign
	}
	return l.path.replaceShell(at)
}
