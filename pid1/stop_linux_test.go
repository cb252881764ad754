package pid1

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// work is a worker of ebb's as far as a stop can tell: it has a control socket, one
// job that ends when a line is read from standard input, and prints what it is told.
func work([]string) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTSTP, syscall.SIGTERM)
	server, err := control.Listen(os.Getpid(), control.Dirs(os.Getenv))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx, end := context.WithCancel(context.Background())
	w := &worker{busy: true}
	var serving sync.WaitGroup
	serving.Go(func() { server.Run(ctx, w, nil) })
	defer serving.Wait()
	defer end()
	go func() {
		bufio.NewScanner(os.Stdin).Scan()
		w.set(func() { w.busy = false })
		fmt.Println("job done")
	}()
	fmt.Println("worker ready")
	for s := range signals {
		fmt.Println("worker", s)
		if s == syscall.SIGTERM {
			return 0
		}
		w.set(func() { w.quiet = true })
	}
	return 1
}

type worker struct {
	mu          sync.Mutex
	busy, quiet bool
}

func (w *worker) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *worker) Status() (s control.Status) {
	w.set(func() {
		s.State = "running"
		if w.quiet {
			s.State = "quiet"
		}
		if w.busy {
			s.Busy = []store.Run{{}}
		}
	})
	return s
}

func (w *worker) Notice(e lifecycle.Event) error {
	left := time.Until(e.Kill)
	fmt.Printf("worker told %v, %q, about an hour: %v\n", e.Kind, e.Why, 55*time.Minute < left && left < time.Hour)
	return nil
}

func (w *worker) Dump() string { return "" }

// worker is the command line of one.
func workerLine(t *testing.T) []string {
	t.Helper()
	return []string{self(t)[0], asWorker}
}

// TestStopWaitsForIdleness: TERM begins the sequence, and the next ones neither begin
// it again nor shorten it. A worker of ebb's learns the hour of the KILL first, and
// gets TERM when its job is done.
func TestStopWaitsForIdleness(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		line []string
	}{
		{"the child itself", workerLine(t)},
		{"behind a shell", []string{"sh", "-c", strings.Join(workerLine(t), " ") + "; exit $?"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := start(t, self(t, append([]string{"--stop", "TSTP;idle<=1h;TERM;25s;KILL", "--grace", "3600", "--"}, c.line...)...), func(cmd *exec.Cmd) {
				cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+dir)
			})
			r.sees("worker ready", 1)
			r.signal(syscall.SIGTERM)
			r.sees("worker stopped", 1)
			for range 3 {
				r.signal(syscall.SIGTERM)
				r.signal(syscall.SIGWINCH) // is passed on, after the TERM was heard
			}
			r.until("idle", func() bool { return strings.Contains(r.errors(), "stop: idle<=1h") })
			fmt.Fprintln(r.in)
			want := 0
			if c.name == "behind a shell" {
				want = 128 + int(syscall.SIGTERM)
			}
			if got := r.exit(); got != want {
				t.Errorf("exit %d, want %d", got, want)
			}
			r.until("the end", r.isClosed)
			told := `worker told quiet, "stop sequence", about an hour: true`
			if got := r.output(); !slices.Equal(got, []string{"worker ready", told, "worker stopped", "job done", "worker terminated"}) {
				t.Errorf("it saw %q", got)
			}
		})
	}
}

// TestStopOn: another signal begins the sequence, and TERM is then one as any other.
func TestStopOn(t *testing.T) {
	t.Parallel()
	r := start(t, self(t, "--stop", "USR1;100ms;KILL", "--on", "QUIT", "--map", "TERM=USR2", "--map=HUP=0", "sh", "-c", "exec APP app 0"))
	r.sees("app ready", 1)
	r.signal(syscall.SIGHUP)
	r.signal(syscall.SIGTERM)
	r.sees("app 12", 1)
	r.signal(syscall.SIGQUIT)
	if got := r.exit(); got != 137 {
		t.Errorf("exit %d", got)
	}
	r.until("the end", r.isClosed)
	if got := r.output(); !slices.Equal(got, []string{"app ready", "app 12", "app 10"}) {
		t.Errorf("it saw %q", got)
	}
}

// TestCare: a signal goes to those whom nobody above takes care of.
func TestCare(t *testing.T) {
	t.Parallel()
	const family = "trap 'echo parent' USR1; APP helper 0 & wait; wait"
	for _, c := range []struct {
		name string
		args []string
		line string
		want []string
	}{
		{"a parent that handles it", nil, family, []string{"helper ready", "parent"}},
		{"a parent that does not", nil, "trap '' USR1; APP helper 0; echo", []string{"helper 10", "helper ready"}},
		{"the group", []string{"-g"}, family, []string{"helper 10", "helper ready", "parent"}},
		{"the child alone", []string{"-c"}, family, []string{"helper ready", "parent"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, self(t, append(c.args, "--", "sh", "-c", c.line)...))
			r.sees("helper ready", 1)
			r.signal(syscall.SIGUSR1)
			for _, line := range c.want {
				r.sees(line, 1)
			}
			r.signal(syscall.SIGTERM) // and then the helper tells of what came before
			r.exit()
			r.until("the end", r.isClosed)
			got := slices.DeleteFunc(r.output(), func(l string) bool { return l == "helper 15" || l == "helper finished" })
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("saw %q, want %q", got, c.want)
			}
		})
	}
}

