package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
)

// living returns those of the processes that are still there, zombies apart: these
// are in other hands.
func living(t *testing.T, pids ...string) (alive []string) {
	t.Helper()
	for _, text := range pids {
		var pid int
		if _, err := fmt.Sscan(text, &pid); err != nil {
			t.Fatal(err)
		}
		if r, ok := readStat(pid); ok && !r.ended {
			alive = append(alive, text)
		}
	}
	return alive
}

// daemon is a script that starts one in the manner of daemons: orphaned, in a
// session of its own, without a terminal. It writes its number, and heeds nothing.
const daemon = `setsid sh -c '(setsid sh -c "trap \"\" TERM HUP INT; echo \$\$ > daemon; exec sleep 1000" < /dev/null > /dev/null 2>&1 &)'; `

// TestWorkerIsKilled: all that a program has started is gone before anybody can have
// the lease, and the program's folder goes as well.
func TestWorkerIsKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := s.worker(worker{Slots: 1, Script: `trap '' TERM HUP INT
		sh -c 'trap "" TERM; echo $$ > child; while :; do sleep 1; done' &
		` + daemon + `
		echo "$EBB_CHECKPOINT" > scratch
		echo $$ > main; while :; do sleep 1; done`})
	pids := []string{s.await("main"), s.await("child"), s.await("daemon")}
	if err := w.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.lease()
	if alive := living(t, pids...); alive != nil {
		t.Errorf("of %q these run on: %q", pids, alive)
	}
	if dir := filepath.Dir(s.await("scratch")); filepath.Dir(dir) != s.dir {
		t.Errorf("the job's folder was %s", dir)
	}
	s.tidied()
}

// TestWorkerIsKilledAnywhere: at whatever moment of many short programs.
func TestWorkerIsKilledAnywhere(t *testing.T) {
	t.Parallel()
	for range 10 {
		s := newSite(t)
		w := s.worker(worker{Slots: 4, Script: `echo $$ >> "pids"; (setsid sleep 30 &); sleep 0.0$(($$ % 5))`})
		s.await("pids")
		time.Sleep(rand.N(100 * time.Millisecond)) // the thing itself: any moment
		if err := w.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		s.lease()
		if alive := s.inside(); alive != nil {
			t.Errorf("these run on: %q", alive)
		}
		s.tidied()
	}
}

// tidied waits until no folder of a job is left.
func (s *site) tidied() {
	s.Helper()
	eventually(s.T, "the folders of the jobs are removed", func() bool {
		left, err := filepath.Glob(s.path("ebb-job-*"))
		return err == nil && len(left) == 0
	})
}

// worker starts w in a process of its own.
func (s *site) worker(w worker) *exec.Cmd {
	s.Helper()
	w.Dir, w.Lease = s.dir, s.path("lease")
	raw, err := json.Marshal(w)
	if err != nil {
		s.Fatal(err)
	}
	cmd := exec.CommandContext(s.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), workerVariable+"="+string(raw), "TMPDIR="+s.dir)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = cmd.Wait() })
	return cmd
}

// lease waits until the lease can be had, as a rescuer does, and takes it.
func (s *site) lease() {
	s.Helper()
	file, err := os.OpenFile(s.path("lease"), os.O_RDWR, 0)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { file.Close() })
	eventually(s.T, "the lease is free", func() bool {
		return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	})
}

// inside lists the processes that run in the site's folder.
func (s *site) inside() (names []string) {
	for _, r := range processes() {
		proc := fmt.Sprintf("/proc/%d/", r.pid)
		if dir, err := os.Readlink(proc + "cwd"); err == nil && dir == s.dir && !r.ended {
			name, _ := os.ReadFile(proc + "cmdline")
			names = append(names, fmt.Sprintf("%d %q", r.pid, name))
		}
	}
	return names
}

