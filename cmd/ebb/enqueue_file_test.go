package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/store/storeurl"
	"github.com/ebbjobs/ebb/wire"
)

// fileOf writes n lines, of which each third is for later.
func fileOf(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&b, `{"class":"A","args":[%d],"jid":"jid-%d","queue":"q"}`+"\n", i, i)
		case 1:
			fmt.Fprintf(&b, `{"kind":"A","args":[%d],"jid":"jid-%d","queue":"r"}`+"\n\n", i, i)
		case 2:
			fmt.Fprintf(&b, `{"kind":"A","jid":"jid-%d","in":"5h"}`+"\n", i)
		}
	}
	file := filepath.Join(t.TempDir(), "jobs.jsonl")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// count wants each of n jobs in s, once.
func count(t *testing.T, s store.Store, n int) {
	t.Helper()
	times := map[string]int{}
	for _, q := range []store.Query{{Place: store.Ready, Queue: "q"}, {Place: store.Ready, Queue: "r"}, {Place: store.Scheduled}} {
		for e, err := range s.Jobs(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			jid, _ := wire.JIDOf(e.Payload)
			times[jid]++
		}
	}
	wrong := 0
	for i := range n {
		jid := fmt.Sprintf("jid-%d", i)
		if times[jid] != 1 {
			if wrong++; wrong < 5 {
				t.Errorf("%s is there %d times", jid, times[jid])
			}
		}
		delete(times, jid)
	}
	if len(times) > 0 {
		t.Errorf("there are %d others", len(times))
	}
	if wrong > 0 {
		t.Errorf("%d of %d lines are wrong", wrong, n)
	}
}

// testApp is an app on an open store. What it prints goes to out.
func testApp(s store.Store, out io.Writer, environ ...string) *app {
	return &app{term: console.New(strings.NewReader(""), out, out, environ), environ: environ, now: time.Now, opened: s}
}

// shaky is a store of which the n-th call from now on goes wrong, after or before it
// has done its work, with an answer that ends a run at once.
type shaky struct {
	store.Store
	calls, cut int
	after      bool
}

var errCut = fmt.Errorf("cut: %w", store.ErrClosed)

func (s *shaky) through(do func() error) error {
	s.calls++
	if s.calls == s.cut && !s.after {
		return errCut
	}
	err := do()
	if s.calls == s.cut {
		return errCut
	}
	return err
}

func (s *shaky) Push(ctx context.Context, c store.Call, items ...store.Item) (r []store.Result, err error) {
	err = s.through(func() (err error) { r, err = s.Store.Push(ctx, c, items...); return err })
	return r, err
}

func (s *shaky) Schedule(ctx context.Context, c store.Call, items ...store.Item) (r []store.Result, err error) {
	err = s.through(func() (err error) { r, err = s.Store.Schedule(ctx, c, items...); return err })
	return r, err
}

func (s *shaky) Record(ctx context.Context, c store.Change) error {
	return s.through(func() error { return s.Store.Record(ctx, c) })
}

// unfinished is the ID of the change to go on with, "" if there is none.
func unfinished(t *testing.T, s store.Store) (id string) {
	t.Helper()
	for c, err := range s.Changes(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Verb == "enqueue" && c.Ended.IsZero() {
			return c.ID
		}
	}
	return ""
}

// TestBulkIsCutAtEveryCall ends a run at each of its calls to the store, once as if
// the request were lost and once as if the answer were, and goes on.
func TestBulkIsCutAtEveryCall(t *testing.T) {
	t.Parallel()
	const lines = 2500
	file := fileOf(t, lines)
	for _, after := range []bool{false, true} {
		for cut := 1; ; cut++ {
			inner := memstore.New(memstore.Options{})
			s := &shaky{Store: inner, cut: cut, after: after}
			var out bytes.Buffer
			err := newBatches(testApp(s, &out), &enqueueFlags{from: file}).run(t.Context(), nil)
			if err == nil {
				if cut < 10 {
					t.Fatalf("only %d calls in a run", cut-1)
				}
				break
			}
			id := "" // nothing is in: the same command begins anew
			for c := range inner.Changes(t.Context()) {
				id = c.ID
			}
			s.cut = 0
			err = newBatches(testApp(s, &out), &enqueueFlags{from: file, resume: id}).run(t.Context(), nil)
			if err != nil {
				t.Fatalf("cut at call %d, after %v: %v", cut, after, err)
			}
			count(t, inner, lines)
			inner.Close()
		}
	}
}

