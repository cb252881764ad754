package sqlitestore

import (
	"database/sql"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// edit changes the file as a person does who knows what is in it.
func edit(t *testing.T, path, query string, args ...any) {
	t.Helper()
	db := sql.OpenDB(Options{}.connect(path, writing))
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// Where even the name of the holder is gone its jobs are given back, also more than
// once.
func TestAuditOfANamelessHolder(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"the boot is deleted": "DELETE FROM ebb_boot",
		"held by number 0":    "UPDATE ebb_job SET holder = 0",
		"both":                "DELETE FROM ebb_boot; DELETE FROM ebb_process; UPDATE ebb_job SET holder = 0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, c := filepath.Join(t.TempDir(), "ebb.db"), new(clock)
			s := openFile(t, path, Options{Clock: c.now})
			for round := range 2 {
				w := register(t, openFile(t, path, Options{Clock: c.now}))
				mustPush(t, s, "a", "b")
				w.fetch(2)
				edit(t, path, change)
				found, err := s.Audit(t.Context(), "", time.Minute)
				if err != nil || len(found) != 1 || found[0].Host() != "nobody" {
					t.Fatalf("found %v, %v", found, err)
				}
				var lost []store.Lost
				for range 2 { // its lease file must be missing for a while
					if lost, err = s.Orphans(t.Context(), 10); err != nil {
						t.Fatal(err)
					}
					c.pass(missingFor)
				}
				i := slices.IndexFunc(lost, func(l store.Lost) bool { return l.ID == found[0] })
				if i < 0 || lost[i].Cause != store.Unclaimed || len(lost[i].Jobs) != 2 {
					t.Fatalf("round %d: lost: %+v", round, lost)
				}
				var jobs []store.Rescued
				for _, j := range lost[i].Jobs {
					jobs = append(jobs, store.Rescued{Token: j.Token, Was: j.Payload})
				}
				moved, err := s.Rescue(t.Context(), store.Salvage{ID: lost[i].ID, Cause: lost[i].Cause, Seen: lost[i].Seen, Jobs: jobs})
				if err != nil || moved != 2 || len(ready(t, s)) != 2 {
					t.Fatalf("moved %d, %v", moved, err)
				}
				if st, err := s.Stats(t.Context()); err != nil || st.Books[0].Custody() != 0 || st.Books[0].Arrivals() != 0 {
					t.Errorf("books: %+v, %v", st.Books, err)
				}
				edit(t, path, "DELETE FROM ebb_job; UPDATE ebb_queue SET deleted = deleted + waiting, waiting = 0")
			}
		})
	}
}
