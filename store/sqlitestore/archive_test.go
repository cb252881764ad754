package sqlitestore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func backupOf(t testing.TB, s *Store) []byte {
	t.Helper()
	var w bytes.Buffer
	if err := s.Backup(t.Context(), &w); err != nil {
		t.Fatal(err)
	}
	return w.Bytes()
}

func mustRestore(t testing.TB, s *Store, backup []byte) {
	t.Helper()
	if err := s.Restore(t.Context(), bytes.NewReader(backup), true); err != nil {
		t.Fatal(err)
	}
}

func payloadsOf(jids ...string) (payloads []string) {
	for _, jid := range jids {
		payloads = append(payloads, string(testItem(jid).Payload))
	}
	return payloads
}

// TestRestoreSparesUsers: what else is in the file is neither copied nor touched.
func TestRestoreSparesUsers(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	db := s.DB()
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE mine(x); INSERT INTO mine VALUES ('secret word')"); err != nil {
		t.Fatal(err)
	}
	mustPush(t, s, "a")
	backup := backupOf(t, s)
	if bytes.Contains(backup, []byte("secret word")) {
		t.Error("the backup has the user's table")
	}
	mustPush(t, s, "b")
	if _, err := db.Exec("INSERT INTO mine VALUES ('another')"); err != nil {
		t.Fatal(err)
	}
	mustRestore(t, s, backup)
	if n := rowsIn(t, s, "mine"); n != 2 {
		t.Errorf("%d rows of the user, want 2", n)
	}
	if got := ready(t, s); !slices.Equal(got, payloadsOf("a")) {
		t.Errorf("ready %q", got)
	}
	if files, err := os.ReadDir(s.path + ".d"); err != nil || len(files) != 0 {
		t.Errorf("left over: %v, %v", files, err)
	}
}

// TestRestoreBesideOpenStores: another client has the file open and works on. What it
// remembers of before must not go astray.
func TestRestoreBesideOpenStores(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	other := openFile(t, s.path, Options{})
	source := openFile(t, filepath.Join(t.TempDir(), "other.db"), Options{})
	push := func(s *Store, queue, jid string) {
		t.Helper()
		item := testItem(jid)
		item.Queue, item.Kind = queue, queue
		if _, err := s.Push(t.Context(), store.Call{By: "web:1:abc", Lane: store.LanePush, Seq: 7}, item); err != nil {
			t.Fatal(err)
		}
	}
	jidsIn := func(s *Store, queue string) (jids []string) {
		for _, e := range entriesOf(t, s, store.Query{Place: store.Ready, Queue: queue}) {
			jids = append(jids, string(e.Payload))
		}
		return jids
	}
	// The same names in another order have other numbers there.
	for _, queue := range []string{"b", "a"} {
		item := testItem("restored " + queue)
		item.Queue, item.Kind = queue, queue
		if _, err := source.Push(t.Context(), store.Call{}, item); err != nil {
			t.Fatal(err)
		}
	}
	backup := backupOf(t, source)

	push(other, "a", "old")
	keys := picksOf(entriesOf(t, other, store.Query{Place: store.Ready, Queue: "a"}))
	mustRestore(t, s, backup)
	// A key of before means no job of after, though their numbers began alike.
	if n, err := other.Delete(t.Context(), store.Undoable{}, keys...); n != 0 || err != nil {
		t.Errorf("deleted %d by keys of before, %v", n, err)
	}
	// The push of before is gone, and so is the memory of it.
	push(other, "a", "new a")
	if got, want := jidsIn(s, "a"), payloadsOf("restored a", "new a"); !slices.Equal(got, want) {
		t.Errorf("a: %q, want %q", got, want)
	}
	if got, want := jidsIn(s, "b"), payloadsOf("restored b"); !slices.Equal(got, want) {
		t.Errorf("b: %q, want %q", got, want)
	}
	stats, err := other.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range stats.Books {
		if b.Custody() != 0 || b.Arrivals() != 0 {
			t.Errorf("books of %s do not balance: %+v", b.Queue, b)
		}
	}
}

