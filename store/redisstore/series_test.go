package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// layouts is what kind of server each layout needs.
var layouts = map[string][]redistest.Option{"sidekiq": nil, "cluster": {redistest.Cluster()}}

// wide are runs of n jobs that took and waited all kinds of times.
func wide(kind, queue string, n int64) store.Runs {
	r := store.Runs{Kind: kind, Queue: queue, Ended: 27 * n, Failed: n, Took: time.Duration(n) * time.Hour, Waited: time.Duration(n) * time.Minute}
	for i := range r.Spread {
		r.Spread[i], r.Waits[i] = n, n
	}
	return r
}

// bring brings reports to the server, and nothing else.
func bring(t *testing.T, s *Store, reports ...*report) {
	t.Helper()
	requests := s.counts("p:1:x", reports)
	if _, err := s.do(t.Context(), requests...); err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		if r.refused != nil {
			t.Fatal(r.refused)
		}
	}
}

// seriesOf reads all that there is of a step.
func seriesOf(t *testing.T, s *Store, q store.SeriesQuery) []store.Point {
	t.Helper()
	points, err := s.Series(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return points
}

func TestSumsOfAnySize(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	number := uint64(0)
	for _, n := range []int64{1, 100, 27, 1 << 7, 1 << 8, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 40} {
		server.Do("FLUSHALL")
		for name, runs := range map[string]store.Runs{
			"few of the sums":  {Kind: "A", Ended: n, Failed: n},
			"the first ones":   {Kind: "A", Ended: n, Failed: n, Took: time.Duration(n) * time.Millisecond},
			"all of them":      wide("A", "q", 1),
			"all, and many":    wide("A", "q", min(n, 1<<20)),
			"only how it went": {Kind: "A", Ended: n},
		} {
			number++
			bring(t, r.s, &report{number: number, at: r.s.now().UTC(), release: name, runs: []store.Runs{runs}})
			points := slices.DeleteFunc(seriesOf(t, r.s, store.SeriesQuery{Step: store.Hour}), func(p store.Point) bool { return p.Release != name })
			if len(points) != 1 || !cmp.Equal(points[0].Runs, runs) {
				t.Errorf("%s, %d: %s", name, n, cmp.Diff(runs, points))
			}
		}
	}
}

func TestStrangeSumsAreNone(t *testing.T) {
	t.Parallel()
	for _, packed := range []string{"", "x", "\xde", "\xde\xff\xff", "\xdc\xff\xff\x01", "\x82\x01\xcf", "\x82\x01\xa1x\xff\x02", "\xc0"} {
		if r := readSums(packed); r.Ended > 1 || r.Failed > 0 {
			t.Errorf("%q: %+v", packed, r)
		}
	}
}

// Those whose names are not told apart.
func TestLabels(t *testing.T) {
	t.Parallel()
	others := label{kind: store.Others}
	for name, c := range map[string]struct{ in, want label }{
		"all":          {label{"K", "q", "r"}, label{"K", "q", "r"}},
		"spaces":       {label{"K k", "q:|", "r\t\n"}, label{"K k", "q:|", "r\t\n"}},
		"none":         {label{}, label{}},
		"only a queue": {label{queue: "q"}, label{queue: "q"}},
		"too long":     {label{kind: strings.Repeat("K", maxLabel)}, others},
		"ambiguous":    {label{kind: "K\x00q"}, others},
	} {
		if got := readLabel(c.in.String()); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A report whose answer is lost is repeated, later, and counts where and when it did.
func TestAReportIsInTheSeriesOnce(t *testing.T) {
	t.Parallel()
	for layout, options := range layouts {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, options...)
			r := newReporter(t, server.URL()+"?layout="+layout)
			runs := []store.Runs{wide("A", "q", 1), wide("A", "r", 1)}
			if err := r.beat(runs...); err != nil {
				t.Fatal(err)
			}
			before := seriesOf(t, r.s, store.SeriesQuery{Step: store.Minute})
			keys := server.Do("KEYS", "*ebb:runs:*")
			r.s.mu.Lock()
			again := &report{number: 1, at: r.s.now().Add(time.Hour).UTC(), runs: runs}
			r.s.boot(r.id).counting.pending = []*report{again}
			r.s.mu.Unlock()
			if err := r.beat(runs...); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, seriesOf(t, r.s, store.SeriesQuery{Step: store.Minute})); diff != "" || len(before) != 2 {
				t.Error(diff, before)
			}
			if now := server.Do("KEYS", "*ebb:runs:*"); len(now) != len(keys) {
				t.Errorf("%s\nwere %s", now, keys)
			}
		})
	}
}

