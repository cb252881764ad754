package sqlitestore

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/internal/parallel"
	"github.com/ebbjobs/ebb/store"
)

// childRole tells a test binary that it is a process of a test.
const childRole = "SQLITESTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := runChild(role, os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		return
	}
	parallel.Tests(2)
	goleak.VerifyTestMain(m)
}

// child is another process that has the store open; what it says comes line by
// line.
type child struct {
	*exec.Cmd
	lines *bufio.Scanner
	stdin io.WriteCloser
}

func start(t *testing.T, role, path string) *child {
	t.Helper()
	c := &child{Cmd: exec.CommandContext(t.Context(), os.Args[0], path)}
	c.Env = append(os.Environ(), childRole+"="+role)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		c.stdin, err = c.StdinPipe()
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	c.lines = bufio.NewScanner(out)
	return c
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	if !c.lines.Scan() {
		t.Fatalf("the child is gone: %v", c.lines.Err())
	}
	return c.lines.Text()
}

func runChild(role, path string) error {
	switch role {
	case "guard":
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	case "restore":
		return runRestore(path)
	}
	if last, ok := strings.CutPrefix(role, "live "); ok {
		return runLife(path, last)
	}
	ctx := context.Background()
	s, err := Open(ctx, path, Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	id := store.NewIdentity()
	if _, err := s.Beat(ctx, store.Presence{ID: id}, 200*time.Millisecond); err != nil {
		return err
	}
	go func() { // the end of the parent ends the child
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	switch role {
	case "guarded", "guarded, leaves":
		jobs, _, err := s.Fetch(ctx, store.Call{By: id, Lane: store.LaneFetch, Seq: 1}, planQ, 10, time.Minute)
		if err != nil {
			return err
		}
		return runGuarded(s, id, jobs, role != "guarded")
	case "hold": // what it fetches, for ever
		jobs, _, err := s.Fetch(ctx, store.Call{By: id, Lane: store.LaneFetch, Seq: 1}, planQ, 10, time.Minute)
		fmt.Println(id, len(jobs))
		if err != nil {
			return err
		}
		select {}
	case "wait": // and say when each job came
		fmt.Println(id)
		for seq := uint64(1); ; seq++ {
			jobs, woken, err := s.Fetch(ctx, store.Call{By: id, Lane: store.LaneFetch, Seq: seq}, planQ, 1, time.Minute)
			if err != nil {
				return err
			}
			at := time.Now()
			for _, j := range jobs {
				if err := s.Ack(ctx, store.Call{By: id, Seq: seq}, store.Done{Token: j.Token}); err != nil {
					return err
				}
				fmt.Println(at.UnixNano(), woken)
			}
		}
	case "write": // as much as it can for a while
		fmt.Println(id)
		var r writeReport
		time.Sleep(time.Until(time.UnixMilli(startAt()))) // a start together
		for end := time.Now().Add(writeFor); time.Now().Before(end); r.Calls++ {
			began := time.Now()
			if _, err := s.Push(ctx, store.Call{By: id, Lane: store.LanePush, Seq: uint64(r.Calls + 1)}, testItem("a"), testItem("b")); err != nil {
				return err
			}
			r.Worst = max(r.Worst, time.Since(began))
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	return fmt.Errorf("no role %q", role)
}

const (
	writeFor   = 1500 * time.Millisecond
	startAtEnv = "SQLITESTORE_TEST_START"
)

func startAt() int64 { n, _ := strconv.ParseInt(os.Getenv(startAtEnv), 10, 64); return n }

type writeReport struct {
	Calls int
	Worst time.Duration
}

// TestKilled: the jobs of a process that is KILLed are lost to nobody, and its death
// is known at once, though its lease by time would go on for long.
func TestKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s := openFile(t, path, Options{})
	mustPush(t, s, "a", "b", "c")
	want := ready(t, s)
	c := start(t, "hold", path)
	var id store.Identity
	var n int
	fmt.Sscan(c.line(t), &id, &n)
	if n != 3 {
		t.Fatalf("the child holds %d", n)
	}
	w := register(t, s)

	// Frozen is not dead, however late its beats are.
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the frozen process is named", func() bool {
		ps, err := s.Processes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			if p.ID == id {
				return p.Frozen && !p.Lapsed && p.Holds == 3
			}
		}
		return false
	})
	if lost, err := s.Orphans(t.Context(), 10); err != nil || len(lost) != 0 {
		t.Fatalf("lost %v, %v while the owner is frozen", lost, err)
	}

	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	var lost []store.Lost
	eventually(t, "the killed process is found", func() (ok bool) {
		var err error
		if lost, err = s.Orphans(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		return len(lost) == 1
	})
	t.Logf("found %v after the KILL", time.Since(killed))
	if lost[0].ID != id || lost[0].Cause != store.Lapsed || len(lost[0].Jobs) != 3 {
		t.Fatalf("lost %+v", lost)
	}
	salvage := store.Salvage{ID: id, Cause: store.Lapsed, Seen: lost[0].Seen, Report: &store.StopReport{ID: id, By: w.id}}
	for _, j := range lost[0].Jobs {
		salvage.Jobs = append(salvage.Jobs, store.Rescued{Token: j.Token, Was: j.Payload})
	}
	if n, err := s.Rescue(t.Context(), salvage); err != nil || n != 3 {
		t.Fatalf("rescued %d, %v", n, err)
	}
	if got := ready(t, s); len(got) != len(want) {
		t.Errorf("ready %v, want %v", got, want)
	}
	if _, err := os.Stat(s.leasePath(id)); err == nil {
		t.Error("its lease file is still there")
	}
}

// TestWakesOthers: an idle worker of another process has a pushed job at once, and
// never by chance of looking again. Watching the log instead of the wake file
// fails here: its event comes before the commit can be seen.
func TestWakesOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s := openFile(t, path, Options{})
	c := start(t, "wait", path)
	c.line(t)
	mustPush(t, s, "warm up")
	c.line(t)
	const n = 200
	var took []time.Duration
	polled := 0
	for i := range n {
		// Not before the child waits again; sometimes as it just begins to.
		time.Sleep(time.Duration(i%5) * time.Millisecond)
		pushed := time.Now()
		mustPush(t, s, "job")
		var at int64
		var woken string
		fmt.Sscan(c.line(t), &at, &woken)
		took = append(took, time.Unix(0, at).Sub(pushed))
		if woken == "polled" {
			polled++
		}
	}
	if polled > 0 {
		t.Errorf("%d of %d jobs were found only by looking again", polled, n)
	}
	slices.Sort(took)
	t.Logf("median %v, worst %v", took[n/2], took[n-1])
	if took[n/2] > 50*time.Millisecond { // the machine may not be ours alone
		t.Errorf("half of all jobs took longer than %v", took[n/2])
	}
}

