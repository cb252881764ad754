// Command testlog reads the output of go test -json and prints what a person wants
// to see of it: a line for each package, what failed in full, and what passing
// tests want known (t.Attr). It exits with 1 if a test failed or was skipped, since
// a skipped test has shown nothing.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	ok, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// event is one line of go doc test2json.
type event struct {
	Action, Package, Test, Output, Key, Value string
}

type test struct{ pkg, name string }

func report(r io.Reader, w io.Writer) (ok bool, err error) {
	ok = true
	logs := map[test]*strings.Builder{} // of what has not ended yet
	print := func(t test) {
		if log := logs[t]; log != nil {
			io.WriteString(w, log.String())
		}
		delete(logs, t)
	}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return ok, nil
		} else if err != nil {
			return false, err
		}
		var e event
		if json.Unmarshal(line, &e) != nil {
			w.Write(line)
			continue
		}
		t := test{e.Package, e.Test}
		switch e.Action {
		case "output":
			if logs[t] == nil {
				logs[t] = &strings.Builder{}
			}
			logs[t].WriteString(e.Output)
		case "build-output":
			io.WriteString(w, e.Output)
		case "attr":
			fmt.Fprintf(w, "    %s: %s: %s\n", e.Test, e.Key, e.Value)
		case "pass":
			if e.Test == "" {
				fmt.Fprint(w, lastLine(logs[t]))
			}
			delete(logs, t)
		case "skip":
			if e.Test != "" {
				ok = false
				fmt.Fprintf(w, "skipped, which counts as failed: %s\n", e.Package)
			}
			print(t)
		case "fail":
			ok = false
			if e.Test == "" { // a panic or a timeout leaves tests without an end
				for _, left := range unended(logs, e.Package) {
					print(left)
				}
			}
			print(t)
		case "build-fail":
			ok = false
		}
	}
}

// lastLine is the one that go test prints of a package without -v.
func lastLine(log *strings.Builder) string {
	if log == nil {
		return ""
	}
	lines := strings.SplitAfter(log.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-2):], "")
}

func unended(logs map[test]*strings.Builder, pkg string) []test {
	var left []test
	for t := range logs {
		if t.pkg == pkg && t.name != "" {
			left = append(left, t)
		}
	}
	slices.SortFunc(left, func(a, b test) int { return strings.Compare(a.name, b.name) })
	return left
}