// A report that is made has its time, however late it comes.
func TestAReportKeepsItsTime(t *testing.T) {
	t.Parallel()
	var c counting
	c.told = map[label]store.Runs{}
	at := time.Date(2026, 11, 5, 9, 5, 59, 0, time.UTC)
	first := c.beat([]store.Runs{{Kind: "A", Ended: 1}}, at, at)
	again := c.beat([]store.Runs{{Kind: "A", Ended: 2}}, at.Add(time.Hour), at.Add(time.Hour))
	if len(first) != 1 || len(again) != 1 || !again[0].at.Equal(at) {
		t.Errorf("%+v, then %+v", first, again)
	}
}

// Hashes of steps are forgotten when they have been kept, and nothing that comes puts
// that off.
func TestStepsAreForgottenInTime(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	at := r.s.now().UTC()
	bring(t, r.s, &report{number: 1, at: at, runs: []store.Runs{{Kind: "A", Ended: 1}}})
	for _, step := range store.Steps {
		key := r.s.runs(step, step.Start(at))
		ms, err := strconv.ParseInt(server.Do("PTTL", key), 10, 64)
		want := time.Until(step.Start(at).Add(time.Duration(step) + step.Kept()))
		if off := time.Duration(ms)*time.Millisecond - want; err != nil || off.Abs() > time.Minute {
			t.Errorf("%s is kept for %d ms, %v too long", key, ms, off)
		}
		server.Do("PEXPIRE", key, "1000000")
	}
	bring(t, r.s, &report{number: 2, at: at, runs: []store.Runs{{Kind: "A", Ended: 1}}})
	for _, step := range store.Steps {
		key := r.s.runs(step, step.Start(at))
		if ms, err := strconv.Atoi(server.Do("PTTL", key)); err != nil || ms > 1000000 {
			t.Errorf("%s is kept for %d ms, though it was there, %v", key, ms, err)
		}
	}
}

// A beat with nothing to tell is no dearer for what is remembered.
func TestAnIdleBeatTellsNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	calls := func() int {
		_, rest, _ := strings.Cut(server.Do("INFO", "commandstats"), "cmdstat_evalsha:calls=")
		digits, _, _ := strings.Cut(rest, ",")
		n, _ := strconv.Atoi(digits)
		return n
	}
	p := store.Presence{ID: r.id, Release: "r1"}
	beat := func() int {
		before := calls()
		if _, err := r.s.Beat(t.Context(), p, time.Minute); err != nil {
			t.Fatal(err)
		}
		return calls() - before
	}
	for range 2 { // registers, and loads scripts
		beat()
	}
	idle := beat()
	if idle > 4 { // its lease, its record, the counters and the ring
		t.Errorf("an idle beat calls %d scripts", idle)
	}
	p.Runs = []store.Runs{{Kind: "A", Ended: 1}}
	p.Ended = []store.Numbered{{Number: 1, Ended: store.Ended{JID: "j"}}}
	if busy := beat(); busy != idle+3 {
		t.Errorf("one that tells of runs and jobs calls %d, an idle one %d", busy, idle)
	}
	p.Ended = nil
	if after := beat(); after != idle {
		t.Errorf("the next one calls %d, an idle one %d", after, idle)
	}
}

