package pid1

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// rival is an init in the table.
type rival struct {
	name string
	args []string // before the flags
}

func rivals(t *testing.T) []rival {
	return []rival{{"ebb", self(t)}, {"tini", []string{"tini"}}, {"dumb-init", []string{"dumb-init"}}}
}

// notThere is what is seen of an init that has no such flag.
const notThere = "n/a"

// conforms are the cases that all three go through. see runs one and says what was
// to be seen; want is what that must be with ebb.
var conforms = []struct {
	name string
	want string
	see  func(*testing.T, rival) string
}{
	{"C1 exit 0, 1, 42, 255", "0 1 42 255", func(t *testing.T, v rival) string {
		return codes(t, v, "exit 0", "exit 1", "exit 42", "exit 255")
	}},
	{"C2 dies of TERM, KILL, SEGV, USR1, 34", "143 137 139 138 162", func(t *testing.T, v rival) string {
		return codes(t, v, "kill -TERM $$", "kill -KILL $$", "kill -SEGV $$", "kill -USR1 $$", "kill -34 $$")
	}},
	{"C3 no such command, path and name", "127 127", func(t *testing.T, v rival) string {
		return fmt.Sprint(pid1(t, v, "--", "/nonexistent").exit(), " ", pid1(t, v, "--", "no-such-command").exit())
	}},
	{"C4 without x, a folder", "126 126", func(t *testing.T, v rival) string {
		dir := t.TempDir()
		file := filepath.Join(dir, "text")
		write(t, file, "exit 3\n", 0o644)
		return fmt.Sprint(pid1(t, v, "--", file).exit(), " ", pid1(t, v, "--", dir).exit())
	}},
	{"C5 a script without #!", "3", func(t *testing.T, v rival) string {
		file := filepath.Join(t.TempDir(), "script")
		write(t, file, "exit 3\n", 0o755)
		return fmt.Sprint(pid1(t, v, "--", file).exit())
	}},
	{"C6 no command", "1", func(t *testing.T, v rival) string { return fmt.Sprint(pid1(t, v).exit()) }},
	{"C7 -e 143 and death by TERM", "0", func(t *testing.T, v rival) string {
		if v.name == "dumb-init" {
			return notThere
		}
		return fmt.Sprint(pid1(t, v, "-e", "143", "--", "sh", "-c", "kill -TERM $$").exit())
	}},
	{"C8 TERM to an app that works on", "app TERM, finished; 0", func(t *testing.T, v rival) string {
		return told(t, v, "exec APP app 0.3")
	}},
	{"C13 TSTP, CONT, TERM to one without handlers", "T S 143", func(t *testing.T, v rival) string {
		r := pid1(t, v, "--", "sleep", "60")
		pid := r.child()
		r.until("sleep", func() bool { return strings.HasPrefix(newProc().title(pid), "sleep") })
		r.signal(syscall.SIGTSTP)
		r.until("T", func() bool { return stat(pid, 0) == "T" })
		r.signal(syscall.SIGCONT)
		r.until("S", func() bool { return stat(pid, 0) == "S" })
		r.signal(syscall.SIGTERM)
		return fmt.Sprint("T S ", r.exit())
	}},
	{"C14 zombies of 50 orphans", "0", func(t *testing.T, v rival) string {
		r := pid1(t, v, "--", "sh", "-c", "for i in $(seq 50); do (sleep 0.0$i &); done; echo started; exec sleep 60")
		r.sees("started", 1)
		left := func() int {
			children, _ := newProc().childrenOf(r.init())
			return len(children) - 1
		}
		r.until("all reaped", func() bool { return left() == 0 })
		return fmt.Sprint(left())
	}},
	{"C15 not process 1, -s: an orphan's parent", "the init", func(t *testing.T, v rival) string {
		if v.name == "dumb-init" {
			return notThere
		}
		return orphan(t, v, "-s")
	}},
	{"C16 not process 1, without -s", "the init", func(t *testing.T, v rival) string { return orphan(t, v) }},
	{"C17 the child's group and session", "own group, our session", func(t *testing.T, v rival) string {
		r := start(t, append(slices.Clone(v.args), "--", "sh", "-c", "echo ready; exec sleep 60"))
		r.sees("ready", 1)
		pid := strconv.Itoa(r.child())
		group, session := "inherited group", "our session"
		if stat(r.child(), 2) == pid {
			group = "own group"
		}
		if stat(r.child(), 3) == pid {
			session = "own session"
		}
		return group + ", " + session
	}},
	{"C18 on a terminal: who is in front; ^C", "the child; 130", onTerminal},
	{"C19 TERM while stopped, then CONT", "143", func(t *testing.T, v rival) string {
		r := pid1(t, v, "--", "sh", "-c", "echo ready; exec sleep 60")
		r.sees("ready", 1)
		r.signal(syscall.SIGSTOP)
		r.until("T", func() bool { return stat(r.init(), 0) == "T" })
		r.signal(syscall.SIGTERM)
		r.signal(syscall.SIGCONT)
		return fmt.Sprint(r.exit())
	}},
	{"C20 KILL and STOP from inside", "0", func(t *testing.T, v rival) string {
		return codes(t, v, "kill -KILL 1; kill -STOP 1; exit 0")
	}},
	{"C21 blocked and ignored, if we were started so", "0 0", func(t *testing.T, v rival) string {
		args := append([]string{"env", "--ignore-signal=HUP,INT,PIPE,TTIN,TTOU,TSTP,RTMIN", "--block-signal=USR1,TERM"}, v.args...)
		r := start(t, inNamespace(append(args, "--", "cat", "/proc/self/status")...))
		r.exit()
		var masks []string
		r.until("the status", r.isClosed)
		for _, line := range r.output() {
			if mask, ok := strings.CutPrefix(line, "SigBlk:\t"); ok {
				masks = append(masks, mask)
			} else if mask, ok := strings.CutPrefix(line, "SigIgn:\t"); ok {
				masks = append(masks, mask)
			}
		}
		for n := range masks {
			if masks[n] = strings.TrimLeft(masks[n], "0"); masks[n] == "" {
				masks[n] = "0"
			}
		}
		return strings.Join(masks, " ")
	}},
	{"C22 -p SIGTERM, the parent ends", "app TERM, finished", func(t *testing.T, v rival) string {
		if v.name == "dumb-init" {
			return notThere
		}
		parent := []string{"sh", "-c", `sh -c '"$@" & read line' sh "$@"; sleep 5`, "sh"}
		r := start(t, inNamespace(append(append(parent, v.args...), "-p", "SIGTERM", "--", "sh", "-c", "exec APP app 0.1")...))
		r.sees("app ready", 1)
		r.in.Close()
		r.sees("app finished", 1)
		return seen(r.output())
	}},
	{"C23 the child ends, another works on", "app TERM, finished; 5", func(t *testing.T, v rival) string {
		r := pid1(t, v, "--", "sh", "-c", "APP app 0.3 & read line; exit 5")
		r.sees("app ready", 1)
		r.in.Close()
		return ending(r)
	}},
	{"C24 sh -c 'app; echo', TERM", "app TERM, finished; 143", func(t *testing.T, v rival) string { return told(t, v, "APP app 0.3; echo") }},
	{"C25 in a group of its own, TERM", "app TERM, finished; 143", func(t *testing.T, v rival) string {
		return told(t, v, "set -m; APP app 0.3 & wait")
	}},
	{"C25 in a session of its own, TERM", "app TERM, finished; 143", func(t *testing.T, v rival) string {
		return told(t, v, "setsid APP app 0.3; echo")
	}},
	{"C26 USR1 five times at once", "some", func(t *testing.T, v rival) string {
		r := pid1(t, v, "--", "sh", "-c", "exec APP app 0")
		r.sees("app ready", 1)
		for range 5 {
			r.signal(syscall.SIGUSR1)
		}
		r.sees("app 10", 1)
		return "some"
	}},
}

