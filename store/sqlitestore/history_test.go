package sqlitestore

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

func ran(kind, queue string, n int64, took time.Duration) store.Runs {
	r := store.Runs{Kind: kind, Queue: queue, Ended: n, Took: time.Duration(n) * took, Waited: time.Duration(n) * took / 2}
	for range n {
		r.Spread.Add(took)
		r.Waits.Add(took / 2)
	}
	return r
}

func (w *worker) tell(release string, ended []store.Numbered, runs ...store.Runs) {
	w.t.Helper()
	p := store.Presence{ID: w.id, Release: release, Runs: runs, Ended: ended}
	if _, err := w.Beat(w.t.Context(), p, time.Minute); err != nil {
		w.t.Fatal(err)
	}
}

func pointsOf(t testing.TB, s *Store, step store.Step) []store.Point {
	t.Helper()
	points, err := s.Series(t.Context(), store.SeriesQuery{Step: step})
	if err != nil {
		t.Fatal(err)
	}
	return points
}

func TestCountsFitInAFewBytes(t *testing.T) {
	t.Parallel()
	full := store.Runs{Ended: 1 << 62, Failed: 3, Took: time.Hour, Waited: 1000 * time.Hour}
	for i := range full.Spread {
		full.Spread[i], full.Waits[i] = int64(i*i), int64(1)<<i
	}
	for name, tt := range map[string]struct {
		runs store.Runs
		most int
	}{
		"nothing":       {store.Runs{}, 6},
		"failures":      {store.Runs{Ended: 100, Failed: 100}, 6},
		"one run":       {withoutName(ran("", "", 1, 250*time.Millisecond)), 16},
		"a hundred":     {withoutName(ran("", "", 100, 250*time.Millisecond)), 19},
		"all there may": {full, 180},
	} {
		packed := pack(tt.runs)
		if len(packed) > tt.most {
			t.Errorf("%s: %d bytes, more than %d", name, len(packed), tt.most)
		}
		if diff := cmp.Diff(tt.runs, unpack(append(packed, "what a later layout adds"...))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for i := range packed {
			unpack(packed[:i]) // no panic
		}
	}
}

func withoutName(r store.Runs) store.Runs { r.Kind, r.Queue = "", ""; return r }

// Runs are counted with the first beat of a moment, for the one before.
func TestRunsAreCountedOnceAMoment(t *testing.T) {
	t.Parallel()
	c := new(clock)
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{Clock: c.now})
	c.pass(store.Day.Start(c.now()).Add(48 * time.Hour).Sub(c.now())) // all steps begin
	began := store.Moment.Start(c.now())
	w := register(t, s)
	runs := ran("K", "q", 1, time.Second)
	w.tell("r1", nil, runs)
	if points := pointsOf(t, s, store.Moment); points != nil {
		t.Errorf("counted within the moment of the beat before: %v", points)
	}
	c.pass(time.Duration(store.Moment))
	w.tell("r1", nil, runs)
	points := pointsOf(t, s, store.Moment)
	if len(points) != 1 || !points[0].At.Equal(began) || points[0].Ended != 1 {
		t.Errorf("counted as %+v", points)
	}
	c.pass(-time.Hour) // the clock is set back
	runs = ran("K", "q", 2, time.Second)
	w.tell("r1", nil, runs)
	if n := len(pointsOf(t, s, store.Minute)); n != 1 {
		t.Errorf("%d minutes by a clock that was set back", n)
	}
}

