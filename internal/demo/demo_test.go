package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/console"
)

// The test binary is the demo and its workers, too.
const role = "EBB_DEMO_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		os.Exit(m.Run())
	}
	var worker Settings
	var o Options
	flag.StringVar(&worker.State, "worker", "", "")
	flag.DurationVar(&worker.Step, "step", 0, "")
	flag.DurationVar(&worker.Each, "each", 0, "")
	flag.StringVar(&o.Dir, "dir", "", "")
	flag.DurationVar(&o.Pace, "for", 0, "")
	flag.IntVar(&o.Kills, "kill", 0, "")
	flag.Parse()
	var err error
	if worker.State != "" {
		err = Work(context.Background(), worker, os.Stdin, slog.New(slog.DiscardHandler))
	} else {
		o.Term = console.New(os.Stdin, os.Stdout, os.Stderr, os.Environ())
		o.Worker = func(s Settings) *exec.Cmd {
			return exec.Command(os.Args[0], "-worker", s.State, "-step", s.Step.String(), "-each", s.Each.String())
		}
		err = Run(context.Background(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// started is a demo that runs.
type started struct {
	*exec.Cmd
	out    *bufio.Scanner
	stderr *bytes.Buffer
}

func start(t *testing.T, temp string, args ...string) *started {
	t.Helper()
	s := &started{Cmd: exec.CommandContext(t.Context(), os.Args[0], args...), stderr: new(bytes.Buffer)}
	s.Env = append(os.Environ(), role+"=1", "TMPDIR="+temp, "GORACE=atexit_sleep_ms=0")
	s.Stderr = s.stderr
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewScanner(out)
	return s
}

// until reads lines until one matches, and returns its first submatch.
func (s *started) until(t *testing.T, pattern string) string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	for s.out.Scan() {
		t.Log(s.out.Text())
		if found := want.FindStringSubmatch(s.out.Text()); found != nil {
			return found[len(found)-1]
		}
	}
	err := s.Wait() // after which its standard error may be read
	t.Fatalf("it never said %q, but ended: %v; on standard error: %s", pattern, err, s.stderr)
	return ""
}

// TestKilled runs the demo as a user does: kills a worker, then the demo itself, and
// reads the ledger of the run after that.
func TestKilled(t *testing.T) {
	t.Parallel()
	const files = 150
	dir, temp := t.TempDir(), t.TempDir()
	grow(t, dir, files)
	first := start(t, temp, "-dir", dir, "-for", "4s")
	pid, err := strconv.Atoi(first.until(t, `kill -9 (\d+)`))
	if err != nil {
		t.Fatal(err)
	}
	first.until(t, `walk is at [1-9]`)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil { // one that this test started, by its child
		t.Fatal(err)
	}
	first.until(t, fmt.Sprintf(`worker %d is gone \(signal: killed\)`, pid))
	first.until(t, `[1-9] jobs? rescued .* after its end by worker \d+, no attempt billed`)
	if from := first.until(t, `the walk goes on .* from file (\d+)`); from == "0" {
		t.Error("the walk began anew")
	}
	first.Process.Kill()
	first.Wait()

	second := start(t, temp, "-dir", dir)
	second.until(t, `going on with `)
	for _, want := range []string{
		fmt.Sprintf(`accepted +%d `, files+1), fmt.Sprintf(`done +%d`, files+1), `run twice +[1-9]`, `lost +0`, fmt.Sprintf(`checked +%d `, files),
	} {
		second.until(t, want)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("%v: %s", err, second.stderr)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestKillsItself is the demo with nobody there.
func TestKillsItself(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	grow(t, dir, 100)
	d := start(t, temp, "-dir", dir, "-for", "2s", "-kill", "2")
	for range 2 {
		d.until(t, `is gone \(signal: killed\)`)
		d.until(t, `rescued`)
	}
	d.until(t, `lost +0`)
	d.until(t, `checked`)
	if err := d.Wait(); err != nil || d.stderr.Len() > 0 {
		t.Errorf("%v; on standard error: %s", err, d.stderr)
	}
}

// grow makes a tree of files, and of what is to be left out.
func grow(t *testing.T, dir string, files int) {
	t.Helper()
	noise := rand.NewChaCha8([32]byte{})
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprint("d", i%7))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(io.LimitReader(noise, 4<<10))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
}

func TestNothingThere(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	term := console.New(strings.NewReader(""), io.Discard, io.Discard, nil)
	for name, dir := range map[string]string{"empty": t.TempDir(), "missing": filepath.Join(t.TempDir(), "no")} {
		t.Run(name, func(t *testing.T) {
			if err := Run(t.Context(), Options{Dir: dir, Term: term}); err == nil {
				t.Error("no error")
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// TestStopped ends the demo as ^C does: the workers are told and waited for.
func TestStopped(t *testing.T) {
	dir, temp := t.TempDir(), t.TempDir()
	grow(t, dir, 100)
	t.Setenv("TMPDIR", temp)
	t.Setenv(role, "1") // for the workers
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	ctx, stop := context.WithCancelCause(t.Context())
	var out bytes.Buffer
	begun := 0
	o := Options{
		Dir: dir, Pace: time.Minute, Term: console.New(strings.NewReader(""), &out, io.Discard, nil),
		Worker: func(s Settings) *exec.Cmd {
			if begun++; begun == workers {
				stop(errors.New("interrupted"))
			}
			return exec.Command(os.Args[0], "-worker", s.State, "-step", s.Step.String(), "-each", s.Each.String())
		},
	}
	if err := Run(ctx, o); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "of 100 files are done; the same command goes on") {
		t.Errorf("it said\n%s", &out)
	}
}