// TestConformance runs what is known of inits on ebb's, and on the two that people
// have. It prints the table.
func TestConformance(t *testing.T) {
	t.Parallel()
	all := rivals(t)
	var mu sync.Mutex
	saw := map[string]string{}
	t.Run("cases", func(t *testing.T) {
		for _, c := range conforms {
			for _, v := range all {
				t.Run(c.name+"/"+v.name, func(t *testing.T) {
					t.Parallel()
					got := c.see(t, v)
					mu.Lock()
					saw[c.name+v.name] = got
					mu.Unlock()
					if v.name == "ebb" && got != c.want {
						t.Errorf("got %q, want %q", got, c.want)
					}
				})
			}
		}
		for _, v := range all {
			t.Run("signals/"+v.name, func(t *testing.T) {
				t.Parallel()
				for name, got := range signalsThrough(t, v) {
					mu.Lock()
					saw[name+v.name] = got
					mu.Unlock()
				}
			})
		}
	})
	var table strings.Builder
	line := func(name string) {
		fmt.Fprintf(&table, "%-50s %-26s %-26s %s\n", name, saw[name+"ebb"], saw[name+"tini"], saw[name+"dumb-init"])
	}
	fmt.Fprintf(&table, "%-50s %-26s %-26s %s\n", "", "ebb init", "tini", "dumb-init")
	for _, c := range conforms {
		line(c.name)
	}
	for s := syscall.Signal(1); s <= 64; s++ {
		name := signalCase(s)
		if _, sent := saw[name+"tini"]; !sent {
			continue
		}
		line(name)
		want := "passed on"
		if deaf[s] || unheard[s] {
			want = "nothing"
		}
		if got := saw[name+"ebb"]; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	t.Logf("what was seen:\n%s", &table)
}

func signalCase(s syscall.Signal) string { return fmt.Sprintf("C9-C12 signal %d", s) }

// signalsThrough sends every signal to an init, and says what became of each. USR2
// comes back when all that was sent before it has been passed on: twice, since two
// that are pending are taken by their numbers.
func signalsThrough(t *testing.T, v rival) map[string]string {
	r := pid1(t, v, "--", "sh", "-c", "exec APP app 0")
	r.sees("app ready", 1)
	child := r.child()
	saw := map[string]string{}
	sentinels := 0
	for s := syscall.Signal(1); s <= 64; s++ {
		switch s {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGUSR2, syscall.SIGTERM, 32, 33:
			continue // TERM ends the app, 32 and 33 are the C library's
		}
		if s > 35 && s < 64 {
			continue
		}
		r.signal(s)
		stopped := false
		for range 2 {
			sentinels++
			r.signal(syscall.SIGUSR2)
			r.until("the sentinel", func() bool {
				if stat(child, 0) == "T" {
					stopped = true
					_ = syscall.Kill(child, syscall.SIGCONT)
				}
				if r.count("app 12") < sentinels && stat(r.init(), 0) == "T" {
					r.signal(syscall.SIGCONT)
				}
				return r.count("app 12") >= sentinels
			})
		}
		switch {
		case stopped:
			saw[signalCase(s)] = "STOPPED"
		case r.count(fmt.Sprintf("app %d", s)) > 0:
			saw[signalCase(s)] = "passed on"
		default:
			saw[signalCase(s)] = "nothing"
		}
	}
	r.signal(syscall.SIGKILL)
	return saw
}

// pid1 starts an init as process 1.
func pid1(t *testing.T, v rival, args ...string) *run {
	t.Helper()
	return start(t, inNamespace(append(slices.Clone(v.args), args...)...))
}

func codes(t *testing.T, v rival, lines ...string) string {
	t.Helper()
	var all []string
	for _, line := range lines {
		all = append(all, strconv.Itoa(pid1(t, v, "--", "sh", "-c", line).exit()))
	}
	return strings.Join(all, " ")
}

// told starts a shell line with an app in it, sends TERM, and says what was seen.
func told(t *testing.T, v rival, line string) string {
	t.Helper()
	r := pid1(t, v, "--", "sh", "-c", line)
	r.sees("app ready", 1)
	r.signal(syscall.SIGTERM)
	return ending(r)
}

func ending(r *run) string {
	r.t.Helper()
	code := r.exit()
	r.until("the end of the output", r.isClosed)
	return seen(r.output()) + "; " + strconv.Itoa(code)
}

func (r *run) isClosed() (closed bool) {
	r.locked(func() { closed = r.closed })
	return closed
}

// seen says what the app told of its end.
func seen(lines []string) string {
	switch {
	case slices.Contains(lines, "app finished"):
		return "app TERM, finished"
	case slices.Contains(lines, "app 15"):
		return "app TERM, CUT"
	}
	return "app CUT, no TERM"
}

// orphan says who takes in orphans of an init that is not process 1.
func orphan(t *testing.T, v rival, flags ...string) string {
	t.Helper()
	r := start(t, append(append(slices.Clone(v.args), flags...), "--", "sh", "-c", "(sleep 60 & echo $!); exec sleep 60"))
	pid := 0
	r.until("the orphan's number", func() bool {
		if lines := r.output(); len(lines) > 0 {
			pid, _ = strconv.Atoi(lines[0])
		}
		return pid != 0
	})
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	// The shell goes on once its subshell, which was the parent, has ended.
	r.until("the end of its parent", func() bool {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", r.child()))
		return err == nil && string(name) == "sleep\n"
	})
	if stat(pid, 1) == strconv.Itoa(r.init()) {
		return "the init"
	}
	return "others"
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// onTerminal says whose the terminal is, and what ^C does.
func onTerminal(t *testing.T, v rival) string {
	keys, screen := openTerminal(t)
	r := start(t, append(slices.Clone(v.args), "--", "sh", "-c", "echo ready; exec sleep 60"), func(cmd *exec.Cmd) {
		cmd.Stdin = screen
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	})
	screen.Close()
	r.sees("ready", 1)
	child, front := r.child(), "another"
	r.until("sleep", func() bool { return strings.HasPrefix(newProc().title(child), "sleep") })
	if group, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPGRP); err == nil && group == child {
		front = "the child"
	}
	if _, err := keys.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(front, "; ", r.exit())
}

// openTerminal returns both ends of a new terminal.
func openTerminal(t *testing.T) (keys, screen *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	if err := unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return keys, screen
}
