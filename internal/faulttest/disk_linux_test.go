package faulttest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

// disk mounts a small one, and returns its folder.
func disk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size="+size); err != nil {
		t.Fatalf("mount a disk to fill: %v\nhint: run the tests as root, in a container with --cap-add SYS_ADMIN", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill writes a file until there is no room for a byte.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

func TestSQLiteOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := disk(t, "32m")
	st := open(t, "sqlite:"+filepath.Join(dir, "ebb.db"), nil).stage()
	calm := ebb.LeaseConfig{TTL: 12 * time.Second} // a lease is a lock here; it only makes beats impatient
	w := st.worker(ebb.Config{Concurrency: 4, Lease: calm}, st.handle)
	st.enqueue(3, part{Until: during})
	st.enqueue(1, part{Until: during, Fails: true})
	st.onStage(4)
	st.enqueue(50, part{})
	st.enqueue(10, part{Fails: true})

	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	// Room within the store's own files may still do for some.
	st.await("refusal", func() bool {
		a := part{Load: strings.Repeat("x", 100_000)}
		ref, err := act.Enqueue(t.Context(), st.client, a)
		if err == nil {
			st.accepted(ref, a)
		}
		return errors.Is(err, ebb.ErrFull)
	})
	st.refuses("free some space")
	late := st.worker(ebb.Config{Concurrency: 2, Lease: calm}, st.handle)
	st.give(during)
	st.settle() // all are recorded, and those that failed are tried again
	if report, err := late.Drain(t.Context()); err != nil || report.Reason == "" {
		t.Errorf("drain: %+v, %v", report, err)
	}
	st.refuses("free some space")

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	st.await("room", func() bool {
		ref, err := act.Enqueue(t.Context(), st.client, part{})
		if err == nil {
			st.accepted(ref, part{})
		}
		return err == nil
	})
	st.enqueue(20, part{Fails: true})
	st.settle()
	st.answered(w, late)
}

// Work in a file that nobody will find again is lost, so that a process ends.
func TestSQLiteFileIsTakenAway(t *testing.T) {
	t.Parallel()
	for name, takeAway := range map[string]func(t *testing.T, path string){
		"deleted": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"replaced": func(t *testing.T, path string) {
			other := filepath.Join(t.TempDir(), "other.db")
			open(t, "sqlite:"+other, nil).client.Close()
			if err := os.Rename(other, path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ebb.db")
			st := open(t, "sqlite:"+path, nil).stage()
			w := st.worker(ebb.Config{Concurrency: 2, Stop: ebb.StopConfig{Grace: time.Minute}}, st.handle)
			st.enqueue(1, part{})
			st.enqueue(1, part{Until: during})
			st.onStage(2)

			takeAway(t, path)
			_, err := act.Enqueue(t.Context(), st.client, part{})
			if !errors.Is(err, store.ErrReplaced) || !strings.Contains(store.Hint(err), "restart the process") {
				t.Errorf("enqueue: %v\nhint: %s", err, store.Hint(err))
			}
			st.await("end of fetching", func() bool { return w.log.count(`msg="process draining"`, "replaced or deleted") == 1 })
			if n := w.log.count(saysAway); n != 0 || w.log.count("level=ERROR", "store cannot be used any more", "restart the process") != 1 {
				t.Errorf("taken for an outage %d times, or not told what to do", n)
			}
			began := time.Now()
			st.give(during)
			<-w.Done()
			if took := time.Since(began); took > soon {
				t.Errorf("it took %v to end after its last job had", took)
			}
			if _, err := w.Drain(t.Context()); !errors.Is(err, store.ErrReplaced) {
				t.Errorf("the process ended with %v", err)
			}
		})
	}
}