func TestBulkStops(t *testing.T) {
	t.Parallel()
	good := strings.Repeat(`{"kind":"A"}`+"\n", 3)
	for name, c := range map[string]struct {
		text  string
		flags enqueueFlags
		exit  int
		err   string
		hint  string
		jobs  int64
	}{
		"nothing":               {text: ""},
		"empty lines":           {text: "\n\n \n"},
		"good":                  {text: good, jobs: 3},
		"a bad line":            {text: good + "x\n" + good, exit: exitFailed, err: "input:4: it is not a JSON object", hint: "3 jobs are in, up to line 3; mend it and run it again with --resume ", jobs: 3},
		"the first is bad":      {text: "x\n" + good, exit: exitFailed, err: "input:1: it is not a JSON object", hint: "nothing was put; --skip-bad passes over such lines"},
		"bad ones skipped":      {text: "x\n" + good + "y\n\nz", flags: enqueueFlags{skipBad: true}, exit: exitFailed, err: "3 lines are of 7 left out", jobs: 3},
		"too long a line":       {text: good + strings.Repeat("x", 17<<20) + "\n", exit: exitFailed, err: "input:4: it is longer than 16 MiB", hint: "3 jobs are in", jobs: 3},
		"a dry run":             {text: good, flags: enqueueFlags{dryRun: true}},
		"a dry run that is bad": {text: good + "x", flags: enqueueFlags{dryRun: true}, exit: exitFailed, err: "input:4: it is not a JSON object"},
		"nobody's ID":           {text: good, flags: enqueueFlags{resume: "beef"}, exit: exitNothing, err: `there is no enqueue "beef" to go on with`, hint: "ebb audit lists them, for 30 days"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New(memstore.Options{})
			defer s.Close()
			c.flags.from = "-"
			var out bytes.Buffer
			err := newBatches(testApp(s, &out), &c.flags).run(t.Context(), strings.NewReader(c.text))
			if exitOf(err) != c.exit || err != nil && err.Error() != c.err || !strings.HasPrefix(store.Hint(err), c.hint) {
				t.Errorf("exit %d, %v, hint %q", exitOf(err), err, store.Hint(err))
			}
			stats, err := s.Stats(t.Context())
			if err != nil || stats.Ready != c.jobs {
				t.Errorf("%d jobs, want %d (%v)", stats.Ready, c.jobs, err)
			}
		})
	}
}

// TestBulkResumes goes on with a file after it was cut by a bad line.
func TestBulkResumes(t *testing.T) {
	t.Parallel()
	head := strings.Repeat(`{"kind":"A"}`+"\n", 1500)
	for name, c := range map[string]struct {
		text, then string
		flags      enqueueFlags
		jobs       int64
		exit       int
		err        string
	}{
		"mended":          {text: head + "x\n", then: head + `{"kind":"B"}` + "\n", jobs: 1501},
		"now passed over": {text: head + "x\n" + head, then: head + "x\n" + head, flags: enqueueFlags{skipBad: true}, jobs: 3000, exit: exitFailed, err: "1 line is of 3,001 left out"},
		"changed before":  {text: head + "x\n", then: strings.Replace(head, "A", "B", 1) + `{"kind":"B"}`, jobs: 1500, exit: exitFailed, err: "- is not what it was: its first 1,500 lines differ from those that were read before"},
		"cut short":       {text: head + "x\n", then: head[:len(head)/2], jobs: 1500, exit: exitFailed, err: "- is not what it was: its first 1,500 lines differ from those that were read before"},
		"still bad":       {text: head + "x\n", then: head + "y\n", jobs: 1500, exit: exitFailed, err: "input:1501: it is not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New(memstore.Options{})
			defer s.Close()
			var out bytes.Buffer
			a := testApp(s, &out)
			if err := newBatches(a, &enqueueFlags{from: "-"}).run(t.Context(), strings.NewReader(c.text)); !isBadLine(err) {
				t.Fatal(err)
			}
			c.flags.from, c.flags.resume = "-", unfinished(t, s)
			err := newBatches(a, &c.flags).run(t.Context(), strings.NewReader(c.then))
			if exitOf(err) != c.exit || err != nil && err.Error() != c.err {
				t.Errorf("exit %d, %v", exitOf(err), err)
			}
			stats, err := s.Stats(t.Context())
			if err != nil || stats.Ready != c.jobs {
				t.Errorf("%d jobs, want %d (%v)", stats.Ready, c.jobs, err)
			}
			if c.err != "" {
				return
			}
			// Once complete, going on does nothing.
			if err := newBatches(a, &c.flags).run(t.Context(), strings.NewReader(c.then)); err != nil {
				t.Error(err)
			}
			if again, _ := s.Stats(t.Context()); again.Ready != stats.Ready {
				t.Errorf("%d jobs became %d", stats.Ready, again.Ready)
			}
		})
	}
}

// TestBulkAsksWhenTheStoreMayHaveForgotten: then nobody but a person can know.
func TestBulkAsksWhenTheStoreMayHaveForgotten(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(`{"kind":"A"}`+"\n", 1500)
	for _, c := range []struct {
		uncertain string
		after     bool // the batch is in
		jobs      int64
	}{{"put", false, 1500}, {"skip", true, 1500}} {
		inner := memstore.New(memstore.Options{})
		s := &shaky{Store: inner, cut: 2, after: c.after} // the push of the first batch
		var out bytes.Buffer
		a := testApp(s, &out)
		if err := newBatches(a, &enqueueFlags{from: "-"}).run(t.Context(), strings.NewReader(text)); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		s.cut = 0
		a.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		f := enqueueFlags{from: "-", resume: unfinished(t, inner)}
		err := newBatches(a, &f).run(t.Context(), strings.NewReader(text))
		if exitOf(err) != exitUsage || !strings.Contains(err.Error(), "whether lines 1 to 1000 are in") || !strings.Contains(store.Hint(err), "--uncertain=skip") {
			t.Errorf("exit %d, %v, hint %s", exitOf(err), err, store.Hint(err))
		}
		f.uncertain = c.uncertain
		if err := newBatches(a, &f).run(t.Context(), strings.NewReader(text)); err != nil {
			t.Error(err)
		}
		if stats, err := inner.Stats(t.Context()); err != nil || stats.Ready != c.jobs {
			t.Errorf("%d jobs, want %d (%v)", stats.Ready, c.jobs, err)
		}
		inner.Close()
	}
}

