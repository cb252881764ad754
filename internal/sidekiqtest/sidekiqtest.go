// Package sidekiqtest gives a test workers of Ruby's Sidekiq: real processes on a
// Redis of the test's own, with jobs that sleep and say when they began and ended.
package sidekiqtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
)

// program is what the workers run. A job writes what becomes of it in one write, so
// that a killed worker leaves whole lines.
const program = `
Sidekiq.configure_server { |c| c.redis = { url: ENV["REDIS_URL"] } }
class SleepJob
  include Sidekiq::Worker
  def perform(seconds)
    say "began"
    sleep seconds
    say "ended"
  end
  def say(word)
    File.open(ENV["LEDGER"], "a") { |f| f.syswrite("#{word} #{jid}\n") }
  end
end
`

// Worker is a running Sidekiq. Its methods end the test when they fail, so they belong
// to the test's own goroutine.
type Worker struct {
	PID int
	Dir string // its working folder

	t      testing.TB
	server *redistest.Server
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts Sidekiq with two threads and these further arguments, and returns once
// it takes jobs. It is killed when the test ends.
func Start(t testing.TB, server *redistest.Server, args ...string) *Worker {
	t.Helper()
	return StartWith(t, server, "", args...)
}

// StartWith is Start for a worker that loads more Ruby, such as classes of the test's
// own, after its own.
func StartWith(t testing.TB, server *redistest.Server, ruby string, args ...string) *Worker {
	t.Helper()
	path, err := exec.LookPath("sidekiq")
	if err != nil {
		t.Fatalf("sidekiqtest: %v\nhint: apt-get install ruby-sidekiq", err)
	}
	w := &Worker{Dir: t.TempDir(), t: t, server: server, exited: make(chan struct{})}
	app := filepath.Join(w.Dir, "app.rb")
	log, err := os.Create(w.path("sidekiq.log"))
	if err == nil {
		defer log.Close()
		err = os.WriteFile(app, []byte(program+ruby), 0o600)
	}
	if err != nil {
		t.Fatalf("sidekiqtest: prepare: %v", err)
	}
	w.cmd = exec.Command(path, append([]string{"-r", app, "-c", "2"}, args...)...)
	w.cmd.Dir = w.Dir
	w.cmd.Env = append(os.Environ(), "REDIS_URL="+server.URL(), "LEDGER="+w.path("ledger"), "RUBYOPT=-W0")
	w.cmd.Stdout, w.cmd.Stderr = log, log
	w.cmd.SysProcAttr = dieWithParent()
	if err := w.cmd.Start(); err != nil {
		t.Fatalf("sidekiqtest: start: %v", err)
	}
	w.PID = w.cmd.Process.Pid
	var waiting sync.WaitGroup
	waiting.Go(func() {
		w.cmd.Wait()
		close(w.exited)
	})
	t.Cleanup(func() {
		w.cmd.Process.Kill()
		waiting.Wait()
		if t.Failed() {
			t.Logf("sidekiq said\n%s", w.Log())
		}
	})
	w.Await("taking jobs", func() bool { return strings.Contains(w.title(), "busy]") })
	return w
}

func (w *Worker) path(name string) string { return filepath.Join(w.Dir, name) }

// title is what the worker has made of its command line. Sidekiq has its title with
// its first heartbeat, when it handles signals.
func (w *Worker) title() string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(w.PID) + "/cmdline")
	return string(text)
}

// Push puts a job that sleeps, and returns its jid.
func (w *Worker) Push(sleep time.Duration) string {
	w.t.Helper()
	jid := fmt.Sprintf("%024x", time.Now().UnixNano())
	now := float64(time.Now().UnixMicro()) / 1e6
	w.server.Do("SADD", "queues", "default")
	w.server.Do("LPUSH", "queue:default", fmt.Sprintf(`{"class":"SleepJob","args":[%g],"jid":%q,"queue":"default","retry":true,"created_at":%f,"enqueued_at":%f}`,
		sleep.Seconds(), jid, now, now))
	return jid
}

// Ledger is what jobs have said: "began JID" and "ended JID", a line each.
func (w *Worker) Ledger() string { return w.read("ledger") }

// Log is what Sidekiq has printed.
func (w *Worker) Log() string { return w.read("sidekiq.log") }

func (w *Worker) read(name string) string {
	text, err := os.ReadFile(w.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatalf("sidekiqtest: read %s: %v", name, err)
	}
	return string(text)
}

// Exited is closed when the process has ended.
func (w *Worker) Exited() <-chan struct{} { return w.exited }

// Await waits until something is so.
func (w *Worker) Await(what string, so func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("sidekiqtest: never saw %s; it said\n%s", what, w.Log())
		}
	}
}