// TestWritersTakeTurns: no process is starved by others that write all the time. What
// else runs on the machine may starve one for a second or two, but not again and
// again; a lock that is unfair does so each time.
func TestWritersTakeTurns(t *testing.T) {
	for round := range 4 {
		reports, fair := takeTurns(t)
		t.Log(round, reports)
		if fair {
			return
		}
	}
	t.Error("in each round somebody had less than half of a fair share, or waited for more than a second")
}

// takeTurns has four processes write for a while, and reports whether each had at
// least half of a fair share, and none a long wait.
func takeTurns(t *testing.T) (reports []writeReport, fair bool) {
	path := filepath.Join(t.TempDir(), "ebb.db")
	openFile(t, path, Options{})
	t.Setenv(startAtEnv, fmt.Sprint(time.Now().Add(time.Second).UnixMilli()))
	const n = 4
	var children []*child
	for range n {
		c := start(t, "write", path)
		c.line(t)
		children = append(children, c)
	}
	total := 0
	for _, c := range children {
		var r writeReport
		if err := json.Unmarshal([]byte(c.line(t)), &r); err != nil {
			t.Fatal(err)
		}
		total += r.Calls
		reports = append(reports, r)
	}
	fair = true
	for _, r := range reports {
		fair = fair && r.Calls >= total/n/2 && r.Worst <= time.Second
	}
	return reports, fair
}
