package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// TestFailedCallSparesNeighbours: of calls that share a transaction one fails; the
// others are carried out, each once.
func TestFailedCallSparesNeighbours(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	broken := errors.New("broken")
	for name, fail := range map[string]func(*tx) error{
		"by itself":  func(*tx) error { return broken },
		"in the SQL": func(t *tx) error { _, err := t.exec(writeLast, nil); return err }, // NOT NULL
		"by a panic": func(*tx) error { panic(broken) },
	} {
		var wg sync.WaitGroup
		begun, release := make(chan struct{}), make(chan struct{})
		// Something slow goes first, so that the others gather behind it.
		wg.Go(func() {
			s.writer.do(t.Context(), &call{apply: func(*tx) error { close(begun); <-release; return nil }})
		})
		<-begun
		results := make([]error, 9)
		for i := range results {
			wg.Go(func() {
				c := &call{class: other, jobs: 1, apply: func(t *tx) error {
					_, err := t.add(store.Call{}, store.Ready, []store.Item{testItem(fmt.Sprint(name, i))})
					return err
				}}
				if i == 4 {
					c.apply = fail
				}
				results[i] = s.writer.do(t.Context(), c)
			})
		}
		eventually(t, "all wait", func() bool {
			s.writer.mu.Lock()
			defer s.writer.mu.Unlock()
			return len(s.writer.pending) == len(results)
		})
		close(release)
		wg.Wait()
		for i, err := range results {
			if (err != nil) != (i == 4) {
				t.Errorf("%s: call %d: %v", name, i, err)
			}
		}
	}
	if got := ready(t, s); len(got) != 24 {
		t.Errorf("%d jobs, want 24", len(got))
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Books[0].Accepted != 24 || st.Books[0].Waiting != 24 {
		t.Errorf("books %+v, %v", st.Books, err)
	}
}

// TestVerdictsBeforeFetches: a batch frees slots before it fills them, and holds no
// more than MaxBatch jobs.
func TestVerdictsBeforeFetches(t *testing.T) {
	t.Parallel()
	w := &writer{
		work:    make(chan struct{}, 1),
		pending: []*call{{class: fills, jobs: 10}, {class: other, jobs: 900}, {class: frees, jobs: 90}, {class: frees, jobs: 1}},
	}
	var got []class
	for _, c := range w.take() {
		got = append(got, c.class)
	}
	if want := []class{frees, other, fills}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(w.pending) != 1 || len(w.work) != 1 {
		t.Errorf("%d wait, and the writer is called %d times", len(w.pending), len(w.work))
	}
}

// TestFakeTime: without its watcher a store works inside a bubble, where waits take
// no time.
func TestFakeTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ebb.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), path, Options{NoWatch: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := register(t, s)
		began := time.Now()
		jobs, woken, err := w.Fetch(t.Context(), w.call(store.LaneFetch), planQ, 1, time.Hour)
		if err != nil || len(jobs) != 0 || woken != store.Idle || time.Since(began) < time.Hour {
			t.Errorf("%v %v %v after %v", jobs, woken, err, time.Since(began))
		}
		it := testItem("a")
		it.Delay = time.Minute
		if _, err := s.Schedule(t.Context(), store.Call{}, it); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		for moved := 0; moved == 0; {
			var next time.Duration
			if moved, next, err = s.Promote(t.Context(), store.Promotion{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(next)
		}
		if late := time.Since(began) - time.Minute; late < 0 || late > 100*time.Millisecond {
			t.Errorf("promoted %v late", late)
		}
	})
}

// wakes waits for a job that another Store pushes meanwhile, and tells how it came.
func wakes(t *testing.T, w *worker, other *Store) store.Woken {
	t.Helper()
	var pushing sync.WaitGroup
	defer pushing.Wait()
	pushing.Go(func() {
		time.Sleep(20 * time.Millisecond)
		if _, err := other.Push(t.Context(), store.Call{}, testItem("a")); err != nil {
			t.Error(err)
		}
	})
	jobs, woken, err := w.Fetch(t.Context(), w.call(store.LaneFetch), planQ, 1, 20*time.Second)
	if err != nil || len(jobs) != 1 {
		t.Fatal(jobs, err)
	}
	return woken
}

// TestPolls: without a watcher commits of others are found by looking for them.
func TestPolls(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s, other := openFile(t, path, Options{noWatcher: true}), openFile(t, path, Options{})
	w := register(t, s)
	// On a busy machine the look that every Fetch takes each second may come first.
	eventually(t, "a commit of another wakes", func() bool { return wakes(t, w, other) == store.Pushed })
	if got := s.Describe().Wake; got != "polled: no file watcher was left" {
		t.Errorf("describes itself as %q", got)
	}
}

// TestWakeFileDeleted: it is made anew, and goes on waking.
func TestWakeFileDeleted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s, other := openFile(t, path, Options{}), openFile(t, path, Options{})
	w := register(t, s)
	for range 2 {
		eventually(t, "pushes wake", func() bool { return wakes(t, w, other) == store.Pushed })
		// What woke may have been the removal before, ahead of the file's return.
		eventually(t, "the file is there again", func() bool { return os.Remove(path+"-wake") == nil })
	}
	eventually(t, "pushes wake again", func() bool { return wakes(t, w, other) == store.Pushed })
}

// TestDeadlineSaysWhatItWaitedFor: the deadline of a caller, not ours, passes before
// it could write.
func TestDeadlineSaysWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	hangs := func(t *testing.T, path string) func() {
		gate, err := openTurnstile(path + "-lock")
		if err == nil {
			err = gate.lock()
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() { gate.close() }
	}
	for name, tt := range map[string]struct {
		block func(t *testing.T, path string) (free func())
		says  string
		hint  string
	}{
		"at the turnstile": {hangs, fmt.Sprintf("by pid %d", os.Getpid()), "end it"},
		"at SQLite's lock": {func(t *testing.T, path string) func() {
			db, err := OpenDB(path)
			if err != nil {
				t.Fatal(err)
			}
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			return func() { tx.Rollback(); db.Close() }
		}, "by another program", "sqlite3 shell"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ebb.db")
			s := openFile(t, path, Options{})
			defer tt.block(t, path)()
			// One is on its way, another waits behind it.
			patient := make(chan error, 1)
			go func() {
				_, err := s.Push(t.Context(), store.Call{}, testItem("a"))
				patient <- err
			}()
			eventually(t, "the writer waits", func() bool {
				s.writer.mu.Lock()
				defer s.writer.mu.Unlock()
				return s.writer.waits != forNothing
			})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			_, err := s.Push(ctx, store.Call{}, testItem("b"))
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(store.Hint(err), tt.hint) {
				t.Errorf("got %v, hint %q", err, store.Hint(err))
			}
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(10*time.Millisecond, cancel)
			if _, err := s.Push(ctx, store.Call{}, testItem("b")); !errors.Is(err, context.Canceled) || store.Hint(err) != "" {
				t.Errorf("called off: got %v, hint %q", err, store.Hint(err))
			}
		})
	}
	t.Run("as it opens", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "ebb.db")
		openFile(t, path, Options{}).Close()
		defer hangs(t, path)()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := Open(ctx, path, Options{})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "by pid") || store.Hint(err) == "" {
			t.Errorf("got %v, hint %q", err, store.Hint(err))
		}
	})
}