// A server without room remembers nothing, and beats and goodbyes go on; what is said
// once is said again when there is room.
func TestAFullServerRemembersNothing(t *testing.T) {
	t.Parallel()
	for layout, options := range layouts {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, options...)
			r := newReporter(t, server.URL()+"?layout="+layout)
			p := store.Presence{ID: r.id}
			beat := func() {
				t.Helper()
				if _, err := r.s.Beat(t.Context(), p, time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			beat()
			server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
			p.Release, p.Runs, p.Ended = "r1", []store.Runs{wide("A", "q", 1)}, []store.Numbered{{Number: 1, Ended: store.Ended{JID: "a"}}}
			beat()
			if keys := server.Do("KEYS", "*ebb:runs*") + server.Do("KEYS", "*ebb:ended") + server.Do("KEYS", "*ebb:marks"); keys != "" {
				t.Errorf("it has %s", keys)
			}
			server.Do("CONFIG", "SET", "maxmemory", "0")
			beat()
			if marks, err := r.s.Marks(t.Context(), time.Time{}); err != nil || len(marks) != 1 {
				t.Errorf("marks: %v, %v", marks, err)
			}
			server.Do("CONFIG", "SET", "maxmemory", "1")
			f := store.Farewell{ID: r.id, Runs: []store.Runs{wide("A", "q", 2)}, Ended: []store.Numbered{{Number: 2, Ended: store.Ended{JID: "b"}}}}
			if err := r.s.Leave(t.Context(), store.Call{By: r.id, Seq: 1}, f); err != nil {
				t.Errorf("leave: %v", err)
			}
		})
	}
}

// A server that lost all is told of the release anew.
func TestMarksAfterALoss(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	for n, want := range []int{1, 0, 1} {
		if n == 1 {
			server.Do("FLUSHALL")
		}
		if _, err := r.s.Beat(t.Context(), store.Presence{ID: r.id, Release: "r1"}, time.Minute); err != nil {
			t.Fatal(err)
		}
		if marks, err := r.s.Marks(t.Context(), time.Time{}); err != nil || len(marks) != want {
			t.Errorf("after beat %d: %v, %v", n, marks, err)
		}
	}
}

