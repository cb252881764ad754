//go:build slow

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	"github.com/ebbjobs/ebb/store"
)

// ebbBinary builds the command once for all tests.
var ebbBinary = sync.OnceValues(func() (file string, err error) {
	file = filepath.Join(scratch, "ebb")
	build := exec.Command("go", "build", "-o", file, "github.com/ebbjobs/ebb/cmd/ebb")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // what other tests have compiled serves here, too
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ebb: %w\n%s", err, out)
	}
	return file, nil
})

// ebbCommand runs the command on a server and returns what it prints.
func ebbCommand(t testing.TB, server *redistest.Server, args ...string) string {
	t.Helper()
	file, err := ebbBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), file, append([]string{"--store", server.URL()}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ebb %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// underInit starts Sidekiq as the child of ebb init, and returns init and its log.
func underInit(t testing.TB, server *redistest.Server, ruby, ledger string) (init *exec.Cmd, log string) {
	t.Helper()
	file, err := ebbBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	app, log := filepath.Join(dir, "app.rb"), filepath.Join(dir, "init.log")
	out, err := os.Create(log)
	if err == nil {
		defer out.Close()
		err = os.WriteFile(app, []byte(ruby), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	init = exec.Command(file, "init", "--store", server.URL(), "--", "sidekiq", "-r", app, "-c", "2")
	init.Env = append(os.Environ(), "REDIS_URL="+server.URL(), "LEDGER="+ledger, "RUBYOPT=-W0")
	init.Stdout, init.Stderr, init.Dir = out, out, dir
	init.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := init.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		init.Process.Signal(syscall.SIGTERM) // a KILL would leave its child behind
		init.Wait()
	})
	return init, log
}

// What ebb init has started it gives back at once, without a lease or a doorbell.
func TestInitGivesBackWhatItsRubyHeld(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	ledger := filepath.Join(t.TempDir(), "ledger")
	const sleepJob = `
require "sidekiq"
class SleepJob
  include Sidekiq::Worker
  def perform(seconds)
    File.open(ENV["LEDGER"], "a") { |f| f.syswrite("began #{jid}\n") }
    sleep seconds
  end
  def say(_word) end
end
`
	init, log := underInit(t, p.server, sleepJob+withGem(t), ledger)
	var child store.Process
	p.await("the process below init", func() bool {
		all, err := p.client.Store().Processes(t.Context())
		p.must(err)
		if len(all) == 1 && all[0].Concurrency > 0 { // it says who it is a moment after it is there
			child = all[0]
		}
		return child.PID > 1
	})
	if child.ID.Boot() == "" {
		t.Errorf("its identity %s does not end in a word of its init", child.ID)
	}
	jid := rubyInto[string](t, p.server, `Sidekiq::Client.push("class" => "SleepJob", "args" => [60])`)
	p.await("the job's first run", func() bool {
		text, _ := os.ReadFile(ledger)
		return strings.Contains(string(text), jid)
	})
	other := sidekiqtest.StartWith(t, p.server, withGem(t))

	if list := ebbCommand(t, p.server, "processes", "ls", "-o", "jsonl"); strings.Count(list, `"lang":"ruby"`) != 2 || strings.Count(list, "\n") != 2 {
		t.Errorf("ebb processes shows\n%s", list)
	}
	if books := ebbCommand(t, p.server, "books", "-o", "jsonl"); !strings.Contains(books, `"held":1`) || !strings.Contains(books, `"custody_missing":0`) {
		t.Errorf("ebb books says\n%s", books)
	}
	signalPID(t, child.PID, syscall.SIGKILL)
	at := time.Now()
	other.Await("the job's second run", func() bool { return begun(jid, other) == 1 })
	measured(t, "KILL of a Ruby worker below ebb init: the job runs again after %.2f s", time.Since(at).Seconds())
	init.Wait()
	for report, err := range p.client.Store().Stops(t.Context()) {
		p.must(err)
		if report.ID != child.ID || report.Cause != store.Witnessed {
			text, _ := os.ReadFile(log)
			t.Errorf("reported as %+v\n%s", report, text)
		}
	}
}
