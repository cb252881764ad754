//go:build slow

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/drain"
	"github.com/ebbjobs/ebb/internal/control"
)

// What hooks and scripts written for Sidekiq find of a worker of ebb's: the README of
// sidekiq_alive lets grep look, sidekiq_safe_shutdown.rb reads each line of ps.
func TestHooksFindAWorkerOfEbb(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w, silent := p.goWorker(), p.goWorker("EBB_TITLE=off")
	w.titled("sidekiq 8.1.7 ebb shop [0 of 3 busy]")
	p.await("two processes", func() bool {
		all, err := p.client.Store().Processes(t.Context())
		p.must(err)
		return len(all) == 2
	})
	if title := silent.title(); title != "/proc/self/exe" {
		t.Errorf("without a title it is called %q", title)
	}
	found := func() string {
		t.Helper()
		lines, err := exec.Command("sh", "-c", `ps aux | grep '[s]idekiq.*\[.*busy\]'`).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\nhint: apt-get install procps", err, lines)
		}
		return regexp.MustCompile(fmt.Sprintf(`(?m)^\S+\s+%d .*$`, w.cmd.Process.Pid)).FindString(string(lines))
	}
	scripts := regexp.MustCompile(`sidekiq (\d+)\.\d+\.\d+.*\[(\d+) of (\d+) busy\]`)
	if m := scripts.FindStringSubmatch(found()); m == nil || m[1] != "8" || m[2] != "0" || m[3] != "3" {
		t.Fatalf("ps shows %q, read as %q", found(), m)
	}

	// Its socket and its title are one worker. By the title alone it can be drained as well.
	search := drain.Search{Root: os.DirFS("/"), PIDs: []int{w.cmd.Process.Pid}, Dirs: control.Dirs(os.Getenv)}
	for how, search := range map[string]drain.Search{"all": search, "title": {Root: search.Root, PIDs: search.PIDs}} {
		workers, err := search.Find(t.Context())
		if want := fmt.Sprintf("ebb worker (pid %d)", w.cmd.Process.Pid); err != nil || len(workers) != 1 || workers[0].Name() != want {
			t.Fatalf("by %s: %v, %v", how, workers, err)
		}
		if how == "title" {
			p.must(workers[0].Quiet(t.Context(), time.Time{}))
			p.await("quiet and idle", func() bool {
				state, err := workers[0].State(t.Context())
				p.must(err)
				return !state.Blind && state.Quiet && state.Busy == 0
			})
		}
	}
	if line := found(); !strings.HasSuffix(line, "stopping") {
		t.Errorf("ps shows %q", line)
	}
	p.must(w.cmd.Process.Signal(syscall.SIGTERM))
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