// A beat and a goodbye that one transaction writes count what is new once.
func TestRunsCountOnceInOneTransaction(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	runs, ended := []store.Runs{ran("K", "q", 3, time.Second)}, []store.Numbered{{Number: 1, Ended: store.Ended{JID: "a", At: time.Now()}}}
	const processes = 20
	var wg sync.WaitGroup
	for range processes {
		id := store.NewIdentity()
		for range 3 {
			wg.Go(func() {
				_, err := s.Beat(t.Context(), store.Presence{ID: id, Release: "r1", Runs: runs, Ended: ended}, time.Minute)
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	total := int64(0)
	for _, p := range pointsOf(t, s, store.Hour) {
		total += p.Ended
	}
	n := 0
	for range s.Ended(t.Context(), "a") {
		n++
	}
	if total != 3*processes || n != processes {
		t.Errorf("%d runs and %d jobs of %d processes", total, n, processes)
	}
}

// What is too old goes with the house, and its names after it.
func TestHistoryIsSwept(t *testing.T) {
	t.Parallel()
	c := new(clock)
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{Clock: c.now})
	db := s.DB()
	defer db.Close()
	count := func(table string) (n int) {
		t.Helper()
		if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	sweep := func() {
		t.Helper()
		err := s.writer.do(t.Context(), &call{class: other, jobs: 1, apply: (*tx).forgetPoints})
		if err != nil {
			t.Fatal(err)
		}
	}
	register(t, s).tell("r1", nil, ran("K", "q", 1, time.Second), ran("L", "q", 1, time.Second))
	w := &worker{Store: s, t: t, id: store.NewIdentity()}
	w.tell("r1", nil, ran("K", "q", 1, time.Second), ran("L", "q", 1, time.Second))
	for _, tt := range []struct {
		after          time.Duration
		points, series int
	}{
		{0, 8, 2},
		{2 * time.Hour, 7, 2},       // the moment
		{9 * time.Hour, 5, 2},       // the minute
		{4 * 24 * time.Hour, 3, 2},  // the ten minutes
		{32 * 24 * time.Hour, 1, 2}, // the hour
		{62 * 24 * time.Hour, 1, 0},
		{402 * 24 * time.Hour, 0, 0},
	} {
		c.ahead.Store(int64(tt.after))
		sweep()
		if p, n := count("ebb_point"), count("ebb_series"); p != tt.points || n != tt.series {
			t.Errorf("after %v: %d points and %d names, want %d and %d", tt.after, p, n, tt.points, tt.series)
		}
	}
}

// TestHistoryIsRestored: a backup carries what is remembered of runs.
func TestHistoryIsRestored(t *testing.T) {
	t.Parallel()
	source := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	tell := func(s *Store, release, kind, jid string) {
		w := &worker{Store: s, t: t, id: store.NewIdentity()}
		w.tell(release, []store.Numbered{{Number: 1, Ended: store.Ended{JID: jid, At: time.Now().Round(0).UTC()}}}, ran(kind, "q", 2, time.Second))
		if err := s.Leave(t.Context(), w.call(store.LaneVerdict), store.Farewell{ID: w.id}); err != nil {
			t.Fatal(err)
		}
	}
	type remembered struct {
		Points []store.Point
		Marks  []store.Mark
		Ended  []store.Ended
	}
	all := func(s *Store) (r remembered) {
		t.Helper()
		for _, step := range store.Steps {
			r.Points = append(r.Points, pointsOf(t, s, step)...)
		}
		var err error
		if r.Marks, err = s.Marks(t.Context(), time.Time{}); err != nil {
			t.Fatal(err)
		}
		for e, err := range s.Ended(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			r.Ended = append(r.Ended, e)
		}
		return r
	}
	tell(source, "r1", "K", "a")
	tell(source, "r2", "K", "b")
	want := all(source)
	if len(want.Points) < 8 || len(want.Marks) != 2 || len(want.Ended) != 2 {
		t.Fatalf("remembered: %+v", want)
	}
	s := openFile(t, filepath.Join(t.TempDir(), "other.db"), Options{})
	tell(s, "other", "Z", "z")
	mustRestore(t, s, backupOf(t, source))
	if diff := cmp.Diff(want, all(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	tell(s, "r3", "L", "c") // and it goes on
	if got := all(s); len(got.Points) <= len(want.Points) || len(got.Marks) != 3 || got.Ended[0].JID != "c" {
		t.Errorf("after it: %+v", got)
	}
}

// TestSizeOfHistory measures what docs/reference/sqlite.md says, and prints it.
func TestSizeOfHistory(t *testing.T) {
	t.Parallel()
	c := new(clock)
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{Clock: c.now, MayLoseLastMoments: true})
	db := s.DB()
	defer db.Close()
	size := func() (n int64) {
		t.Helper()
		var free int64
		if err := db.QueryRow("SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count").Scan(&n, &free); err != nil {
			t.Fatal(err)
		}
		return (n - free) * 4096
	}
	rows := func(table string) (n int64) {
		t.Helper()
		if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const kinds, minutes = 50, 100
	rng := rand.New(rand.NewPCG(1, 2))
	runs := make([]store.Runs, kinds)
	w := &worker{Store: s, t: t, id: store.NewIdentity()}
	before := size()
	for range minutes {
		for i := range runs {
			runs[i].Kind, runs[i].Queue = fmt.Sprintf("Kind%d", i), fmt.Sprintf("queue%d", i%5)
			for range 30 { // between 0.05 and 5 s
				runs[i] = runs[i].Plus(ran("", "", 1, time.Duration(50+rng.ExpFloat64()*800)*time.Millisecond))
			}
		}
		c.pass(time.Minute)
		w.tell("v1.2.3", nil, slices.Clone(runs)...)
	}
	point := float64(size()-before) / float64(rows("ebb_point"))
	t.Logf("a point of 30 runs: %.0f bytes", point)
	if point > 80 {
		t.Errorf("a point takes %.0f bytes", point)
	}
	before = size()
	var ended []store.Numbered
	for i := range store.MaxBatch {
		now := c.now().UTC()
		ended = append(ended, store.Numbered{Number: uint64(i + 1), Ended: store.Ended{
			JID: fmt.Sprintf("%024x", rng.Uint64()), Kind: "SendWelcomeMail", Queue: "default", By: w.id, Release: "v1.2.3", Attempt: 1,
			Created: now, Ready: now, Began: now, At: now,
		}})
	}
	w.tell("v1.2.3", ended, runs...)
	job := float64(size()-before) / store.MaxBatch
	t.Logf("a job that left: %.0f bytes", job)
	if job > 600 {
		t.Errorf("a job takes %.0f bytes", job)
	}
}
