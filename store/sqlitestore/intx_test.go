package sqlitestore

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/ebbjobs/ebb/store"
)

func TestInTx(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s := openFile(t, path, Options{})
	db, err := OpenDB(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE account(name TEXT)"); err != nil {
		t.Fatal(err)
	}
	c := store.Call{By: "p:1:1", Lane: store.LanePush}
	enqueue := func(end func(*sql.Tx) error, jids ...string) {
		t.Helper()
		c.Seq++
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := s.Accepts(tx)
		if !ok {
			t.Fatal("refused")
		}
		if _, err := tx.Exec("INSERT INTO account VALUES (?)", jids[0]); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second is a repetition
			if _, err := e.Push(t.Context(), c, testItem(jids[0])); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := e.Schedule(t.Context(), store.Call{}, testItem(jids[0])); err != nil {
			t.Fatal(err)
		}
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
	}
	enqueue((*sql.Tx).Rollback, "a")
	if got := ready(t, s); len(got) != 0 {
		t.Errorf("after a rollback: %v", got)
	}
	mustPush(t, s, "b") // the names that the rolled back transaction made are not used
	enqueue((*sql.Tx).Commit, "c")
	if got := ready(t, s); len(got) != 2 {
		t.Errorf("after a commit: %v", got)
	}
	st, err := s.Stats(t.Context())
	if err != nil || len(st.Books) != 1 || st.Books[0].Accepted != 3 || st.Scheduled != 1 || st.Books[0].Arrivals() != 0 {
		t.Errorf("%+v, %v", st, err)
	}

	w := register(t, s)
	if jobs := w.fetch(10); len(jobs) != 2 {
		t.Fatalf("fetched %d", len(jobs))
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		enqueue((*sql.Tx).Commit, "d")
	}()
	jobs, woken, err := w.Fetch(t.Context(), w.call(store.LaneFetch), planQ, 1, 20*time.Second)
	if err != nil || len(jobs) != 1 || woken != store.Pushed {
		t.Errorf("after a user's commit: %v, woken %v, %v", jobs, woken, err)
	}
}

func TestAcceptsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "ebb.db")
	s := openFile(t, path, Options{})
	begin := func(db *sql.DB, err error) *sql.Tx {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		db.SetMaxOpenConns(1)
		tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tx.Rollback() })
		return tx
	}
	openFile(t, filepath.Join(dir, "other.db"), Options{})
	ended := begin(s.DB(), nil)
	ended.Rollback()
	for name, tt := range map[string]struct {
		tx   any
		want bool
	}{
		"no transaction":     {42, false},
		"another driver's":   {begin(sql.Open("sqlite", path)), false},
		"of another file":    {begin(OpenDB(filepath.Join(dir, "other.db"))), false},
		"one that has ended": {ended, false},
		"its own":            {begin(OpenDB(path)), true},
		"of its own DB":      {begin(s.DB(), nil), true},
	} {
		if _, ok := s.Accepts(tt.tx); ok != tt.want {
			t.Errorf("%s: accepted %v", name, ok)
		}
	}
}

func TestInTxAfterClose(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	db := s.DB()
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	e, ok := s.Accepts(tx)
	if !ok {
		t.Fatal("refused")
	}
	s.Close()
	if _, err := e.Push(t.Context(), store.Call{}, testItem("a")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}