// TestRestoreKeepsMarks: a change of before the backup can be taken back after it.
func TestRestoreKeepsMarks(t *testing.T) {
	t.Parallel()
	source := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	mustPush(t, source, "a", "b", "c")
	want := ready(t, source)
	entries := entriesOf(t, source, store.Query{Place: store.Ready, Queue: "q"})
	if _, err := source.Move(t.Context(), undoable("bury"), store.Dead, picksOf(entries)...); err != nil {
		t.Fatal(err)
	}
	dead := entriesOf(t, source, store.Query{Place: store.Dead})
	if _, err := source.Delete(t.Context(), undoable("delete"), picksOf(dead[:2])...); err != nil {
		t.Fatal(err)
	}
	s := openFile(t, filepath.Join(t.TempDir(), "other.db"), Options{})
	mustPush(t, s, "x", "y")
	mustRestore(t, s, backupOf(t, source))
	for change, back := range map[string]int{"delete": 2} {
		if got, err := s.Undo(t.Context(), change, 0); err != nil || got.Back != back {
			t.Fatalf("%s: %+v, %v", change, got, err)
		}
	}
	if got, err := s.Undo(t.Context(), "bury", 0); err != nil || got.Back != 3 {
		t.Fatalf("bury: %+v, %v", got, err)
	}
	if got := ready(t, s); !slices.Equal(got, want) {
		t.Errorf("ready %q, want %q", got, want)
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	source := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	mustPush(t, source, "a")
	backup := backupOf(t, source)
	sealed := func(name string, change string) []byte {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, backup[:int64(len(backup))-sealSize], 0o666); err != nil {
			t.Fatal(err)
		}
		db, err := OpenDB(path)
		if err == nil {
			_, err = db.Exec(change)
		}
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		return append(text, seal(sum[:])...)
	}
	for name, tt := range map[string]struct {
		backup []byte
		want   error
	}{
		"a newer layout":      {sealed("newer", fmt.Sprintf("UPDATE ebb_meta SET version = %d", layout+1)), store.ErrTooNew},
		"one it may not read": {sealed("newest", fmt.Sprintf("UPDATE ebb_meta SET version = %d, min_reader = %[1]d", layout+1)), store.ErrTooNew},
		"no store":            {sealed("none", "DROP TABLE ebb_meta"), store.ErrCorrupt},
		"a job of no queue":   {sealed("lost", "DELETE FROM ebb_queue"), nil},
		"a bare SQLite file":  {backup[:int64(len(backup))-sealSize], store.ErrCorrupt},
		"with more behind it": {append(slices.Clone(backup), "more"...), store.ErrCorrupt},
		"another kind":        {[]byte("ebb redis backup\n"), store.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			s := openFile(t, filepath.Join(t.TempDir(), "to.db"), Options{})
			mustPush(t, s, "old")
			err := s.Restore(t.Context(), bytes.NewReader(tt.backup), true)
			if err == nil || tt.want != nil && (!errors.Is(err, tt.want) || store.Hint(err) == "") {
				t.Errorf("got %v, want %v and a hint", err, tt.want)
			}
			if got := ready(t, s); !slices.Equal(got, payloadsOf("old")) {
				t.Errorf("ready %q", got)
			}
			if files, err := os.ReadDir(s.path + ".d"); err != nil || len(files) != 0 {
				t.Errorf("left over: %v, %v", files, err)
			}
		})
	}
}

// TestRestoreOfTheReleaseBefore: its backup is brought up to date on the way.
func TestRestoreOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	source := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	mustPush(t, source, "a")
	db := source.DB()
	defer db.Close()
	if _, err := db.Exec("DROP TABLE ebb_undo; DROP TABLE ebb_was; DROP TABLE ebb_change; DROP TABLE ebb_series; DROP TABLE ebb_point; DROP TABLE ebb_mark; DROP TABLE ebb_ended; UPDATE ebb_meta SET version = 1"); err != nil {
		t.Fatal(err)
	}
	s := openFile(t, filepath.Join(t.TempDir(), "to.db"), Options{})
	mustRestore(t, s, backupOf(t, source))
	if got := ready(t, s); !slices.Equal(got, payloadsOf("a")) {
		t.Errorf("ready %q", got)
	}
}

