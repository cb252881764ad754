package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store/storeurl"
)

// lockedScript is a handler that holds a lock for as long as anything of it runs, and
// tells on itself if another run of its job holds that. It keeps a child, and a
// daemon in a session of its own, which hold the lock too.
const lockedScript = `#!/bin/sh
exec 9> "$FOLDER/locks/$EBB_JID"
if ! flock -n 9; then
  echo "$EBB_JID" >> "$FOLDER/beside"
  exit 1
fi
echo "$EBB_JID" >> "$FOLDER/begun"
setsid sleep 5 &
sleep 0.15
echo "$EBB_JID" >> "$FOLDER/done"
`

// workerKills is how often a worker is killed on each store.
var workerKills = flag.Int("worker-kills", 2, "how often ebb work is killed on each store")

// TestKilledWorkers kills ebb work in the middle of 50 shell jobs, again and again, with
// another worker beside it, and counts.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	const jobs = 50
	kills := *workerKills
	for name, url := range map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "ebb.db") },
		"redis":  func(t *testing.T) string { return redistest.Start(t, redistest.AOF()).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkplace(t, url(t))
			first, second := w.work(), w.work()
			for round := range kills {
				w.enqueue(jobs)
				total := (round + 1) * jobs
				w.await(total - jobs + jobs/4)
				before := len(distinct(w.lines("done")))
				if err := first.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				first.Wait()
				if before >= total {
					t.Errorf("round %d: all was done before the kill", round)
				}
				first, second = second, w.work()
				w.await(total)
			}
			// What was done and not acked when its worker was killed runs again: once the
			// lease is over, or later if that was its second crash.
			w.settle(int64(kills * jobs))
			for _, cmd := range []*exec.Cmd{first, second} {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
			for _, cmd := range []*exec.Cmd{first, second} {
				if err := cmd.Wait(); err != nil {
					t.Errorf("a worker that was told to stop: %v", err)
				}
			}
			w.count(kills, kills*jobs)
		})
	}
}

// workplace is a folder with a handler, its notes and a store.
type workplace struct {
	t   *testing.T
	dir string
	url string
}

func newWorkplace(t *testing.T, url string) *workplace {
	t.Helper()
	if _, err := exec.LookPath("flock"); err != nil {
		t.Fatalf("the handler takes its lock by flock, of util-linux: %v", err)
	}
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("locked.sh", lockedScript, 0o700)
	write("ebb.yml", "handlers: {Locked: {command: [./locked.sh]}}\nconcurrency: 8\nlog: {level: error}\n", 0o600)
	if err := os.Mkdir(filepath.Join(dir, "locks"), 0o700); err != nil {
		t.Fatal(err)
	}
	return &workplace{t: t, dir: dir, url: url}
}

func (w *workplace) ebb(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.CommandContext(w.t.Context(), self)
	cmd.Args = append([]string{"ebb"}, args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "EBB_STORE="+w.url, "FOLDER="+w.dir, "EBB_GRACE=10s", "EBB_SOCKET=none",
		"EBB_LEASE_TTL=2s", "EBB_LEASE_BEAT=200ms", "GORACE=atexit_sleep_ms=0")
	return cmd
}

func (w *workplace) work() *exec.Cmd {
	cmd := w.ebb("work")
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return cmd
}

func (w *workplace) enqueue(n int) {
	w.t.Helper()
	var lines strings.Builder
	for range n {
		fmt.Fprintln(&lines, `{"kind":"Locked","args":[]}`)
	}
	cmd := w.ebb("enqueue", "--from", "-")
	cmd.Stdin = strings.NewReader(lines.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("enqueue: %v\n%s", err, out)
	}
}

// lines are the jids that handlers have noted in a file.
func (w *workplace) lines(file string) []string {
	text, err := os.ReadFile(filepath.Join(w.dir, file))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// await waits until so many different jobs are done.
func (w *workplace) await(want int) {
	w.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if n := len(distinct(w.lines("done"))); n >= want {
			return
		} else if time.Now().After(deadline) {
			w.t.Fatalf("%d jobs are done, want %d", n, want)
		}
	}
}

// settle waits until the store knows of so many jobs that they are done.
func (w *workplace) settle(want int64) {
	w.t.Helper()
	s, err := storeurl.Open(w.t.Context(), w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		st, err := s.Stats(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		done := int64(0)
		for _, b := range st.Books {
			done += b.Done
		}
		if done >= want {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the store has %d jobs done, want %d", done, want)
		}
	}
}

func distinct(jids []string) map[string]int {
	times := map[string]int{}
	for _, jid := range jids {
		times[jid]++
	}
	return times
}

// count is the ledger: what was done, lost, run twice and run beside itself.
func (w *workplace) count(kills, accepted int) {
	w.t.Helper()
	done, begun, beside := distinct(w.lines("done")), distinct(w.lines("begun")), w.lines("beside")
	twice := 0
	for _, n := range begun {
		if n > 1 {
			twice++
		}
	}
	lost := accepted - len(done)
	w.t.Attr("ledger", fmt.Sprintf("%d kills of ebb work, %d shell jobs accepted, %d done, %d lost, %d begun more than once, %d beside their rescue",
		kills, accepted, len(done), lost, twice, len(beside)))
	if lost != 0 || len(beside) != 0 {
		w.t.Errorf("lost %d, beside their rescue %v", lost, beside)
	}
	if twice == 0 {
		w.t.Error("no kill cut a job: this has shown nothing")
	}
	s, err := storeurl.Open(w.t.Context(), w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	st, err := s.Stats(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range st.Books {
		if b.Done != int64(accepted) || b.Custody() != 0 || b.Arrivals() != 0 {
			w.t.Errorf("the books do not balance: %+v", b)
		}
	}
	if st.Failed != 0 {
		w.t.Errorf("%d runs were billed as failed", st.Failed)
	}
}
