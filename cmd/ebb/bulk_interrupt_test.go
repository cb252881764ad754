package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

var interruptions = flag.Int("interruptions", 2, "how often bulk commands are interrupted on each store")

// TestInterruptedBulk presses ^C at random moments of each bulk command, of what goes
// on with it, and of its undo, and counts the jobs.
func TestInterruptedBulk(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "ebb.db") },
		"redis":  func(t *testing.T) string { return redistest.Start(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInterrupter(t, url(t))
			i.fill()
			verbs := [][]string{
				{"jobs", "delete", "--all"},
				{"jobs", "retry", "state:scheduled"},
				{"jobs", "bury", "queue:images"},
				{"jobs", "reschedule", "--all", "--in", "3h"},
				{"queues", "move", "images", "default"},
				{"queues", "clear", "default"},
			}
			for n := 0; !i.enough(); n++ {
				i.change(verbs[n%len(verbs)])
				if n%len(verbs) == 0 {
					i.enqueue()
				}
			}
			t.Logf("%d runs were interrupted, %d of them before anything was changed", i.pressed, i.early)
			if i.early == i.pressed {
				t.Error("no change was cut: this has shown nothing")
			}
		})
	}
}

// interrupter runs commands on a store, and presses ^C.
type interrupter struct {
	*workplace
	store          store.Store
	took           map[string]time.Duration // how long commands ran that nobody interrupted, at last
	pressed, early int
}

// enough reports whether ^C was pressed so often, and not only before anything was
// changed: on a busy machine most of a command is its start.
func (i *interrupter) enough() bool {
	const most = 10
	return i.pressed >= *interruptions && (i.early < i.pressed || i.pressed >= most**interruptions)
}

func newInterrupter(t *testing.T, url string) *interrupter {
	t.Helper()
	s, err := storeurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &interrupter{workplace: newWorkplace(t, url), store: s, took: map[string]time.Duration{}}
}

const interruptedJobs = 2000

func (i *interrupter) fill() {
	i.t.Helper()
	var lines bytes.Buffer
	for n := range interruptedJobs {
		queue, in := []string{"default", "images"}[n%2], ""
		if n%3 == 0 {
			in = `,"in":"2h"`
		}
		fmt.Fprintf(&lines, `{"kind":"ResizeImage","args":[%d],"queue":%q%s}`+"\n", n, queue, in)
	}
	cmd := i.ebb("enqueue", "--from", "-")
	cmd.Stdin = &lines
	if out, err := cmd.CombinedOutput(); err != nil {
		i.t.Fatalf("enqueue: %v\n%s", err, out)
	}
}

// all is what the store holds.
func (i *interrupter) all() map[string]int {
	i.t.Helper()
	q, err := query.Parse("", time.Now())
	if err != nil {
		i.t.Fatal(err)
	}
	jobs := map[string]int{}
	for e, err := range q.Find(i.t.Context(), i.store, query.Search{}) {
		if err != nil {
			i.t.Fatal(err)
		}
		jobs[fmt.Sprint(e.Place, e.Queue, e.At.UnixMilli(), string(e.Payload))]++
	}
	return jobs
}

