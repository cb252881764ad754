package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// outcome is what a go test command came to.
type outcome struct {
	ok     bool     // it exited with 0
	failed []string // tests, without those that failed only since a part of theirs did
	output string   // of what did not build or failed outside of tests
}

// why is what made it red, in a line.
func (o outcome) why() string {
	if len(o.failed) == 0 {
		return strings.Join(strings.Fields(o.output), " ")
	}
	const most = 3
	if more := len(o.failed) - most; more > 0 {
		return strings.Join(o.failed[:most], ", ") + ", …"
	}
	return strings.Join(o.failed, ", ")
}

// goTest runs a go test command in a folder. A test that has not ended when the time
// is over has failed. The end of ctx ends the command and all that it has started.
func goTest(ctx context.Context, dir string, command []string, timeout time.Duration) outcome {
	args := append([]string{"test", "-json", "-timeout=" + timeout.String()}, command[2:]...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	o := outcome{ok: err == nil}
	o.read(out)
	if !o.ok && len(o.failed) == 0 {
		o.output += errors.String()
	}
	return o
}

// read follows the lines of go test -json.
func (o *outcome) read(out []byte) {
	running := map[string]bool{}
	in := bufio.NewScanner(bytes.NewReader(out))
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(in.Bytes(), &e) != nil {
			o.output += in.Text() + "\n"
			continue
		}
		switch e.Action {
		case "build-output":
			o.output += e.Output
		case "run":
			running[e.Test] = true
		case "pass", "skip":
			delete(running, e.Test)
		case "fail":
			delete(running, e.Test)
			if e.Test != "" {
				o.failed = append(o.failed, e.Test)
			} else { // a panic or the end of its time leaves tests without an end
				for test := range running {
					o.failed = append(o.failed, test)
				}
				clear(running)
			}
		case "output":
			if e.Test == "" {
				o.output += e.Output
			}
		}
	}
	slices.Sort(o.failed)
	o.failed = slices.Compact(o.failed)
	all := slices.Clone(o.failed)
	o.failed = slices.DeleteFunc(o.failed, func(test string) bool {
		return slices.ContainsFunc(all, func(other string) bool { return strings.HasPrefix(other, test+"/") })
	})
}
