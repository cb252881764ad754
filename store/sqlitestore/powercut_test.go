package sqlitestore

import (
	"database/sql"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

var (
	powerCuts = flag.Int("sqlite.cuts", 8, "at how many moments the power goes")
	kills     = flag.Int("sqlite.kills", 4, "how often a process is killed in the midst of a write")
)

// TestPowerCut records every write and sync of a run, and rebuilds what a disk may
// hold when the power goes at a moment of it: all that was synced, and any part of
// what was not. Every call that was answered by then must have counted, whichever edge
// it was; where the option says that the last moments may be lost, some have not. In
// both cases the file is whole, and shows a moment of each life.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for name, mayLose := range map[string]bool{"full": false, "may lose last moments": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lives, events := recordRun(t, mayLose)
			seed := rand.Uint64()
			rnd := rand.New(rand.NewPCG(seed, 0))
			cuts, missing := cutsOf(t, events, rnd), 0
			for _, cut := range cuts {
				for _, unsynced := range []string{"none", "some", "all"} {
					n, err := missingAt(t, lives, events[:cut], unsynced, rnd)
					if err != nil {
						t.Fatalf("seed %d, cut at event %d with %s of the unsynced writes: %v", seed, cut, unsynced, err)
					}
					missing += n
				}
			}
			if missing > 0 != mayLose {
				t.Errorf("seed %d: %d answered calls are gone", seed, missing)
			}
			t.Attr("ledger", fmt.Sprintf("power cut at %d moments: of %d calls in %d lives, %d were gone that had been answered, summed over %d images; in 0 images were the books off or a job in two places",
				len(cuts), len(lives)*len(lives[0].steps), len(lives), missing, 3*len(cuts)))
		})
	}
}

// recordRun leads several lives at once, and returns them with what reached the disk
// and what was asked and answered.
func recordRun(t *testing.T, mayLose bool) ([]*life, []event) {
	t.Helper()
	dir := t.TempDir()
	d, opts := newDisk(t, dir)
	d.record = true
	opts.MayLoseLastMoments, opts.checkpoint = mayLose, 100
	s := openFile(t, filepath.Join(dir, "ebb.db"), opts)
	var lives []*life
	var living sync.WaitGroup
	for i := range 3 {
		l := newLife(s, fmt.Sprint("q", i), i == 0, 2)
		lives = append(lives, l)
		living.Go(func() {
			for n, step := range l.steps {
				d.add(event{kind: begun, life: i, call: n + 1})
				if err := step.call(t.Context()); err != nil {
					t.Errorf("call %d of %s: %v", n+1, l.queue, err)
					return
				}
				d.add(event{kind: answered, life: i, call: n + 1})
			}
		})
	}
	living.Wait()
	if t.Failed() {
		t.FailNow()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.record = false
	return lives, d.events
}

// cutsOf returns the moments after the first answer that matter: before and after
// every sync, of the log and, where checkpoints are, of the database; some others;
// and the end. If there are many it returns some of them.
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
	some := slices.Collect(maps.Keys(cuts))
	rnd.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return some[:min(len(some), *powerCuts)]
}

// missingAt opens what is left of events, with none, some or all of the writes that
// were not synced, and counts the calls that were answered and are gone.
func missingAt(t *testing.T, lives []*life, events []event, unsynced string, rnd *rand.Rand) (missing int, err error) {
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
	for i, l := range lives {
		last := map[eventKind]int{}
		for _, e := range events {
			if e.life == i {
				last[e.kind] = max(last[e.kind], e.call)
			}
		}
		n, err := l.judge(db, last[answered], last[begun])
		if err != nil {
			return 0, err
		}
		missing += n
	}
	return missing, nil
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
		case e.kind == synced, e.kind == begun, e.kind == answered, !safe && unsynced == "none":
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
