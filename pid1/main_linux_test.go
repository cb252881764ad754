package pid1

import (
	"bufio"
	"bytes"
	"errors"
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
	"time"
)

// The test binary is the init, and the children that need Go, when it is called so.
const (
	asInit   = "-as-init"
	asWorker = "-as-worker"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asInit:
			os.Exit(Main(os.Args[2:], os.Environ()))
		case asWorker:
			os.Exit(work(os.Args[2:]))
		}
	}
	os.Exit(m.Run())
}

// app is a program that tells of each signal it gets. NAME TAKES: TERM ends it, after
// so many seconds of work.
const app = `
import os, signal, sys, time
name, takes = sys.argv[1], float(sys.argv[2])
def tell(what): os.write(1, ("%s %s\n" % (name, what)).encode())
def got(n, _):
    if n == signal.SIGCHLD: return
    tell(n)
    if n == signal.SIGTERM:
        time.sleep(takes)
        tell("finished")
        os._exit(0)
for n in range(1, 65):
    try: signal.signal(n, got)
    except (OSError, ValueError): pass
tell("ready")
while True: time.sleep(0.1) # no longer: a signal just before it is handled after it
`

// run is one run of an init.
type run struct {
	t    *testing.T
	cmd  *exec.Cmd
	pid  int // of the init as seen from here, once it was asked for
	wait func() error
	in   *os.File // what it reads, unless the test gave it something else

	mu     sync.Mutex
	cond   *sync.Cond
	lines  []string // of its standard output
	stderr bytes.Buffer
	closed bool
}

// inNamespace puts a command line into a PID namespace of its own, where its first
// process is process 1.
func inNamespace(args ...string) []string {
	return append([]string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"}, args...)
}

// self is the command line of the init under test.
func self(t *testing.T, args ...string) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{exe, asInit}, args...)
}

// start starts a command line, with APP standing for python3 and app in it.
func start(t *testing.T, args []string, change ...func(*exec.Cmd)) *run {
	t.Helper()
	for _, program := range []string{"unshare", "python3", "tini", "dumb-init"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v\nhint: scripts/test says what the tests need", err)
		}
	}
	file := filepath.Join(t.TempDir(), "app.py")
	if err := os.WriteFile(file, []byte(app), 0o644); err != nil {
		t.Fatal(err)
	}
	for n := range args {
		args[n] = strings.ReplaceAll(args[n], "APP", "python3 -S -E "+file)
	}
	r := &run{t: t, cmd: exec.Command(args[0], args[1:]...)}
	r.cond = sync.NewCond(&r.mu)
	r.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "EBB_STORE=", "EBB_GRACE=")
	stdin, toStdin := pipe(t)
	out, toOut := pipe(t)
	errOut, toErr := pipe(t)
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr, r.in = stdin, toOut, toErr, toStdin
	for _, f := range change {
		f(r.cmd)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	toOut.Close()
	toErr.Close()
	var reading sync.WaitGroup
	reading.Go(func() { r.read(out) })
	reading.Go(func() {
		for lines := bufio.NewScanner(errOut); lines.Scan(); {
			r.locked(func() { r.stderr.WriteString(lines.Text() + "\n") })
		}
		errOut.Close()
	})
	r.wait = sync.OnceValue(r.cmd.Wait)
	t.Cleanup(func() {
		for _, p := range append(below(newProc().childrenOf(r.cmd.Process.Pid)), process{incarnation: incarnation{pid: r.cmd.Process.Pid}}) {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
		r.in.Close()
		_ = r.wait()
		for _, f := range []*os.File{out, errOut} { // one that got away may hold on to the other end
			_ = f.SetReadDeadline(time.Now().Add(time.Second))
		}
		reading.Wait()
		if t.Failed() {
			t.Logf("%q said:\n%s%s", args, strings.Join(r.lines, "\n"), &r.stderr)
		}
	})
	return r
}

func pipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return read, write
}

// childrenOf are what below and concerned take.
func (p *proc) childrenOf(pid int) ([]process, map[int][]process) {
	children := p.children()
	return children[pid], children
}

func (r *run) read(out *os.File) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		r.locked(func() { r.lines = append(r.lines, lines.Text()) })
	}
	out.Close()
	r.locked(func() { r.closed = true })
}

func (r *run) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	r.cond.Broadcast()
}

// deadline is when a test gives up on something that should have happened long ago.
const deadline = 20 * time.Second

// sees waits until a line has been printed so many times.
func (r *run) sees(line string, times int) {
	r.t.Helper()
	r.until(fmt.Sprintf("%q %d times", line, times), func() bool { return r.count(line) >= times })
}

func (r *run) count(line string) (n int) {
	r.locked(func() {
		for _, l := range r.lines {
			if l == line {
				n++
			}
		}
	})
	return n
}

func (r *run) output() (lines []string) {
	r.locked(func() { lines = slices.Clone(r.lines) })
	return lines
}

func (r *run) errors() (text string) {
	r.locked(func() { text = r.stderr.String() })
	return text
}

// until polls for something.
func (r *run) until(what string, done func() bool) {
	r.t.Helper()
	for end := time.Now().Add(deadline); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s did not come; it said:\n%s\n%s", what, strings.Join(r.output(), "\n"), r.errors())
		}
	}
}

// init returns the number of the init, as seen from here.
func (r *run) init() int {
	r.t.Helper()
	if r.cmd.Args[0] != "unshare" {
		return r.cmd.Process.Pid
	}
	for r.pid == 0 {
		r.until("the init in its namespace", func() bool {
			children, _ := newProc().childrenOf(r.cmd.Process.Pid)
			if len(children) == 0 || strings.HasPrefix(newProc().title(children[0].pid), "unshare") {
				return false
			}
			r.pid = children[0].pid
			return true
		})
	}
	return r.pid
}

func (r *run) signal(s syscall.Signal) {
	r.t.Helper()
	if err := syscall.Kill(r.init(), s); err != nil {
		r.t.Fatalf("send %v: %v", s, err)
	}
}

// exit waits for the end and returns the exit code.
func (r *run) exit() int {
	r.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- r.wait() }()
	select {
	case err := <-ended:
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			if s := exit.Sys().(syscall.WaitStatus); s.Signaled() {
				return 128 + int(s.Signal())
			}
			return exit.ExitCode()
		} else if err != nil {
			r.t.Fatal(err)
		}
		return 0
	case <-time.After(deadline):
		r.t.Fatalf("it does not end; it said:\n%s\n%s", strings.Join(r.output(), "\n"), r.errors())
		return -1
	}
}

// child waits for the init's child and returns its number.
func (r *run) child() (pid int) {
	r.t.Helper()
	r.until("a child", func() bool {
		children, _ := newProc().childrenOf(r.init())
		if len(children) > 0 {
			pid = children[0].pid
		}
		return pid != 0
	})
	return pid
}

// stat returns one of the fields of /proc/PID/stat behind the name, the state being 0.
func stat(pid, field int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	return fields[field]
}
