package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	exec := func(t *testing.T, path, query string) {
		t.Helper()
		db, err := OpenDB(path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	made := func(t *testing.T, path string) { openFile(t, path, Options{}).Close() }
	tests := []struct {
		name    string
		prepare func(t *testing.T, path string)
		opts    Options
		want    error
		says    string // in the error or its hint
	}{
		{"a folder that is not there", func(t *testing.T, path string) { os.Remove(filepath.Dir(path)) }, Options{}, store.ErrUnreachable, "mkdir -p"},
		{"a folder", func(t *testing.T, path string) { os.Mkdir(path, 0o777) }, Options{}, store.ErrCorrupt, "name a file"},
		{"a file that is read-only", func(t *testing.T, path string) { made(t, path); os.Chmod(path, 0o444) }, Options{}, store.ErrReadOnly, "writable"},
		{"text", func(t *testing.T, path string) {
			os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o666)
		}, Options{}, store.ErrCorrupt, "another file"},
		{"a database whose head is damaged", func(t *testing.T, path string) { made(t, path); overwrite(t, path, 16, 3000) }, Options{}, store.ErrCorrupt, ".recover"},
		{"a later layout", func(t *testing.T, path string) {
			made(t, path)
			exec(t, path, fmt.Sprintf("UPDATE ebb_meta SET version = %d, min_reader = %[1]d", layout+1))
		}, Options{}, store.ErrTooNew, "release"},
		{"a network file system", nil, Options{fsType: func(string) (string, error) { return "nfs", nil }}, store.ErrUnreachable, "anyfs=1"},
		{"an unknown file system", nil, Options{fsType: func(string) (string, error) { return "newfs", nil }}, store.ErrUnreachable, "not known to be local"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ebb.db")
			if tt.prepare != nil {
				tt.prepare(t, path)
			}
			s, err := Open(t.Context(), path, tt.opts)
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if text := err.Error() + " " + store.Hint(err); store.Hint(err) == "" || !strings.Contains(text, tt.says) {
				t.Errorf("%q does not say %q, or has no hint", text, tt.says)
			}
		})
	}
}

func overwrite(t *testing.T, path string, off, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(strings.Repeat("x", n)), int64(off)); err != nil {
		t.Fatal(err)
	}
}

func TestOpenAccepts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		opts  Options
		warns string
	}{
		"a local file system":          {Options{fsType: func(string) (string, error) { return "xfs", nil }}, ""},
		"a tmpfs, with a warning":      {Options{fsType: func(string) (string, error) { return "tmpfs", nil }}, "next boot"},
		"any file system where told":   {Options{AnyFS: true, fsType: func(string) (string, error) { return "nfs", nil }}, "not known to be safe"},
		"a file of users' own, linked": {Options{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ebb 100%?#.db")
			db := sql.OpenDB(Options{}.connect(path, writing))
			if _, err := db.Exec("CREATE TABLE job(mine)"); err != nil {
				t.Fatal(err)
			}
			db.Close()
			link := filepath.Join(t.TempDir(), "link.db")
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			s := openFile(t, link, tt.opts)
			if s.path != path {
				t.Errorf("opened %s, want %s", s.path, path)
			}
			mustPush(t, s, "a")
			warnings := strings.Join(s.Describe().Warnings, "\n")
			if tt.warns == "" && warnings != "" || !strings.Contains(warnings, tt.warns) {
				t.Errorf("warnings %q, want %q", warnings, tt.warns)
			}
		})
	}
}

// TestLayoutNextRelease: a release that added to the layout leaves us able to go on.
func TestLayoutNextRelease(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s := openFile(t, path, Options{})
	db := s.DB()
	defer db.Close()
	for _, change := range []string{fmt.Sprintf("UPDATE ebb_meta SET version = %d", layout+1), "ALTER TABLE ebb_job ADD COLUMN more INTEGER", "ALTER TABLE ebb_queue ADD COLUMN more INTEGER NOT NULL DEFAULT 0"} {
		if _, err := db.Exec(change); err != nil {
			t.Fatal(err)
		}
	}
	mustPush(t, s, "a")
	w := register(t, openFile(t, path, Options{}))
	if jobs := w.fetch(1); len(jobs) != 1 {
		t.Fatalf("fetched %d", len(jobs))
	}
}