// TestGuardIsKilled: the program goes with it, and its job is tried again.
func TestGuardIsKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	over := make(chan error, 1)
	go func() {
		over <- s.run(t.Context(), s.shell(`sh -c 'echo $$ > child; while :; do sleep 1; done' & echo $PPID > guard; echo $$ > main; while :; do sleep 1; done`))
	}()
	pids := []string{s.await("main"), s.await("child")}
	kill(t, s.await("guard"), syscall.SIGKILL)
	if _, ok := errors.AsType[*GuardError](<-over); !ok {
		t.Errorf("not the guard's error")
	}
	eventually(t, "the program is gone", func() bool { return living(t, pids...) == nil })
	if err := s.run(t.Context(), s.shell("exit 0")); err != nil {
		t.Errorf("the next program: %v", err)
	}
	// The same while it is idle.
	if err := s.run(t.Context(), s.shell("echo $PPID > idle")); err != nil {
		t.Fatal(err)
	}
	idle := s.await("idle")
	kill(t, idle, syscall.SIGKILL)
	// A worker that has not noticed yet has a job fail, as it cannot know how far that came.
	eventually(t, "the next program runs", func() bool {
		err := s.run(t.Context(), s.shell("exit 0"))
		_, start := errors.AsType[*StartError](err)
		if _, guard := errors.AsType[*GuardError](err); err != nil && !start && !guard {
			t.Errorf("after an idle guard was killed: %v", err)
		}
		return err == nil
	})
}

func kill(t *testing.T, pid string, sig syscall.Signal) {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(pid, &n); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, sig); err != nil {
		t.Fatal(err)
	}
}

