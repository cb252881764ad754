package command

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// selfPath is this program, even where its file was replaced or removed meanwhile,
// as a deploy does.
func selfPath() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err != nil {
		return os.Executable()
	}
	return self, nil
}

// seclude keeps descriptors that the worker had inherited from programs, and reports
// whether what programs leave behind becomes ours.
func seclude() (adopts bool) {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11; else they are passed on
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == nil
}

// ownGroup starts a program in a process group of its own, that dies with us.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// relative is a process as proc tells about it.
type relative struct {
	pid, parent, session int
	ended                bool   // a zombie
	started              string // when; with pid it is one process and no other
}

// signalDescendants sends s to all processes that descend from this one, and
// returns how many there are. What they start meanwhile is missed: ask again.
func signalDescendants(s syscall.Signal) (found int) {
	children := map[int][]relative{}
	for _, r := range processes() {
		children[r.parent] = append(children[r.parent], r)
	}
	line := children[os.Getpid()]
	for len(line) > 0 {
		r := line[0]
		line = append(line[1:], children[r.pid]...)
		if !r.ended {
			found++
			r.signal(s)
		}
	}
	return found
}

// killOrphans kills what is left of a program whose guard is gone, and reports
// whether there was anything. It does so by the session, which is the guard's: the
// number is taken for as long as there is a process in it.
func killOrphans(guard, _ int) (any bool) {
	for _, r := range processes() {
		if r.session == guard && r.pid != guard && !r.ended {
			any = true
			r.signal(syscall.SIGKILL)
		}
	}
	return any
}

// signal holds on to the process before it looks whether that is still the same one.
func (r relative) signal(s syscall.Signal) {
	p, err := os.FindProcess(r.pid)
	if err != nil {
		return
	}
	defer p.Release()
	if now, ok := readStat(r.pid); ok && now.started == r.started {
		_ = p.Signal(s)
	}
}

func processes() []relative {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil // then there is the group
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	var all []relative
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if r, ok := readStat(pid); ok {
				all = append(all, r)
			}
		}
	}
	return all
}

// readStat reads /proc/PID/stat: the number, the name in parentheses, which may
// have any bytes in it, and then the state, the parent, the group, the session, and
// many more, of which the 20th is the start.
func readStat(pid int) (relative, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return relative{}, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return relative{}, false
	}
	parent, err1 := strconv.Atoi(fields[1])
	session, err2 := strconv.Atoi(fields[3])
	ended := fields[0] == "Z" || fields[0] == "X"
	return relative{pid, parent, session, ended, fields[19]}, err1 == nil && err2 == nil
}