// TestLayoutOfTheReleaseBefore: its files are brought up to date, and its processes
// go on beside ours. What they write names its columns.
func TestLayoutOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	first, err := schemas.ReadFile("schema/1.sql")
	if err != nil {
		t.Fatal(err)
	}
	old := sql.OpenDB(Options{}.connect(path, writing))
	defer old.Close()
	push := "INSERT INTO ebb_job(id, jid, queue, kind, state, ord, at, payload) VALUES (?1, 'a', 1, 1, 0, ?1, 0, '{}')"
	insert, err := old.Prepare("PRAGMA journal_mode = WAL")
	if err == nil {
		_, err = insert.Exec()
	}
	for _, query := range []string{string(first), "INSERT INTO ebb_queue(id, name, waiting, accepted) VALUES (1, 'q', 2, 2)", "INSERT INTO ebb_kind VALUES (1, 'K')"} {
		if err == nil {
			_, err = old.Exec(query)
		}
	}
	if err == nil {
		insert, err = old.Prepare(push) // before the tables change
	}
	if err == nil {
		_, err = insert.Exec(1)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds it done
		s := openFile(t, path, Options{})
		if err := s.Record(t.Context(), store.Change{ID: "c", Began: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := insert.Exec(2); err != nil {
		t.Fatal(err)
	}
	var version, minReader int
	if err := old.QueryRow("SELECT version, min_reader FROM ebb_meta").Scan(&version, &minReader); err != nil || version != layout || minReader != 1 {
		t.Errorf("version %d, may be read from %d on, %v", version, minReader, err)
	}
	if jobs := register(t, openFile(t, path, Options{})).fetch(9); len(jobs) != 2 {
		t.Errorf("fetched %d", len(jobs))
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url, path string
		opts      Options
		says      string
	}{
		{"sqlite:ebb.db", "ebb.db", Options{}, ""},
		{"sqlite:./data/ebb%20jobs.db", "./data/ebb jobs.db", Options{}, ""},
		{"sqlite:///var/lib/ebb.db", "/var/lib/ebb.db", Options{}, ""},
		{"sqlite:/var/lib/ebb.db?anyfs=1", "/var/lib/ebb.db", Options{AnyFS: true}, ""},
		{"sqlite:ebb.db?durability=may-lose-last-moments", "ebb.db", Options{MayLoseLastMoments: true}, ""},
		{"sqlite:ebb.db?durability=full", "ebb.db", Options{}, ""},
		{"sqlite:", "", Options{}, "sqlite:ebb.db"},
		{"sqlite://ebb.db", "", Options{}, "sqlite:ebb.db"},
		{"sqlite:ebb.db?durabilty=full", "", Options{}, "did you mean durability"},
		{"sqlite:ebb.db?any_fs=1", "", Options{}, "did you mean anyfs"},
		{"sqlite:ebb.db?durability=fast", "", Options{}, "may-lose-last-moments"},
		{"sqlite:ebb%.db", "", Options{}, "%25"},
	} {
		path, opts, err := parseURL(tt.url)
		if tt.says != "" {
			if err == nil || !strings.Contains(store.Hint(err), tt.says) {
				t.Errorf("%s: %v, hint %q does not say %q", tt.url, err, store.Hint(err), tt.says)
			}
			continue
		}
		if err != nil || path != tt.path || opts.AnyFS != tt.opts.AnyFS || opts.MayLoseLastMoments != tt.opts.MayLoseLastMoments {
			t.Errorf("%s: %s %+v %v", tt.url, path, opts, err)
		}
	}
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "ebb.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := store.Open(t.Context(), "sqlite::memory:"); !strings.Contains(store.Hint(err), "mem:") {
		t.Errorf("%v, hint %q", err, store.Hint(err))
	}
}

func TestFileTakenAway(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(path string) error{
		"deleted":  os.Remove,
		"replaced": func(path string) error { return os.Rename(path+".other", path) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ebb.db")
			openFile(t, path+".other", Options{}).Close()
			s := openFile(t, path, Options{})
			mustPush(t, s, "a")
			if err := take(path); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := s.Push(t.Context(), store.Call{}, testItem("b"))
				if !errors.Is(err, store.ErrReplaced) || store.Hint(err) == "" {
					t.Fatalf("got %v, want ErrReplaced with a hint", err)
				}
			}
		})
	}
}

// A connection that is opened anew for reading says that it cannot open the file, which
// is no outage when that is gone.
func TestReadingAFileThatIsGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s := openFile(t, path, Options{})
	s.reads.SetMaxIdleConns(0)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stats(t.Context()); !errors.Is(err, store.ErrReplaced) || store.Hint(err) == "" {
		t.Errorf("got %v, want ErrReplaced with a hint", err)
	}
}

func TestLockedByAnotherProgram(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s := openFile(t, path, Options{patience: 100 * time.Millisecond})
	db := s.DB()
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Push(t.Context(), store.Call{}, testItem("a"))
	if !errors.Is(err, store.ErrUnreachable) || !strings.Contains(store.Hint(err), "transaction") {
		t.Errorf("got %v, hint %q", err, store.Hint(err))
	}
	if _, err := Open(t.Context(), path, Options{patience: 100 * time.Millisecond}); !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("open: got %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	mustPush(t, s, "b")
}

// TestTurnstileHeld: who waits in vain for another process is told which.
func TestTurnstileHeld(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s := openFile(t, path, Options{patience: 100 * time.Millisecond})
	other, err := openTurnstile(path + "-lock")
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := other.lock(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Push(t.Context(), store.Call{}, testItem("a"))
	if !errors.Is(err, store.ErrUnreachable) || !strings.Contains(err.Error(), whoami()) || store.Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, store.Hint(err))
	}
	if _, err := Open(t.Context(), path, Options{patience: 50 * time.Millisecond}); !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("open: got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Push(ctx, store.Call{}, testItem("b")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller who gives up while waiting: %v", err)
	}
	other.unlock()
	mustPush(t, s, "c")
	if got := ready(t, s); len(got) != 1 {
		t.Errorf("%d jobs; those that were refused must not be there", len(got))
	}
}
