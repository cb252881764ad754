package sqlitestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ebbjobs/ebb/store"
)

// TestDiskFull fills a disk that a VFS pretends to: pushes are refused, and all
// else goes on in the room of the reserve.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, opts := newDisk(t, dir)
	path := filepath.Join(dir, "ebb.db")
	s, other := openFile(t, path, opts), openFile(t, path, opts)
	w, dying := register(t, s), register(t, other)
	var jids []string
	for i := range 300 {
		jids = append(jids, fmt.Sprint(i))
	}
	mustPush(t, s, jids...)
	jobs, orphans := w.fetch(100), dying.fetch(50)
	d.limit(d.used() + 100_000)

	accepted := len(jids)
	var err error
	for err == nil {
		if _, err = s.Push(t.Context(), store.Call{}, testItem("x")); err == nil {
			accepted++
		}
		if accepted > 10_000 {
			t.Fatal("the disk never filled")
		}
	}
	if !errors.Is(err, store.ErrFull) || store.Hint(err) == "" {
		t.Fatalf("got %v, want ErrFull with a hint", err)
	}
	if _, err := os.Stat(path + "-reserve"); err == nil {
		t.Error("the reserve was not spent")
	}
	if _, err := other.Push(t.Context(), store.Call{}, testItem("y")); !errors.Is(err, store.ErrFull) {
		t.Errorf("the other process: got %v, want ErrFull", err)
	}

	ctx := t.Context()
	for name, verdict := range map[string]func([]store.Held) error{
		"ack":        func(j []store.Held) error { return s.Ack(ctx, w.call(0), donesOf(j)...) },
		"retry":      func(j []store.Held) error { return s.Retry(ctx, w.call(0), latersOf(j)...) },
		"bury":       func(j []store.Held) error { return s.Bury(ctx, w.call(0), latersOf(j)...) },
		"requeue":    func(j []store.Held) error { return s.Requeue(ctx, w.call(0), latersOf(j)...) },
		"checkpoint": func(j []store.Held) error { return s.Checkpoint(ctx, w.call(0), latersOf(j)...) },
	} {
		if err := verdict(jobs[:10]); err != nil {
			t.Errorf("%s on a full disk: %v", name, err)
		}
		jobs = jobs[10:]
	}
	w.beat()
	lost, err := s.Orphans(ctx, 1, dying.id)
	if err != nil || len(lost) != 1 {
		t.Fatalf("orphans: %v, %v", lost, err)
	}
	salvage := store.Salvage{ID: dying.id, Cause: store.Witnessed, Seen: lost[0].Seen}
	for _, j := range lost[0].Jobs {
		salvage.Jobs = append(salvage.Jobs, store.Rescued{Token: j.Token, Was: j.Payload})
	}
	if n, err := s.Rescue(ctx, salvage); err != nil || n != len(orphans) {
		t.Errorf("rescued %d, %v", n, err)
	}

	d.limit(0)
	eventually(t, "pushes are accepted again", func() bool {
		_, err := s.Push(ctx, store.Call{}, testItem("z"))
		return err == nil
	})
	if info, err := os.Stat(path + "-reserve"); err != nil || info.Size() != reserveSize {
		t.Errorf("the reserve is not back: %v", err)
	}
	st, err := s.Stats(ctx)
	if err != nil || len(st.Books) != 1 {
		t.Fatal(st, err)
	}
	if b := st.Books[0]; b.Accepted != int64(accepted+1) || b.Arrivals() != 0 || b.Custody() != 0 {
		t.Errorf("accepted %d; books %+v", accepted+1, b)
	}
}
