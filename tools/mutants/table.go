package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
)

// protection is one block of the table:
//
//	## its name
//	What it protects, in words.
//	test: go test ./store/redisstore -run TestPush
//	file: store/redisstore/push.go
//	-	if seen(call) {
//	-		return
//	-	}
//	+	_ = seen
//
// The lines with a minus are in the file exactly once, one after the other, and are
// replaced by those with a plus. Space at either end of a line does not count, so
// that code may move into a block. Further files, or places in a file, follow in the
// same way. Lines outside of blocks are for people.
type protection struct {
	name  string
	what  string
	test  []string // a go test command
	hunks []hunk
}

func (p protection) command() string { return strings.Join(p.test, " ") }

// hunk is one place that changes.
type hunk struct {
	file     string
	old, new []string
}

func readTable(file string) ([]protection, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []protection
	var p *protection
	number := 0
	for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
		number++
		line := in.Text()
		if name, ok := strings.CutPrefix(line, "## "); ok {
			all = append(all, protection{name: strings.TrimSpace(name)})
			p = &all[len(all)-1]
			continue
		}
		if strings.HasPrefix(line, "# ") { // a heading
			p = nil
		}
		if p == nil || strings.TrimSpace(line) == "" {
			continue
		}
		if err := p.read(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, number, err)
		}
	}
	for i, p := range all {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, p.name, err)
		}
		if slices.ContainsFunc(all[:i], func(other protection) bool { return other.name == p.name }) {
			return nil, fmt.Errorf("%s: %s is there twice", file, p.name)
		}
	}
	return all, nil
}

func (p *protection) read(line string) error {
	if command, ok := strings.CutPrefix(line, "test:"); ok {
		words, err := split(command)
		p.test = words
		return err
	}
	if name, ok := strings.CutPrefix(line, "file:"); ok {
		p.hunks = append(p.hunks, hunk{file: strings.TrimSpace(name)})
		return nil
	}
	if len(p.hunks) == 0 {
		p.what = strings.TrimSpace(p.what + " " + line)
		return nil
	}
	h := &p.hunks[len(p.hunks)-1]
	switch line[0] {
	case '-':
		h.old = append(h.old, line[1:])
	case '+':
		h.new = append(h.new, line[1:])
	default:
		return fmt.Errorf("%q begins with neither - nor +", line)
	}
	return nil
}

func (p *protection) check() error {
	switch {
	case p.what == "":
		return fmt.Errorf("it does not say what it protects")
	case len(p.test) < 3 || p.test[0] != "go" || p.test[1] != "test":
		return fmt.Errorf("test: %q is no go test command", p.command())
	case len(p.hunks) == 0:
		return fmt.Errorf("no file: that changes")
	}
	for _, h := range p.hunks {
		if len(h.old) == 0 || slices.Equal(h.old, h.new) {
			return fmt.Errorf("nothing changes in %s", h.file)
		}
	}
	return nil
}

// apply replaces the one place where the old lines are.
func (h hunk) apply(text []byte) ([]byte, error) {
	lines := strings.SplitAfter(string(text), "\n")
	at := -1
	for i := range len(lines) - len(h.old) + 1 {
		if !slices.EqualFunc(lines[i:i+len(h.old)], h.old, func(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }) {
			continue
		}
		if at >= 0 {
			return nil, fmt.Errorf("%s has these lines twice, at %d and %d:\n%s", h.file, at+1, i+1, strings.Join(h.old, "\n"))
		}
		at = i
	}
	if at < 0 {
		return nil, fmt.Errorf("%s does not have these lines:\n%s", h.file, strings.Join(h.old, "\n"))
	}
	var out strings.Builder
	for _, line := range lines[:at] {
		out.WriteString(line)
	}
	for _, line := range h.new {
		out.WriteString(line + "\n")
	}
	for _, line := range lines[at+len(h.old):] {
		out.WriteString(line)
	}
	return []byte(out.String()), nil
}

// split takes a command apart at spaces. Single quotes keep what is between them
// together, and nothing else is special.
func split(command string) (words []string, err error) {
	word, in, quoted := "", false, false
	for _, c := range command {
		switch {
		case c == '\'':
			quoted, in = !quoted, true
		case c == ' ' && !quoted:
			if in {
				words = append(words, word)
			}
			word, in = "", false
		default:
			word, in = word+string(c), true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote does not end in %s", command)
	}
	if in {
		words = append(words, word)
	}
	return words, nil
}