// TestRestoreWaitsForTheMissing: a lease file that was deleted may come back.
func TestRestoreWaitsForTheMissing(t *testing.T) {
	t.Parallel()
	for name, comesBack := range map[string]bool{"its owner makes another": true, "its owner is gone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, c := filepath.Join(t.TempDir(), "ebb.db"), new(clock)
			owner, s := register(t, openFile(t, path, Options{Clock: c.now})), openFile(t, path, Options{Clock: c.now})
			backup := backupOf(t, s)
			if err := os.Remove(s.leasePath(owner.id)); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- s.Restore(t.Context(), bytes.NewReader(backup), true) }()
			eventually(t, "it is missed", func() bool {
				s.leases.mu.Lock()
				defer s.leases.mu.Unlock()
				return len(s.leases.missing) > 0
			})
			if comesBack {
				owner.beat()
			}
			c.pass(missingFor)
			if err := <-done; comesBack != errors.Is(err, store.ErrInUse) || !comesBack && err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGuardIsInUse: what a process that is gone has started still works for the store.
func TestGuardIsInUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	owner, s := register(t, openFile(t, path, Options{})), openFile(t, path, Options{})
	lease, err := owner.LeaseFile(owner.id)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Close()
	backup := backupOf(t, s)
	owner.Close()
	if err := s.Restore(t.Context(), bytes.NewReader(backup), true); !errors.Is(err, store.ErrInUse) || store.Hint(err) == "" {
		t.Errorf("got %v", err)
	}
	lease.Close()
	mustRestore(t, s, backup)
}

// TestBackupLeavesRoom: a copy must not fill the disk of the store.
func TestBackupLeavesRoom(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{freeSpace: func(string) (int64, error) { return 4*reserveSize + 1<<16, nil }})
	for i := range 100 {
		mustPush(t, s, fmt.Sprint(i, strings.Repeat("x", 5000)))
	}
	var w bytes.Buffer
	if err := s.Backup(t.Context(), &w); !errors.Is(err, store.ErrFull) || store.Hint(err) == "" || w.Len() > 0 {
		t.Errorf("wrote %d, got %v with hint %q", w.Len(), err, store.Hint(err))
	}
	mustPush(t, s, "more")
}

// runRestore restores the backup beside the store until it is KILLed.
func runRestore(path string) error {
	backup, err := os.ReadFile(path + ".backup")
	if err != nil {
		return err
	}
	s, err := Open(context.Background(), path, Options{})
	if err != nil {
		return err
	}
	fmt.Println("begins")
	if err := s.Restore(context.Background(), bytes.NewReader(backup), true); err != nil {
		return err
	}
	fmt.Println("done")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// TestRestoreIsKilled: whenever it is, the store is all as before or all as restored.
func TestRestoreIsKilled(t *testing.T) {
	t.Parallel()
	source := openFile(t, filepath.Join(t.TempDir(), "source.db"), Options{})
	jids := make([]string, store.MaxBatch)
	for i := range jids {
		jids[i] = fmt.Sprint(i)
	}
	const batches = 5
	for range batches {
		mustPush(t, source, jids...)
	}
	backup := backupOf(t, source)
	path := filepath.Join(t.TempDir(), "ebb.db")
	if err := os.WriteFile(path+".backup", backup, 0o666); err != nil {
		t.Fatal(err)
	}
	outcomes := map[bool]int{}
	took := 400 * time.Millisecond
	for range 12 {
		s := openFile(t, path, Options{})
		mustRestore(t, s, backupOf(t, openFile(t, filepath.Join(t.TempDir(), "empty.db"), Options{})))
		mustPush(t, s, "old", "older")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		c := start(t, "restore", path)
		c.line(t)
		began := time.Now()
		timer := time.AfterFunc(rand.N(took), func() { c.Process.Kill() })
		finished := c.lines.Scan()
		timer.Stop()
		if finished {
			took = time.Since(began)
		}
		c.Process.Kill()
		c.Process.Wait()

		s = openFile(t, path, Options{})
		n, want := rowsIn(t, s, "ebb_job"), 2
		restored := n != 2
		if restored {
			want = batches * store.MaxBatch
		}
		stats, err := s.Stats(t.Context())
		if n != want || err != nil || stats.Ready != int64(want) || finished && !restored {
			t.Fatalf("%d jobs, %d counted, %v; finished: %v", n, stats.Ready, err, finished)
		}
		outcomes[restored]++
	}
	t.Logf("%d as before, %d restored", outcomes[false], outcomes[true])
}