// TestGuardHearsNothing: neither what is meant for the worker, nor what would stop it.
func TestGuardHearsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	over := make(chan error, 1)
	go func() {
		over <- s.run(t.Context(), s.shell(`echo $PPID > guard; while [ ! -e enough ]; do sleep 0.05; done`))
	}()
	guard := s.await("guard")
	for _, sig := range []syscall.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
		syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGCONT, syscall.SIGWINCH,
	} {
		kill(t, guard, sig)
	}
	if err := os.WriteFile(s.path("enough"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	if err := s.run(t.Context(), s.shell("echo $PPID > again")); err != nil {
		t.Error(err)
	}
	if again := s.await("again"); again != guard {
		t.Errorf("guard %s was not used again, but %s", guard, again)
	}
}

// TestLeftBehind: what outlives its program is ended, and told of.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script string
		left   int
		mark   string // what a process wrote as it ended
	}{
		"nothing":              {"", 0, ""},
		"a moment too long":    {`(sleep 0.02; echo done > mark) &`, 0, "done\n"},
		"a background job":     {`sh -c 'trap "echo told > mark; exit" TERM; sleep 1000 & echo $$ > job; wait' & while [ ! -s job ]; do sleep 0.01; done`, 2, "told\n"},
		"a daemon":             {daemon + `while [ ! -s daemon ]; do sleep 0.01; done`, 1, ""},
		"an ended one's child": {`sh -c 'sh -c "setsid sleep 1000 & setsid sleep 1000 &" &'; sleep 0.3`, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			if err := s.run(t.Context(), s.shell(tt.script+"\nexit 0")); err != nil {
				t.Error(err)
			}
			if alive := s.inside(); alive != nil {
				t.Errorf("these run on: %q", alive)
			}
			log, want := s.log.String(), fmt.Sprintf("processes=%d", tt.left)
			if (tt.left == 0) != (log == "") || tt.left > 0 && !strings.Contains(log, want) {
				t.Errorf("want %s, logged:\n%s", want, log)
			}
			if diff := cmp.Diff(tt.mark, s.read("mark")); diff != "" {
				t.Errorf("mark (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDeafProgram: it is gone before its worker gives up waiting for it, and so is
// its daemon.
func TestDeafProgram(t *testing.T) {
	t.Parallel()
	s, c := newSite(t), client()
	p := s.start(c, s.shell(daemon+`trap "" TERM; echo $$ > main; while :; do sleep 1; done`), s.options())
	s.push(c)
	s.await("main")
	s.await("daemon")
	if diff := cmp.Diff([]string{"handed back"}, s.drain(p, 6*time.Second)); diff != "" {
		t.Errorf("fates (-want +got):\n%s\n%s", diff, s.log)
	}
	if alive := s.inside(); alive != nil {
		t.Errorf("these run on: %q", alive)
	}
}

// TestFlood: a gigabyte of standard error is read, for the most part for nothing, and
// neither fills the memory nor keeps others from running.
func TestFlood(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	over := make(chan error, 1)
	go func() {
		over <- s.run(t.Context(), s.shell(`echo > ready; yes "a line like any other" | head -c 1000000000 >&2; echo "no room" >&2; exit 9`))
	}()
	s.await("ready")
	if err := s.run(t.Context(), s.shell("echo hello")); err != nil {
		t.Error(err)
	}
	var most uint64
	for done := false; !done; {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
		select {
		case err := <-over:
			e, ok := errors.AsType[*ExitError](err)
			if !ok || e.Code != 9 || !strings.HasSuffix(e.Stderr, "\na line like any other\nano room") && !strings.HasSuffix(e.Stderr, "no room") {
				t.Errorf("got %v", err)
			}
			done = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	if most > 64<<20 {
		t.Errorf("the heap grew to %d MiB", most>>20)
	}
	if n := len(s.output.String()); n > maxOutput*3 {
		t.Errorf("%d bytes were passed on", n)
	}
}

// TestCleanStart: a program begins with the standard files and nothing else, with no
// signal ignored or blocked, as the leader of a group of its own.
func TestCleanStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	over := make(chan error, 1)
	go func() {
		over <- s.run(ctx, s.shell(`while read -r line; do case $line in SigBlk*|SigIgn*) echo "$line";; esac; done < /proc/$$/status > signals # by itself: a shell blocks all signals while it starts others
			read -r _ _ _ _ group _ < /proc/$$/stat; [ "$group" = $$ ] || exit 2
			(: < /dev/tty) 2> /dev/null && exit 3
			echo $$ > main; exec sleep 1000`))
	}()
	main := s.await("main")
	eventually(t, "there are the standard files alone", func() bool {
		files, err := os.ReadDir("/proc/" + main + "/fd")
		return err == nil && len(files) == 3 && files[2].Name() == "2"
	})
	cancel(ebb.ErrCanceled)
	if err := <-over; !errors.Is(err, ebb.ErrCanceled) {
		t.Error(err)
	}
	var blocked, ignored uint64
	if _, err := fmt.Sscanf(s.read("signals"), "SigBlk:\t%x\nSigIgn:\t%x\n", &blocked, &ignored); err != nil {
		t.Fatal(err)
	}
	if own := ignoredHere(t); blocked != 0 || ignored&^own != 0 {
		t.Errorf("blocked %x, ignored %x, by the test itself %x", blocked, ignored, own)
	}
}

// ignoredHere are the signals that whoever started the tests had ignored.
func ignoredHere(t *testing.T) (mask uint64) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "SigIgn:\t")
	if _, err := fmt.Sscanf(rest, "%x", &mask); err != nil {
		t.Fatal(err)
	}
	return mask
}

// TestGuardsAreReused, as many as are needed at once, and go when they are not.
func TestGuardsAreReused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.guards.idleFor = 300 * time.Millisecond
	many := func() int {
		s.guards.mu.Lock()
		defer s.guards.mu.Unlock()
		return len(s.guards.all)
	}
	for range 5 {
		if err := s.run(t.Context(), s.shell("exit 0")); err != nil {
			t.Fatal(err)
		}
	}
	if n := many(); n != 1 {
		t.Errorf("%d guards for one program at a time", n)
	}
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() {
			if err := s.run(t.Context(), s.shell(fmt.Sprintf(`echo $PPID > at%d; while [ ! -e enough ]; do sleep 0.02; done`, i))); err != nil {
				t.Error(err)
			}
		})
	}
	guards := []string{s.await("at0"), s.await("at1"), s.await("at2"), s.await("at3")}
	if n := many(); n != 4 {
		t.Errorf("%d guards for four programs", n)
	}
	if err := os.WriteFile(s.path("enough"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	eventually(t, "the guards are gone", func() bool { return many() == 0 && living(t, guards...) == nil })
	if err := s.run(t.Context(), s.shell("exit 0")); err != nil {
		t.Error(err)
	}
}

// TestClose ends what runs, and lets nothing begin.
func TestClose(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	over := make(chan error, 1)
	go func() { over <- s.run(t.Context(), s.shell(daemon+`echo > ready; while :; do sleep 1; done`)) }()
	s.await("ready")
	s.await("daemon")
	s.guards.Close()
	if err := <-over; err == nil {
		t.Error("a program that was ended is done")
	}
	if alive := s.inside(); alive != nil {
		t.Errorf("these run on: %q", alive)
	}
	s.guards.Close()
	if err := s.run(t.Context(), s.shell("touch started")); !errors.Is(err, errClosed) {
		t.Errorf("after the end: %v", err)
	}
}
