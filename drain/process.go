package drain

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// process is what /proc tells of one.
type process struct {
	pid, parent int
	born        uint64 // when it began, in ticks since the boot: with the pid, it is nobody else
	state       byte   // as in ps: R, S, T for one that is stopped, Z for one that has ended
	name        string // its file's, without the folder
	argv        []string
	uid         int
	catches     uint64 // signals that it handles, from bit 0 for signal 1
	folder      string // it works in; "" if that cannot be seen
	cgroup      string
}

var errNoProcess = errors.New("no such process, or nothing readable")

// readProcess reads what /proc, below root, has of pid.
func readProcess(root fs.FS, pid int) (process, error) {
	p := process{pid: pid, uid: -1}
	dir := fmt.Sprintf("proc/%d/", pid)
	stat, err := fs.ReadFile(root, dir+"stat")
	if err != nil {
		return p, errNoProcess
	}
	// After the name, which may hold anything: state, parent, … and as the twentieth
	// the time of its start (proc(5)).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return p, errNoProcess
	}
	p.state = fields[0][0]
	var err1, err2 error
	p.parent, err1 = strconv.Atoi(fields[1])
	p.born, err2 = strconv.ParseUint(fields[19], 10, 64)
	if err1 != nil || err2 != nil {
		return p, errNoProcess
	}
	if status, err := fs.ReadFile(root, dir+"status"); err == nil {
		p.readStatus(string(status))
	}
	if cmdline, err := fs.ReadFile(root, dir+"cmdline"); err == nil {
		// What a title leaves of the old command line is filled with zeros, or spaces.
		p.argv = strings.Split(strings.TrimRight(string(cmdline), "\x00 "), "\x00")
	}
	if cgroup, err := fs.ReadFile(root, dir+"cgroup"); err == nil {
		p.cgroup = string(cgroup)
	}
	p.folder, _ = fs.ReadLink(root, dir+"cwd")
	return p, nil
}

func (p *process) readStatus(status string) {
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		words := strings.Fields(value)
		if len(words) == 0 {
			continue
		}
		switch key {
		case "Name":
			p.name = words[0]
		case "Uid":
			if uid, err := strconv.Atoi(words[0]); err == nil {
				p.uid = uid
			}
		case "SigCgt":
			p.catches, _ = strconv.ParseUint(words[0], 16, 64)
		}
	}
}

func (p process) handles(s syscall.Signal) bool { return p.catches&(1<<(s-1)) != 0 }

// title is the command line as people see it.
func (p process) title() string { return strings.Join(p.argv, " ") }

func (p process) ended() bool { return p.state == 'Z' || p.state == 'X' }

func (p process) frozen() bool { return p.state == 'T' || p.state == 't' }

// key names this boot of the process.
func (p process) key() string { return fmt.Sprintf("%d-%d", p.pid, p.born) }

// app tells one application from another: a user, a cgroup, which is a container or a
// unit, and a working folder, or what stands for it.
func (p process) app(tag string) string {
	return fmt.Sprintf("user %d in %s%s", p.uid, cmp.Or(p.folder, tag), " "+strings.TrimSpace(p.cgroup))
}

// isInit reports whether it is ebb's.
func (p process) isInit() bool {
	if len(p.argv) == 0 {
		return false
	}
	program := path.Base(p.argv[0])
	return program == "ebb-init" || program == "ebb" && slices.Contains(p.argv[1:min(2, len(p.argv))], "init")
}

// pids lists all processes.
func pids(root fs.FS) []int {
	entries, err := fs.ReadDir(root, "proc")
	if err != nil {
		return nil // a system without
	}
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	slices.Sort(all)
	return all
}

// below lists the processes that descend from pid.
func below(root fs.FS, pid int) (found []process) {
	above := map[int]bool{pid: true}
	all := pids(root)
	// Numbers wrap around, so that a child may come before its parent.
	for grown := true; grown; {
		grown = false
		for _, pid := range all {
			if above[pid] {
				continue
			}
			if p, err := readProcess(root, pid); err == nil && above[p.parent] {
				above[pid], grown = true, true
				found = append(found, p)
			}
		}
	}
	return found
}
