//go:build ui

package browser

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	_ "github.com/ebbjobs/ebb/store/sqlitestore" // for ebb.Open
)

// crew is processes of ebb work on one store, with handlers that are programs, and the
// pages that show them.
type crew struct {
	testing.TB
	dir, store string
	client     *ebb.Client
	*site
}

// newCrew makes one whose ebb.yml says what the kinds run.
func newCrew(t testing.TB, yml string) *crew {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ebb.yml"), []byte(yml), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &crew{TB: t, dir: dir, store: "sqlite:" + filepath.Join(dir, "ebb.db")}
	client, err := ebb.Open(t.Context(), c.store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	c.client, c.site = client, serve(t, c.store)
	return c
}

// enqueue pushes a job for each argument.
func (c *crew) enqueue(kind string, args ...any) (jids []string) {
	c.Helper()
	for _, arg := range args {
		ref, err := ebb.Define[any](kind).Enqueue(c.Context(), c.client, arg)
		if err != nil {
			c.Fatal(err)
		}
		jids = append(jids, ref.JID)
	}
	return jids
}

// worker is one process of the crew.
type worker struct{ *child }

// work starts a process. It may not run yet.
func (c *crew) work(release string, flags ...string) *worker {
	c.Helper()
	cmd := ebbCommand(c.TB, c.store, append([]string{"work", "--release", release}, flags...)...)
	cmd.Dir = c.dir
	return &worker{start(c.TB, cmd)}
}

// processes are those that the store knows.
func (c *crew) processes() []store.Process {
	c.Helper()
	all, err := c.client.Store().Processes(context.WithoutCancel(c.Context()))
	if err != nil {
		c.Fatal(err)
	}
	return all
}

// of is what the store knows of a worker; nil if it knows nothing.
func (c *crew) of(w *worker) *store.Process {
	c.Helper()
	all := c.processes()
	i := slices.IndexFunc(all, func(p store.Process) bool { return p.PID == w.Process.Pid })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// await waits until something holds.
func (c *crew) await(what string, holds func() bool) {
	c.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatalf("no %s within a minute", what)
		}
	}
}

// busy waits until a worker runs so many jobs, and returns its name.
func (c *crew) busy(w *worker, jobs int) store.Identity {
	c.Helper()
	var id store.Identity
	c.await("process that is busy", func() bool {
		p := c.of(w)
		if p == nil || len(p.Busy) < jobs {
			return false
		}
		id = p.ID
		return true
	})
	return id
}

// signal sends a worker a signal; it may go on after it.
func (w *worker) signal(s syscall.Signal) {
	w.Helper()
	if err := w.Process.Signal(s); err != nil {
		w.Fatal(err)
	}
}

// logged are the lines of a worker's log with a message.
func (w *worker) logged(message string) (lines []string) {
	for line := range strings.Lines(w.said()) {
		if strings.Contains(line, `"msg":"`+message+`"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// file writes a file beside ebb.yml.
func (c *crew) file(name, text string) {
	c.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644); err != nil {
		c.Fatal(err)
	}
}

// enqueueIn pushes a job into a queue.
func (c *crew) enqueueIn(queue, kind string) string {
	c.Helper()
	ref, err := ebb.Define[any](kind).Enqueue(c.Context(), c.client, nil, ebb.Queue(queue))
	if err != nil {
		c.Fatal(err)
	}
	return ref.JID
}
