package sqlitestore

import (
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/ebbjobs/ebb/store"
)

// TestPowerCut records every write and sync of a run, and rebuilds what a disk may
// hold when the power goes at a moment of it: all that was synced, and any part of
// what was not. Every enqueue that was answered by then must be there; where the
// option says that the last moments may be lost, some are, and the file is whole.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for name, mayLose := range map[string]bool{"full": false, "may lose last moments": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := recordRun(t, mayLose)
			seed := rand.Uint64()
			rnd := rand.New(rand.NewPCG(seed, 0))
			lost := 0
			for _, cut := range cutsOf(t, events, rnd) {
				for _, unsynced := range []string{"none", "some", "all"} {
					n, err := lostAt(t, events[:cut], unsynced, rnd)
					if err != nil {
						t.Fatalf("seed %d, cut at event %d with %s of the unsynced writes: %v", seed, cut, unsynced, err)
					}
					lost += n
				}
			}
			if lost > 0 != mayLose {
				t.Errorf("seed %d: %d accepted jobs are gone", seed, lost)
			}
		})
	}
}

// recordRun enqueues from several callers, and returns what reached the disk and
// what was answered.
func recordRun(t *testing.T, mayLose bool) []event {
	t.Helper()
	dir := t.TempDir()
	d, opts := newDisk(t, dir)
	d.record = true
	opts.MayLoseLastMoments, opts.checkpoint = mayLose, 100
	s := openFile(t, filepath.Join(dir, "ebb.db"), opts)
	var wg sync.WaitGroup
	for lane := range 3 {
		wg.Go(func() {
			for i := range 30 {
				it := benchItem()
				it.JID = fmt.Sprintf("%d-%d", lane, i)
				if _, err := s.Push(t.Context(), store.Call{By: "p:1:1", Lane: store.LanePush + lane, Seq: uint64(i + 1)}, it); err != nil {
					t.Error(err)
				}
				d.add(event{kind: answered, note: it.JID})
			}
		})
	}
	wg.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.record = false
	return d.events
}

// cutsOf returns the moments after the first answer that matter: before and after
// every sync, of the log and, where checkpoints are, of the database; some others;
// and the end.
func cutsOf(t *testing.T, events []event, rnd *rand.Rand) []int {
	t.Helper()
	first := slices.IndexFunc(events, func(e event) bool { return e.kind == answered })
	syncs := map[string]int{}
	cuts := map[int]bool{len(events): true}
	for i, e := range events[first+1:] {
		if e.kind == synced {
			syncs[e.file]++
			cuts[first+1+i], cuts[first+2+i] = true, true
		}
	}
	if syncs["ebb.db"] == 0 || syncs["ebb.db-wal"] == 0 {
		t.Fatalf("the run had %d syncs of the file and %d of the log", syncs["ebb.db"], syncs["ebb.db-wal"])
	}
	for range 10 {
		cuts[first+1+rnd.IntN(len(events)-first-1)] = true
	}
	return slices.Sorted(maps.Keys(cuts))
}

// lostAt opens what is left of events, with none, some or all of the writes that
// were not synced, and counts the jobs that were accepted and are gone.
func lostAt(t *testing.T, events []event, unsynced string, rnd *rand.Rand) (lost int, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, image := range imagesOf(events, unsynced, rnd) {
		if err := os.WriteFile(filepath.Join(dir, name), image, 0o666); err != nil {
			return 0, err
		}
	}
	db := sql.OpenDB(Options{}.connect(filepath.Join(dir, "ebb.db"), writing))
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		return 0, fmt.Errorf("integrity: %s %w", verdict, err)
	}
	there := map[string]bool{}
	rows, err := db.Query("SELECT jid FROM ebb_job")
	if err == nil { // else not even the schema is left
		defer rows.Close()
		for rows.Next() {
			var jid string
			if err := rows.Scan(&jid); err != nil {
				return 0, err
			}
			there[jid] = true
		}
		if err := rows.Err(); err != nil {
			return 0, err
		}
	}
	for _, e := range events {
		if e.kind == answered && !there[e.note] {
			lost++
		}
	}
	return lost, nil
}

func imagesOf(events []event, unsynced string, rnd *rand.Rand) map[string][]byte {
	lastSync := map[string]int{}
	for i, e := range events {
		if e.kind == synced {
			lastSync[e.file] = i
		}
	}
	images := map[string][]byte{}
	for i, e := range events {
		data, safe := e.data, i < lastSync[e.file]
		switch {
		case e.kind == removed:
			delete(images, e.file)
			continue
		case e.kind == synced, e.kind == answered, !safe && unsynced == "none":
			continue
		case !safe && unsynced == "some":
			if rnd.IntN(2) == 0 {
				continue
			}
			data = data[:len(data)-rnd.IntN(len(data)/2+1)] // torn
		}
		image := images[e.file]
		if e.kind == truncated {
			images[e.file] = image[:min(int64(len(image)), e.off)]
			continue
		}
		if grow := e.off + int64(len(data)) - int64(len(image)); grow > 0 {
			image = append(image, make([]byte, grow)...)
		}
		copy(image[e.off:], data)
		images[e.file] = image
	}
	return images
}