func TestMarksAreBounded(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	server.Do("ZADD", "ebb:marks", strconv.FormatInt(time.Now().Add(-store.MarkAge-time.Minute).UnixMilli(), 10), "old")
	for i := range store.MaxMarks + 5 {
		if _, err := r.s.one(t.Context(), r.s.mark(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	if marks := strings.Fields(server.Do("ZRANGE", "ebb:marks", "0", "-1")); len(marks) != store.MaxMarks || slices.Contains(marks, "old") {
		t.Errorf("%d marks are kept: %s", len(marks), marks)
	}
}

// Jobs that a beat tells of again are passed over, in part or all together.
func TestAnEndedJobIsKeptOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	var told []store.Numbered
	for i := range 12 {
		told = append(told, store.Numbered{Number: uint64(i + 1), Ended: store.Ended{JID: strconv.Itoa(i)}})
	}
	for _, n := range []int{2, 2, 9, 12, 1} {
		if _, err := r.s.Beat(t.Context(), store.Presence{ID: r.id, Ended: told[:n]}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.Do("LLEN", "ebb:ended"); n != "12" {
		t.Errorf("%s are kept of 12", n)
	}
}

func TestEndedJobsAreBounded(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	long := []byte(`"` + strings.Repeat("x", maxEndedBytes) + `"`)
	told := []store.Numbered{
		{Number: 1, Ended: store.Ended{JID: "plain", Log: []byte(`[]`)}},
		{Number: 2, Ended: store.Ended{JID: "long log", Log: long}},
		{Number: 3, Ended: store.Ended{JID: "no JSON", Log: []byte(`{`)}},
		{Number: 4, Ended: store.Ended{JID: string(long)}},
	}
	if _, err := r.s.Beat(t.Context(), store.Presence{ID: r.id, Ended: told}, time.Minute); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for e, err := range r.s.Ended(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got[e.JID] = string(e.Log)
	}
	if diff := cmp.Diff(map[string]string{"plain": "[]", "long log": "", "no JSON": ""}, got); diff != "" {
		t.Error(diff)
	}
}

// While the list is read, it moves on: no job is shown twice, and none that was there
// is passed over.
func TestEndedJobsWhileMoreEnd(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	number := uint64(0)
	tell := func(n int) {
		p := store.Presence{ID: r.id}
		for range n {
			number++
			p.Ended = append(p.Ended, store.Numbered{Number: number, Ended: store.Ended{JID: strconv.FormatUint(number, 10), By: r.id}})
		}
		if _, err := r.s.Beat(t.Context(), p, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	const there = 3*window + 10
	tell(there)
	seen := map[string]int{}
	for e, err := range r.s.Ended(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if seen[e.JID]++; len(seen)%window == 0 {
			tell(700)
		}
	}
	for n := 1; n <= there; n++ {
		if seen[strconv.Itoa(n)] != 1 {
			t.Fatalf("job %d was shown %d times", n, seen[strconv.Itoa(n)])
		}
	}
	if len(seen) != there {
		t.Errorf("%d jobs, of which %d were there when it began", len(seen), there)
	}
}

func TestHistoryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := newReporter(t, redistest.Start(t).URL())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.s.Series(ctx, store.SeriesQuery{Step: store.Hour})
	_, marksErr := r.s.Marks(ctx, time.Time{})
	var endedErr error
	for _, endedErr = range r.s.Ended(ctx, "") {
	}
	for _, err := range []error{err, marksErr, endedErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	if _, err := r.s.Series(t.Context(), store.SeriesQuery{Step: store.Step(time.Second)}); err == nil {
		t.Error("there are points of a second")
	}
}

// What is remembered is part of a backup, times to live included.
func TestABackupRemembers(t *testing.T) {
	t.Parallel()
	from, to := newReporter(t, redistest.Start(t).URL()), redistest.Start(t)
	p := store.Presence{ID: from.id, Release: "r1", Runs: []store.Runs{wide("A", "q", 1)}, Ended: []store.Numbered{{Number: 1, Ended: store.Ended{JID: "a"}}}}
	if _, err := from.s.Beat(t.Context(), p, time.Minute); err != nil {
		t.Fatal(err)
	}
	var w bytes.Buffer
	if err := from.s.Backup(t.Context(), &w); err != nil {
		t.Fatal(err)
	}
	restored := newReporter(t, to.URL())
	if err := restored.s.Restore(t.Context(), &w, false); err != nil {
		t.Fatal(err)
	}
	remembered := func(s *Store) (all []any) {
		for _, step := range store.Steps {
			all = append(all, seriesOf(t, s, store.SeriesQuery{Step: step, From: s.now().Add(-time.Hour)}))
		}
		marks, err := s.Marks(t.Context(), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, marks)
		for e, err := range s.Ended(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	if diff := cmp.Diff(remembered(from.s), remembered(restored.s)); diff != "" {
		t.Errorf("(-backed up +restored):\n%s", diff)
	}
	key := from.s.runs(store.Hour, store.Hour.Start(from.s.now()))
	if ttl, err := strconv.Atoi(to.Do("TTL", key)); err != nil || ttl < 29*86400 {
		t.Errorf("%s is kept for %d s, %v", key, ttl, err)
	}
}

// figures are those of docs/reference/redis.md, in bytes.
var figures = map[string]int{
	"a point of ten lengths": 105, "a point of all lengths": 200, "a full step of ten lengths": 52_000,
	"a moment of ten lengths": 125, "a moment of all lengths": 300, "an ended job": 350, "a mark": 125,
}

// What is kept takes as much memory as the reference says.
func TestWhatHistoryTakes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	now, number := time.Now().UTC().Truncate(time.Microsecond), uint64(0)
	tell := func(from, to int, of func(i int) store.Runs) {
		var runs []store.Runs
		for i := from; i < to; i++ {
			runs = append(runs, of(i))
		}
		for page := range slices.Chunk(runs, maxRuns) {
			number++
			bring(t, r.s, &report{number: number, at: now, release: "2026-11-22.4f3a9c1", runs: page})
		}
	}
	usage := func(key string) int {
		n, err := strconv.Atoi(server.Do("MEMORY", "USAGE", key, "SAMPLES", "0"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	used := func(step store.Step) int { return usage(r.s.runs(step, step.Start(now))) }
	got := map[string]int{}
	for lengths, of := range map[string]func(int) store.Runs{"ten": typical, "all": func(i int) store.Runs { return wide(typical(i).Kind, "critical", 120) }} {
		server.Do("FLUSHALL")
		tell(0, 1, of)
		got["a moment of "+lengths+" lengths"] = used(store.Moment)
		one := used(store.Hour)
		tell(1, 51, of)
		got["a point of "+lengths+" lengths"] = (used(store.Hour) - one) / 50
	}
	server.Do("FLUSHALL")
	tell(0, store.MaxSeries+20, typical)
	got["a full step of ten lengths"] = used(store.Hour)

	p := store.Presence{ID: "web-7f9c4d:4711:0123456789ab"}
	for i := range 1000 {
		p.Ended = append(p.Ended, store.Numbered{Number: uint64(i + 1), Ended: store.Ended{
			JID: fmt.Sprintf("%024d", i), Kind: "Billing::InvoiceJob", Queue: "critical", By: p.ID, Release: "2026-11-22.4f3a9c1",
			Attempt: 1, Created: now, Ready: now, Began: now, At: now,
		}})
	}
	if _, err := r.s.Beat(t.Context(), p, time.Minute); err != nil {
		t.Fatal(err)
	}
	got["an ended job"] = usage("ebb:ended") / 1000
	for i := range store.MaxMarks {
		if _, err := r.s.do(t.Context(), r.s.mark(fmt.Sprintf("2026-11-22.4f3a%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	got["a mark"] = usage("ebb:marks") / store.MaxMarks
	for _, what := range slices.Sorted(maps.Keys(figures)) {
		t.Logf("%s: %d bytes", what, got[what])
		if got[what] == 0 || got[what] > figures[what] {
			t.Errorf("%s takes %d bytes, more than %d", what, got[what], figures[what])
		}
	}
}

// What a report costs the server, in time of its processor, is printed: the reference
// says it.
func TestWhatAReportCosts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	number := uint64(0)
	tell := func(bring func(store.Identity, *report) *request, runs []store.Runs) {
		number++
		told := &report{number: number, at: time.Now().UTC(), release: "2026-11-22.4f3a9c1", runs: runs}
		if _, err := r.s.do(t.Context(), bring(r.id, told)); err != nil {
			t.Fatal(err)
		}
	}
	for name, of := range map[string]func(i int) store.Runs{
		"runs of ten lengths": typical,
		"runs of all lengths": func(i int) store.Runs { return wide(typical(i).Kind, "critical", 1) },
	} {
		var full []store.Runs
		for i := range store.MaxSeries {
			full = append(full, of(i))
		}
		server.Do("FLUSHALL")
		for page := range slices.Chunk(full, maxRuns) {
			tell(r.s.intoSeries, page)
		}
		for into, bring := range map[string]func(store.Identity, *report) *request{"series, all of them full": r.s.intoSeries, "Sidekiq's metrics": r.s.intoMetrics} {
			for _, n := range []int{1, maxRuns} {
				const times = 40
				before := busySeconds(server)
				for range times {
					tell(bring, full[len(full)-n:])
				}
				t.Logf("a report of %d with %s, into %s: %.0f µs", n, name, into, (busySeconds(server)-before)*1e6/times)
			}
		}
	}
}

// busySeconds is how long the server's processor has worked.
func busySeconds(server *redistest.Server) (seconds float64) {
	for line := range strings.Lines(server.Do("INFO", "cpu")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys_main_thread" || name == "used_cpu_user_main_thread" {
			f, _ := strconv.ParseFloat(value, 64)
			seconds += f
		}
	}
	return seconds
}

// typical are runs of a kind as an hour may see them: of ten lengths of time.
func typical(i int) store.Runs {
	runs := store.Runs{Kind: fmt.Sprintf("Billing::InvoiceJob%03d", i), Queue: "critical", Ended: 600, Failed: 3, Took: time.Hour, Waited: time.Minute}
	for j := range 5 {
		runs.Spread[8+j], runs.Waits[j] = 120, 120
	}
	return runs
}