// TestTwoBulksOfOneName: the second to send a batch finds it sent, and gives way.
func TestTwoBulksOfOneName(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(`{"kind":"A"}`+"\n", 1500)
	s := memstore.New(memstore.Options{})
	defer s.Close()
	var out bytes.Buffer
	a := testApp(s, &out)
	slow, feed := io.Pipe()
	first := make(chan error, 1)
	go func() { first <- newBatches(a, &enqueueFlags{from: "-"}).run(t.Context(), slow) }()
	io.WriteString(feed, text[:len(text)/3*2])
	wait(t, func() bool { return unfinished(t, s) != "" && ready(t, s) == 1000 })
	if err := newBatches(testApp(s, io.Discard), &enqueueFlags{from: "-", resume: unfinished(t, s)}).run(t.Context(), strings.NewReader(text)); err != nil {
		t.Error(err)
	}
	io.WriteString(feed, text[len(text)/3*2:])
	feed.Close()
	if err := <-first; exitOf(err) != exitAgain {
		t.Errorf("exit %d, %v", exitOf(err), err)
	}
	if n := ready(t, s); n != 1500 {
		t.Errorf("%d jobs", n)
	}
}

// TestBulkDoesNotWaitForMore: what was read is put where the input pauses, and ^C is
// heard while it does.
func TestBulkDoesNotWaitForMore(t *testing.T) {
	t.Parallel()
	s := memstore.New(memstore.Options{})
	defer s.Close()
	slow, feed := io.Pipe()
	ctx, end := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- newBatches(testApp(s, io.Discard), &enqueueFlags{from: "-"}).run(ctx, slow) }()
	io.WriteString(feed, `{"kind":"A"}`+"\n"+`{"kind":"B"}`+"\n"+`{"kind":`)
	wait(t, func() bool { return ready(t, s) == 2 })
	end(errInterrupted)
	err := <-done
	if exitOf(err) != exitInterrupted || !strings.HasPrefix(store.Hint(err), "2 jobs are in, up to line 2; to go on run it again with --resume ") {
		t.Errorf("exit %d, %v, hint %s", exitOf(err), err, store.Hint(err))
	}
	feed.Close()
}

func ready(t *testing.T, s store.Store) int64 {
	t.Helper()
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Ready
}

func wait(t *testing.T, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never was so")
		}
	}
}

var bulkKills = flag.Int("bulk-kills", 4, "how often ebb enqueue --from is killed on each store")

// TestBulkSurvivesKills kills ebb enqueue --from at random moments, goes on as often,
// and then counts.
func TestBulkSurvivesKills(t *testing.T) {
	t.Parallel()
	kills := *bulkKills
	seed := cmp.Or(uint64(time.Now().UnixNano()), 1)
	for name, url := range map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "ebb.db") },
		"redis":  func(t *testing.T) string { return redistest.Start(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := kills * map[string]int{"sqlite": 3000, "redis": 6000}[name]
			file, url := fileOf(t, lines), url(t)
			s, err := storeurl.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			random := rand.New(rand.NewPCG(seed, 0))
			t.Logf("seed %d", seed)
			killed, inside := 0, map[int64]bool{}
			for complete := false; !complete; {
				args := []string{"enqueue", "--from", file}
				id := unfinished(t, s)
				if id != "" {
					args = append(args, "--resume", id)
				}
				cmd := program(t, url, args...)
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				if killed < kills {
					if random.IntN(4) > 0 { // else perhaps before it has begun
						for before := ready(t, s); ready(t, s) == before && len(ended) == 0; time.Sleep(time.Millisecond) {
						}
					}
					time.Sleep(time.Duration(random.Int64N(int64(40 * time.Millisecond))))
					cmd.Process.Kill()
					killed++
				}
				if err := <-ended; err == nil {
					complete = true
				} else if cmd.ProcessState.ExitCode() >= 0 {
					t.Fatalf("%v\n%s", err, out.Bytes())
				}
				inside[ready(t, s)] = true
			}
			count(t, s, lines)
			t.Logf("%s: %d lines, %d kills, at %d different counts: each line is in once", name, lines, killed, len(inside)-1)
			if killed < kills || len(inside) < kills/2 {
				t.Error("the kills came too late or too early to tell anything")
			}
		})
	}
}

// program is ebb as a process of its own.
func program(t *testing.T, url string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Args[0] = "ebb" // see TestMain
	cmd.Env = append(os.Environ(), "EBB_STORE="+url)
	return cmd
}