// run runs a command and presses ^C at some moment. It returns whether that cut it
// short, and what was said.
func (i *interrupter) run(args []string) (cut bool, said string) {
	i.t.Helper()
	cmd := i.ebb(args...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	name := args[0] + args[1]
	took, known := i.took[name]
	began := time.Now()
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	if known && !i.enough() {
		timer := time.AfterFunc(rand.N(took), func() { cmd.Process.Signal(os.Interrupt) })
		defer timer.Stop()
	}
	err := cmd.Wait()
	if err == nil {
		i.took[name] = time.Since(began)
		return false, text.String()
	}
	i.pressed++
	ended, _ := errors.AsType[*exec.ExitError](err)
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGINT && text.Len() == 0 {
		return true, "" // before it listened: a shell calls that 130 too
	}
	if ended.ExitCode() != exitInterrupted {
		i.t.Fatalf("ebb %q: %v\n%s", args, err, text.String())
	}
	return true, text.String()
}

var goesOn = regexp.MustCompile(`(?m)^go on: ebb (.+)$`)

// finish runs a command, and what it says goes on with it, to the end. Before is what
// there was.
func (i *interrupter) finish(args []string, before map[string]int) {
	i.t.Helper()
	for begun := false; ; {
		cut, said := i.run(append(args, "--yes"))
		if !cut {
			return
		}
		if next := goesOn.FindStringSubmatch(said); next != nil {
			args, begun = strings.Fields(next[1]), true
			continue
		}
		i.early++
		if !begun && !maps.Equal(before, i.all()) {
			i.t.Fatalf("ebb %q was interrupted, has changed jobs and said only\n%s", args, said)
		}
	}
}

// change makes a change and takes it back.
func (i *interrupter) change(args []string) {
	i.t.Helper()
	before := i.all()
	i.finish(args, before)
	after := i.all()
	var c store.Change
	for last, err := range i.store.Changes(i.t.Context()) {
		if err != nil {
			i.t.Fatal(err)
		}
		c = last
		break
	}
	gone := jobsIn(before) - jobsIn(after)
	if want := map[string]int{string(bulk.Delete): int(c.Wanted), string(bulk.Clear): int(c.Wanted)}[c.Verb]; gone != want {
		i.t.Errorf("ebb %q: %d jobs are gone, want %d", args, gone, want)
	}
	if c.Verb != args[1] || c.Ended.IsZero() || c.Wanted == 0 || c.Done != c.Wanted || c.Missed != 0 {
		i.t.Errorf("ebb %q: the counts do not add up: %+v", args, c)
	}
	i.finish([]string{"undo", c.ID}, after)
	if again := i.all(); !maps.Equal(before, again) {
		i.t.Fatalf("ebb %q: %d jobs, and %d after its undo, or not the same", args, jobsIn(before), jobsIn(again))
	}
}

func jobsIn(jobs map[string]int) (n int) {
	for _, times := range jobs {
		n += times
	}
	return n
}

var resumes = regexp.MustCompile(`--resume ([0-9a-f]+)`)

// enqueue puts a file, each line once, and clears its queue.
func (i *interrupter) enqueue() {
	i.t.Helper()
	const lines = 3000
	var text bytes.Buffer
	for n := range lines {
		fmt.Fprintf(&text, `{"kind":"Mail","args":[%d],"queue":"mail"}`+"\n", n)
	}
	if err := os.WriteFile(filepath.Join(i.dir, "mail.jsonl"), text.Bytes(), 0o600); err != nil {
		i.t.Fatal(err)
	}
	before := jobsIn(i.all())
	for args := []string{"enqueue", "--from", "mail.jsonl"}; ; {
		cut, said := i.run(args)
		if !cut {
			break
		}
		if id := resumes.FindStringSubmatch(said); id != nil {
			args = []string{"enqueue", "--from", "mail.jsonl", "--resume", id[1]}
		} else if i.early++; args[len(args)-1] == "mail.jsonl" && jobsIn(i.all()) != before {
			i.t.Fatalf("ebb %q was interrupted, has put jobs and said only\n%s", args, said)
		}
	}
	after := i.all()
	if n := jobsIn(after); n != before+lines || len(after) != n {
		i.t.Errorf("%d jobs, %d different ones, want %d", n, len(after), before+lines)
	}
	for n := -1; n != 0; {
		var picks []store.Pick
		for e, err := range i.store.Jobs(i.t.Context(), store.Query{Place: store.Ready, Queue: "mail", Limit: 1000}) {
			if err != nil {
				i.t.Fatal(err)
			}
			picks = append(picks, store.Pick{Key: e.Key})
		}
		if n = len(picks); n > 0 {
			if _, err := i.store.Delete(i.t.Context(), store.Undoable{}, picks...); err != nil {
				i.t.Fatal(err)
			}
		}
	}
}
