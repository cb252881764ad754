package sqlitestore

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func undoable(change string) store.Undoable { return store.Undoable{Change: change, For: time.Hour} }

func entriesOf(t testing.TB, s *Store, q store.Query) (entries []store.Entry) {
	t.Helper()
	for e, err := range s.Jobs(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

func picksOf(entries []store.Entry) (picks []store.Pick) {
	for _, e := range entries {
		picks = append(picks, store.Pick{Key: e.Key})
	}
	return picks
}

func rowsIn(t testing.TB, s *Store, table string) (n int) {
	t.Helper()
	db := s.DB()
	defer db.Close()
	if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestUndoTellsWhoCameBack: a job that went away and came back to the same place in
// the same row, with the same order and payload, has moved on all the same.
func TestUndoTellsWhoCameBack(t *testing.T) {
	t.Parallel()
	at := time.Unix(4_000_000_000, 0)
	for name, tt := range map[string]struct {
		to   store.Place
		pick store.Pick
		back func(t *testing.T, s *Store)
	}{
		"fetched and handed back to the front": {store.Ready, store.Pick{Front: true}, func(t *testing.T, s *Store) {
			w := register(t, s)
			if err := w.Requeue(t.Context(), w.call(store.LaneVerdict), latersOf(w.fetch(1))...); err != nil {
				t.Fatal(err)
			}
		}},
		"moved to the same hour again": {store.Scheduled, store.Pick{At: at}, func(t *testing.T, s *Store) {
			for _, to := range []store.Place{store.Dead, store.Scheduled} {
				from := store.Query{Place: store.Scheduled + store.Dead - to}
				if n, err := s.Move(t.Context(), store.Undoable{}, to, store.Pick{Key: entriesOf(t, s, from)[0].Key, At: at}); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
		}},
		"moved by the release before, to a later hour": {store.Retrying, store.Pick{At: at}, func(t *testing.T, s *Store) {
			db := s.DB()
			defer db.Close()
			if _, err := db.Exec("UPDATE ebb_job SET state = 2, queue = queue, ord = 0, at = at + 1, payload = payload"); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
			mustPush(t, s, "a")
			move := func(u store.Undoable, from, to store.Place, pick store.Pick) {
				t.Helper()
				q := store.Query{Place: from}
				if from == store.Ready {
					q.Queue = "q"
				}
				pick.Key = entriesOf(t, s, q)[0].Key
				if n, err := s.Move(t.Context(), u, to, pick); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
			move(store.Undoable{}, store.Ready, store.Dead, store.Pick{})
			move(undoable("c"), store.Dead, tt.to, tt.pick)
			before := entriesOf(t, s, store.Query{Place: tt.to, Queue: "q"})
			tt.back(t, s)
			after := entriesOf(t, s, store.Query{Place: tt.to, Queue: "q"})
			if len(before) != 1 || len(after) != 1 {
				t.Fatalf("before %v, after %v", before, after)
			}
			if got, err := s.Undo(t.Context(), "c", 0); err != nil || got != (store.Undone{Passed: 1}) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// TestUndoIsForgotten: what can be taken back no more goes in steps, by whoever
// promotes or changes something.
func TestUndoIsForgotten(t *testing.T) {
	t.Parallel()
	const n = store.MaxBatch + 500
	promote := func(t *testing.T, s *Store) {
		if _, _, err := s.Promote(t.Context(), store.Promotion{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, forget := range map[string]func(t *testing.T, s *Store){
		"by Promote": promote,
		"by Undo": func(t *testing.T, s *Store) {
			for _, change := range []string{"c", "another"} {
				if got, err := s.Undo(t.Context(), change, 0); err != nil || got != (store.Undone{}) {
					t.Fatal(got, err)
				}
			}
			if _, err := s.Undo(t.Context(), "c", 0); err != nil {
				t.Fatal(err)
			}
		},
		"by the next Delete": func(t *testing.T, s *Store) {
			for range 2 {
				if _, err := s.Delete(t.Context(), store.Undoable{Change: "c", For: 1}, store.Pick{}); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := new(clock)
			s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{Clock: c.now})
			for from := 0; from < n; from += 500 {
				jids := make([]string, 500)
				for i := range jids {
					jids[i] = fmt.Sprint(from + i)
				}
				mustPush(t, s, jids...)
				entries := entriesOf(t, s, store.Query{Place: store.Ready, Queue: "q"})
				if _, err := s.Delete(t.Context(), undoable("c"), picksOf(entries)...); err != nil {
					t.Fatal(err)
				}
			}
			promote(t, s)
			if got := rowsIn(t, s, "ebb_was"); got != n {
				t.Fatalf("%d kept, want %d", got, n)
			}
			c.pass(2 * time.Hour)
			forget(t, s)
			forgotten := n - rowsIn(t, s, "ebb_was")
			if forgotten == 0 || name == "by Promote" && forgotten != store.MaxBatch {
				t.Errorf("%d forgotten at once", forgotten)
			}
			eventually(t, "all is forgotten", func() bool {
				c.pass(time.Second)
				promote(t, s)
				return rowsIn(t, s, "ebb_was") == 0 && rowsIn(t, s, "ebb_undo") == 0
			})
		})
	}
}

// TestUndoKeepsLittle: a job that is only moved is not written twice.
func TestUndoKeepsLittle(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	mustPush(t, s, "moved", "stamped", "deleted")
	entries := entriesOf(t, s, store.Query{Place: store.Ready, Queue: "q"})
	for i, move := range []func(store.Pick) (int, error){
		func(p store.Pick) (int, error) { return s.Move(t.Context(), undoable("c"), store.Dead, p) },
		func(p store.Pick) (int, error) { return s.Move(t.Context(), undoable("c"), store.Ready, p) },
		func(p store.Pick) (int, error) { return s.Delete(t.Context(), undoable("c"), p) },
	} {
		if n, err := move(store.Pick{Key: entries[i].Key}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if n := rowsIn(t, s, "ebb_was WHERE payload IS NULL"); n != 1 {
		t.Errorf("%d kept without their payload, want 1", n)
	}
}
