package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/ebbjobs/ebb/store"
)

// runLife leads a life on a disk in the midst of whose last write or sync, if it is not
// 0, this process is killed, and says what it asks and what it was answered.
func runLife(path, last string) (err error) {
	d, opts := newDisk(nil, filepath.Dir(path))
	opts.checkpoint = 50
	if d.last, err = strconv.Atoi(last); err != nil {
		return err
	}
	ctx := context.Background()
	s, err := Open(ctx, path, opts)
	if err != nil {
		return err
	}
	for n, step := range newLife(s, "q", true, 2).steps {
		fmt.Println("begun", n+1)
		if err := step.call(ctx); err != nil {
			return err
		}
		fmt.Println("answered", n+1)
	}
	if err := s.Close(); err != nil {
		return err
	}
	fmt.Println("writes", d.reached)
	return nil
}

// said is the highest number that a child gave to each word.
func (c *child) said() map[string]int {
	said := map[string]int{}
	for c.lines.Scan() {
		var word string
		var n int
		fmt.Sscan(c.lines.Text(), &word, &n)
		said[word] = max(said[word], n)
	}
	return said
}

// A KILL in the midst of any write leaves each call done or not done, the answered
// ones done, and a file that the next process goes on with.
func TestKilledWithinACommit(t *testing.T) {
	t.Parallel()
	whole := start(t, "live 0", filepath.Join(t.TempDir(), "ebb.db")).said()
	writes := whole["writes"]
	if writes < 50 {
		t.Fatalf("a life had %d writes and syncs: %v", writes, whole)
	}
	midst, share := 0, writes*9/10 / *kills // another life may have a few less
	for i := range *kills {
		path := filepath.Join(t.TempDir(), "ebb.db")
		last := i*share + 1 + rand.IntN(share)
		c := start(t, fmt.Sprint("live ", last), path)
		said := c.said()
		if c.Wait(); c.ProcessState.Exited() {
			t.Fatalf("%v in spite of write %d of %d", c.ProcessState, last, writes)
		}
		if said["begun"] > said["answered"] {
			midst++
		}
		s := openFile(t, path, Options{})
		l := newLife(s, "q", true, 2)
		db := sql.OpenDB(Options{}.connect(path, writing))
		missing, err := l.judge(db, said["answered"], said["begun"])
		if db.Close(); err != nil || missing > 0 {
			t.Errorf("killed in write %d of %d: %d answered calls are gone; %v", last, writes, missing, err)
		}
		succeed(t, s)
	}
	if t.Failed() {
		return
	}
	t.Attr("ledger", fmt.Sprintf("killed in %d of %d writes and syncs, %d of them within a call that had not been answered: 0 answered calls gone, books balanced, the next process had all that was held", *kills, writes, midst))
}

// succeed takes over what the dead held, and sees all jobs to their end.
func succeed(t *testing.T, s *Store) {
	t.Helper()
	mustPush(t, s, "after")
	w := register(t, s)
	lost, err := s.Orphans(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range lost {
		salvage := store.Salvage{ID: gone.ID, Cause: gone.Cause, Seen: gone.Seen}
		for _, j := range gone.Jobs {
			salvage.Jobs = append(salvage.Jobs, store.Rescued{Token: j.Token, Was: j.Payload})
		}
		if _, err := s.Rescue(t.Context(), salvage); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := s.Promote(t.Context(), store.Promotion{By: w.id}); err != nil {
		t.Error(err)
	}
	for jobs := w.fetch(50); len(jobs) > 0; jobs = w.fetch(50) {
		if err := s.Ack(t.Context(), w.call(store.LaneVerdict), donesOf(jobs)...); err != nil {
			t.Error(err)
		}
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Ready+st.Held+st.Scheduled+st.Retrying != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	for _, b := range st.Books {
		if b.Custody() != 0 || b.Arrivals() != 0 {
			t.Errorf("books %+v", b)
		}
	}
}
