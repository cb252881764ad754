package platform

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
)

var errNoProcess = errors.New("no such process, or nothing readable")

// Process is what /proc tells of a process.
type Process struct {
	PID, Parent int
	Name        string // its file's name, without the folder
	Argv        []string
	State       string // R, S, T, Z, …
	Blocked     Signals
	Ignored     Signals
	Caught      Signals
	terminal    bool // it has one
}

// Signals is a set of signals as /proc writes it.
type Signals uint64

// Has reports whether s is in the set.
func (set Signals) Has(s syscall.Signal) bool { return set&(1<<(s-1)) != 0 }

// ReadProcess reads what /proc below root has of pid.
func ReadProcess(root fs.FS, pid int) (Process, error) {
	dir := fmt.Sprintf("proc/%d/", pid)
	status, err := fs.ReadFile(root, dir+"status")
	if err != nil {
		return Process{}, errNoProcess
	}
	p := Process{PID: pid, Parent: -1}
	sets := map[string]*Signals{"SigBlk": &p.Blocked, "SigIgn": &p.Ignored, "SigCgt": &p.Caught}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Name":
			p.Name = value
		case "State":
			p.State, _, _ = strings.Cut(value, " ")
		case "PPid":
			if p.Parent, err = strconv.Atoi(value); err != nil {
				return Process{}, errNoProcess
			}
		default:
			if set := sets[key]; set != nil {
				mask, _ := strconv.ParseUint(value, 16, 64)
				*set = Signals(mask)
			}
		}
	}
	if p.Parent < 0 {
		return Process{}, errNoProcess
	}
	if cmdline, err := fs.ReadFile(root, dir+"cmdline"); err == nil {
		p.Argv = strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	}
	if stat, err := fs.ReadFile(root, dir+"stat"); err == nil {
		// After the name, which may hold anything: state, parent, group, session, tty.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		p.terminal = len(fields) > 4 && fields[4] != "0"
	}
	p.Name = cmp.Or(p.Name, "?")
	return p, nil
}
