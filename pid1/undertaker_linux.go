package pid1

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ebbjobs/ebb/stopseq"
)

// newBoot names one start of the child. All ebb processes below us have it in their
// identity, so that what they held is found again when they have died: numbers of
// processes and names of hosts are the same in the next container.
func newBoot() string {
	var b [12]byte
	if _, err := unix.Getrandom(b[:], 0); err != nil { // before Linux 3.17: unlike those of the last second is enough
		binary.NativeEndian.PutUint64(b[:], uint64(time.Now().UnixNano()))
	}
	return fmt.Sprintf("%x", b)
}

// deadly are the signals that processes are said to die of. Of any other only the exit
// code is told.
var deadly = []syscall.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGKILL,
	syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGSEGV,
	syscall.SIGSYS, syscall.SIGTRAP, syscall.SIGXCPU, syscall.SIGXFSZ,
}

// cause says what the child died of, as ebb rescue --died-of takes it. It was for want
// of memory if the kernel killed somebody of our cgroup for that, and either the child
// is the one or it tells, as shells do, that it was its own.
func (c child) cause(ooms int) string {
	s := c.status.Signal()
	switch {
	case ooms > c.ooms && c.code() == 128+int(syscall.SIGKILL):
		return "oom"
	case c.status.Signaled() && slices.Contains(deadly, s):
		return "SIG" + stopseq.SignalName(s)
	}
	return "exit:" + strconv.Itoa(c.code())
}

// how says in words how the child ended.
func (c child) how() string {
	if c.status.Signaled() {
		return "died of " + stopseq.SignalName(c.status.Signal())
	}
	return "exited with code " + strconv.Itoa(c.status.ExitStatus())
}

// errand is the run of ebb rescue.
type errand struct {
	pid    int // 0: it has ended, or has not begun
	status syscall.WaitStatus
}

// longestErrand is how long the undertaker may take. Whatever it has not given back by
// then, others rescue when the lease ends.
const longestErrand = 10 * time.Second

// keepsJobs reports whether there is a store to give jobs back to.
func (i *supervisor) keepsJobs() bool {
	if i.store != "" {
		return true
	}
	_, err := os.Stat("ebb.yml")
	return err == nil
}

// undertake gives back what a child held that did not end well. All that descends from
// it has ended: we are the witness, and no lease needs to be waited for. Nothing that
// goes wrong here is any matter of the exit code.
func (i *supervisor) undertake() {
	if !i.keepsJobs() || !i.alone {
		return
	}
	cause := i.child.cause(i.memory.kills())
	i.say(warnings, "%s %s (%s); its jobs are given back", i.command[0], i.child.how(), cause)
	if err := i.rescue(cause); err != nil {
		i.say(0, "jobs are not given back, and wait for their lease to end: %v", err)
	}
}

func (i *supervisor) rescue(cause string) error {
	ebb, err := findEbb(i.environ)
	if err != nil {
		return err
	}
	nothing, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer syscall.Close(nothing)
	environ := with(i.environ, "EBB_BOOT", "") // it is none of those that have died
	environ = with(environ, "EBB_CHILD", strconv.Itoa(i.child.group))
	if i.store != "" {
		environ = with(environ, "EBB_STORE", i.store) // in its arguments everybody could read the password
	}
	pid, err := spawn([]string{ebb, "rescue", "--boot", i.child.boot, "--died-of", cause, "--yes"}, environ, []uintptr{uintptr(nothing), 2, 2})
	if err != nil {
		return fmt.Errorf("run %s: %w", ebb, err)
	}
	began := time.Now()
	i.errand = errand{pid: pid}
	i.until(func() bool { return i.errand.pid == 0 }, func() time.Time {
		hour := began.Add(longestErrand)
		if end := i.stop.Add(i.grace); !i.stop.IsZero() && i.grace > 0 && end.Before(hour) {
			hour = end
		}
		return hour
	})
	if i.errand.pid != 0 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		i.errand.pid = 0
		return fmt.Errorf("ebb rescue was not done after %v", time.Since(began).Round(time.Millisecond))
	}
	const nothingHeld = 3
	if c := (child{status: i.errand.status}); c.code() != 0 && c.code() != nothingHeld {
		return fmt.Errorf("ebb rescue %s", c.how())
	}
	return nil
}

// findEbb returns the command: this very program, also where a deploy has replaced its
// file, or the one beside it, or the one in PATH.
func findEbb(environ []string) (string, error) {
	if self, err := os.Executable(); err == nil {
		if filepath.Base(self) == "ebb" {
			return "/proc/self/exe", nil
		}
		beside := filepath.Join(filepath.Dir(self), "ebb")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	found, err := find("ebb", lookup(environ, "PATH"))
	if err != nil {
		return "", fmt.Errorf("there is no ebb beside this program or in PATH: put it there")
	}
	return found, nil
}

// memory are the files in which our cgroup counts whom the kernel killed for want of
// memory, the right one first.
type memory struct {
	fs.FS
	files []string
}

// memoryEvents finds them, for version 2 and 1 of cgroups. A container often sees its
// own at the top, whatever /proc calls it.
func memoryEvents(root fs.FS) memory {
	m := memory{FS: root}
	text, _ := fs.ReadFile(root, "proc/self/cgroup")
	const tree = "sys/fs/cgroup"
	for line := range strings.Lines(string(text)) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), ":")
		controllers, where, _ := strings.Cut(line, ":")
		switch {
		case controllers == "":
			m.files = append(m.files, path.Join(tree, where, "memory.events"), path.Join(tree, "memory.events"))
		case slices.Contains(strings.Split(controllers, ","), "memory"):
			m.files = append(m.files, path.Join(tree, "memory", where, "memory.oom_control"), path.Join(tree, "memory/memory.oom_control"))
		}
	}
	return m
}

// kills returns how many there were; 0 if nobody tells.
func (m memory) kills() int {
	for _, file := range m.files {
		text, err := fs.ReadFile(m, file)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(text) {
			if count, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
				n, _ := strconv.Atoi(string(bytes.TrimSpace(count)))
				return n
			}
		}
	}
	return 0
}
