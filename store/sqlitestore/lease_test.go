package sqlitestore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func lostTo(t *testing.T, s *Store) []store.Lost {
	t.Helper()
	lost, err := s.Orphans(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

// TestLeaseFileMissing: somebody cleaned up. The owner makes another file with its
// next beat; one that does not is gone, but only when it had time to.
func TestLeaseFileMissing(t *testing.T) {
	t.Parallel()
	path, c := filepath.Join(t.TempDir(), "ebb.db"), new(clock)
	owner := register(t, openFile(t, path, Options{Clock: c.now}))
	s := openFile(t, path, Options{Clock: c.now})
	for _, take := range []func() error{
		func() error { return os.Remove(s.leasePath(owner.id)) },
		func() error { return os.RemoveAll(path + ".d") },
	} {
		if err := take(); err != nil {
			t.Fatal(err)
		}
		lostTo(t, s)
		c.pass(missingFor - 2*time.Second)
		if lost := lostTo(t, s); len(lost) != 0 {
			t.Fatalf("lost %v before its owner had time to beat", lost)
		}
		if o := owner.beat(); o.Renewed {
			t.Error("registered anew")
		}
		c.pass(2 * missingFor)
		if lost := lostTo(t, s); len(lost) != 0 {
			t.Fatalf("lost %v though the file is back", lost)
		}
	}
	if err := os.Remove(s.leasePath(owner.id)); err != nil {
		t.Fatal(err)
	}
	lostTo(t, s)
	c.pass(missingFor)
	if lost := lostTo(t, s); len(lost) != 1 || lost[0].Cause != store.Lapsed {
		t.Fatalf("lost %v", lost)
	}
}

// TestRescueSparesTheLiving: between the look and the move the owner, whose file
// was missing, has come back: all the way, or only as far as its lock.
func TestRescueSparesTheLiving(t *testing.T) {
	t.Parallel()
	for name, comeBack := range map[string]func(*worker) error{
		"it has beaten":   func(w *worker) error { w.beat(); return nil },
		"it has its lock": func(w *worker) error { _, err := w.hold(w.id); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, c := filepath.Join(t.TempDir(), "ebb.db"), new(clock)
			owner := register(t, openFile(t, path, Options{Clock: c.now}))
			s := openFile(t, path, Options{Clock: c.now})
			mustPush(t, s, "a")
			jobs := owner.fetch(1)
			if err := os.Remove(s.leasePath(owner.id)); err != nil {
				t.Fatal(err)
			}
			lostTo(t, s)
			c.pass(missingFor)
			lost := lostTo(t, s)
			if err := comeBack(owner); err != nil {
				t.Fatal(err)
			}
			n, err := s.Rescue(t.Context(), store.Salvage{ID: owner.id, Cause: store.Lapsed, Seen: lost[0].Seen,
				Jobs: []store.Rescued{{Token: jobs[0].Token, Was: jobs[0].Payload}}})
			if err != nil || n != 0 {
				t.Errorf("rescued %d, %v", n, err)
			}
			if err := owner.Ack(t.Context(), owner.call(store.LaneVerdict), donesOf(jobs)...); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLeaseFilesGo: nothing is left in the folder by processes that left, were
// forgotten, or never came to life.
func TestLeaseFilesGo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s := openFile(t, path, Options{})
	leaver, dead := register(t, s), register(t, openFile(t, path, Options{}))
	if err := leaver.Leave(t.Context(), leaver.call(store.LaneVerdict), store.Farewell{ID: leaver.id}); err != nil {
		t.Fatal(err)
	}
	dead.Close()
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"new-123", "host:1:abc"} { // died as they were born
		path := filepath.Join(path+".d", name)
		if err := errors.Join(os.WriteFile(path, nil, 0o666), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	alive := register(t, s)
	if err := os.Chtimes(s.leasePath(alive.id), old, old); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Promote(t.Context(), store.Promotion{}); err != nil {
		t.Fatal(err)
	}
	for _, l := range lostTo(t, s) {
		if _, err := s.Rescue(t.Context(), store.Salvage{ID: l.ID, Cause: l.Cause, Seen: l.Seen}); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := os.ReadDir(path + ".d"); err != nil || len(files) != 1 {
		t.Errorf("left: %v, %v", files, err)
	}
}