// TestLeftBehind: what the child leaves gets TERM once, and KILL when its time is over.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		line string
		stop bool
		want []string
		exit int
	}{
		{"it had TERM, and has no second one", nil, "APP app 0.5; echo", true, []string{"app ready", "app 15", "app finished"}, 143},
		{"outside of a stop, the linger time", []string{"--linger", "200ms"}, "APP app 60 & read line; exit 4", false, []string{"app ready", "app 15"}, 4},
		{"in a stop, the grace", []string{"--linger", "1h", "--grace", "1"}, "APP app 60; echo", true, []string{"app ready", "app 15"}, 143},
		{"one that is started late", []string{"--linger", "1h"}, "(trap 'setsid sleep 3600 & exit' TERM; echo early; while :; do sleep 0.05; done) & read line; exit 6", false,
			[]string{"early"}, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, self(t, append(c.args, "--", "sh", "-c", c.line)...))
			r.sees(c.want[0], 1)
			if c.stop {
				r.signal(syscall.SIGTERM)
			} else {
				r.in.Close()
			}
			if got := r.exit(); got != c.exit {
				t.Errorf("exit %d, want %d", got, c.exit)
			}
			r.until("the end of all", r.isClosed)
			if got := r.output(); !slices.Equal(got, c.want) {
				t.Errorf("saw %q, want %q", got, c.want)
			}
		})
	}
}

// TestStoppedHearsTerm: TSTP stops who does not handle it, and TERM ends it all the same.
func TestStoppedHearsTerm(t *testing.T) {
	t.Parallel()
	r := start(t, self(t, "--", "sh", "-c", "echo ready; exec sleep 60"))
	r.sees("ready", 1)
	r.signal(syscall.SIGTSTP)
	r.until("T", func() bool { return stat(r.child(), 0) == "T" })
	r.signal(syscall.SIGTERM)
	if got := r.exit(); got != 143 {
		t.Errorf("exit %d", got)
	}
}

// TestQuietFreezesNobody: in a sequence TSTP is for those who handle it.
func TestQuietFreezesNobody(t *testing.T) {
	t.Parallel()
	r := start(t, self(t, "--stop", "TSTP;1h;TERM", "--", "sh", "-c", "echo ready; exec sleep 60"))
	r.sees("ready", 1)
	r.signal(syscall.SIGTERM)
	r.until("the wait", func() bool { return strings.Contains(r.errors(), "stop: 1h") })
	if state := stat(r.child(), 0); state == "T" {
		t.Error("it is frozen")
	}
}

// TestNobodyReads: the PIPE that our own words cause is no business of the child's.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	read, write := pipe(t)
	read.Close()
	defer write.Close()
	r := start(t, self(t, "-vv", "--", "sh", "-c", "exec APP app 0 2>/dev/null"), func(cmd *exec.Cmd) { cmd.Stderr = write })
	r.sees("app ready", 1)
	r.signal(syscall.SIGUSR1)
	r.sees("app 10", 1)
	r.signal(syscall.SIGPIPE)
	r.sees("app 13", 1)
	r.signal(syscall.SIGTERM)
	if got := r.exit(); got != 0 || r.count("app 13") != 1 {
		t.Errorf("exit %d, saw %q", got, r.output())
	}
}

// TestTerminalAtOnce: a child that was stopped for asking before the terminal was its
// own is not left so. Whether it does ask so early is chance, so this one stops itself
// in the same way.
func TestTerminalAtOnce(t *testing.T) {
	t.Parallel()
	keys, screen := openTerminal(t)
	r := start(t, self(t, "--", "sh", "-c", "kill -TTIN $$; head -n1"), func(cmd *exec.Cmd) {
		cmd.Stdin = screen
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	})
	screen.Close()
	if _, err := keys.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	r.sees("hello", 1)
	if got := r.exit(); got != 0 {
		t.Errorf("exit %d", got)
	}
}

// TestSize measures ebb-init as it is shipped.
func TestSize(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ebb-init")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "github.com/ebbjobs/ebb/cmd/ebb-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r := start(t, inNamespace(file, "--stop", "TSTP;idle<=1h;TERM", "--", "sh", "-c", "trap : TSTP; echo ready; while :; do sleep 0.1; done"))
	r.sees("ready", 1)
	took := time.Since(began)
	rss := memoryOf(t, r, "VmRSS")
	r.signal(syscall.SIGTERM)
	r.until("idle", func() bool { return strings.Contains(r.errors(), "stop: idle") })
	inStop := 0
	for looked := time.Now(); time.Since(looked) < 5*time.Second; time.Sleep(100 * time.Millisecond) { // what it throws away adds up
		inStop = max(inStop, memoryOf(t, r, "VmRSS"))
	}
	t.Logf("size %d KiB, start to the child's first word %v, RSS %d KiB, %d KiB in a stop", info.Size()>>10, took.Round(time.Millisecond), rss, inStop)
	if rss > 4<<10 {
		t.Errorf("RSS is %d KiB, and must be at most 4 MiB", rss)
	}
	if inStop > 9<<9 { // some 4 MiB, and half of one for another kernel's pages; without its limit it is 5
		t.Errorf("RSS is %d KiB while it waits for idleness", inStop)
	}
	r.signal(syscall.SIGKILL)
}

func memoryOf(t *testing.T, r *run, what string) (kib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.init()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, what+":"); ok {
			fmt.Sscan(value, &kib)
		}
	}
	return kib
}
