package redisstore

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// sidekiq writes what a Sidekiq would have counted.
type sidekiq struct {
	t      *testing.T
	server *redistest.Server
}

// seven counts runs as 7.3 does, eight as 8.1.
func (k sidekiq) seven(at time.Time, runs store.Runs) {
	k.hash(fmt.Sprintf("j|%s|%d:%d", at.Format("20060102"), at.Hour(), at.Minute()), runs)
	k.histogram(fmt.Sprintf("%s-%02d-%02d:%d", runs.Kind, at.Day(), at.Hour(), at.Minute()), runs.Spread)
}

func (k sidekiq) eight(at time.Time, runs store.Runs) {
	k.hash(fmt.Sprintf("j|%s|%d:%02d", at.Format("060102"), at.Hour(), at.Minute()), runs)
	k.hash(fmt.Sprintf("j|%s|%d:%d", at.Format("060102"), at.Hour(), at.Minute()/10), runs)
	k.histogram(fmt.Sprintf("h|%s-%d-%d:%d", runs.Kind, at.Day(), at.Hour(), at.Minute()), runs.Spread)
}

func (k sidekiq) hash(key string, runs store.Runs) {
	k.server.Do("HINCRBY", key, runs.Kind+"|p", strconv.FormatInt(runs.Ended, 10))
	k.server.Do("HINCRBY", key, runs.Kind+"|f", strconv.FormatInt(runs.Failed, 10))
	k.server.Do("HINCRBY", key, runs.Kind+"|ms", strconv.FormatInt(runs.Took.Milliseconds(), 10))
}

func (k sidekiq) histogram(key string, spread store.Spread) {
	for i, n := range spread {
		if n > 0 {
			k.server.Do("BITFIELD", key, "OVERFLOW", "SAT", "INCRBY", "u16", "#"+strconv.Itoa(i), strconv.FormatInt(n, 10))
		}
	}
}

// ruby is a kind's runs as Ruby counts them: six, of which one failed.
func ruby(kind string) store.Runs {
	r := store.Runs{Kind: kind, Ended: 6, Failed: 1, Took: 5 * time.Second}
	r.Spread[9], r.Spread[24] = 4, 1
	return r
}

func TestSeriesHaveWhatRubyCounts(t *testing.T) {
	t.Parallel()
	ours := wide("Both", "q", 1)
	at := time.Now().UTC().Truncate(time.Minute)
	old := time.Now().UTC().Add(-30 * time.Hour).Truncate(time.Hour)
	point := func(step store.Step, at time.Time, release string, runs store.Runs) store.Point {
		return store.Point{At: step.Start(at), Release: release, Runs: runs}
	}
	untimed := func(r store.Runs) store.Runs { r.Spread = store.Spread{}; return r }
	for name, c := range map[string]struct {
		counted func(k sidekiq)
		ebb     []store.Runs // at the same time
		steps   []store.Step
		kind    string
		want    func(step store.Step) []store.Point
	}{
		"of 7": {
			counted: func(k sidekiq) { k.seven(at, ruby("R")) },
			steps:   []store.Step{store.Minute, store.TenMinutes, store.Hour},
			want:    func(step store.Step) []store.Point { return []store.Point{point(step, at, "", ruby("R"))} },
		},
		"of 8": {
			counted: func(k sidekiq) { k.eight(at, ruby("R")) },
			steps:   []store.Step{store.Minute, store.TenMinutes, store.Hour},
			want:    func(step store.Step) []store.Point { return []store.Point{point(step, at, "", ruby("R"))} },
		},
		"of 8, a day ago, when only its sums of ten minutes are left": {
			counted: func(k sidekiq) {
				for i := range 3 {
					k.eight(old.Add(time.Duration(i)*17*time.Minute), ruby("R"))
				}
			},
			steps: []store.Step{store.Hour},
			want: func(step store.Step) []store.Point {
				return []store.Point{point(step, old, "", untimed(ruby("R").Plus(ruby("R")).Plus(ruby("R"))))}
			},
		},
		"of two Sidekiqs with kinds of their own": {
			counted: func(k sidekiq) { k.seven(at, ruby("A")); k.eight(at, ruby("B|::")) },
			steps:   []store.Step{store.Minute, store.Hour},
			want: func(step store.Step) []store.Point {
				return []store.Point{point(step, at, "", ruby("A")), point(step, at, "", ruby("B|::"))}
			},
		},
		"ebb's own are in the same keys": {
			ebb:   []store.Runs{ours},
			steps: store.Steps[1:4],
			want:  func(step store.Step) []store.Point { return []store.Point{point(step, at, "r1", ours)} },
		},
		"a kind that both run": {
			counted: func(k sidekiq) { k.eight(at, ruby("Both")) },
			ebb:     []store.Runs{ours, wide("Both", "r", 2)},
			steps:   store.Steps[1:4],
			want: func(step store.Step) []store.Point {
				return []store.Point{point(step, at, "", ruby("Both")), point(step, at, "r1", ours), point(step, at, "r1", wide("Both", "r", 2))}
			},
		},
		"one kind of many": {
			counted: func(k sidekiq) { k.seven(at, ruby("Both")); k.seven(at, ruby("Other")) },
			ebb:     []store.Runs{ours, wide("More", "r", 2)},
			steps:   store.Steps[1:4],
			kind:    "Both",
			want: func(step store.Step) []store.Point {
				return []store.Point{point(step, at, "", ruby("Both")), point(step, at, "r1", ours)}
			},
		},
		"an ebb that keeps no series writes both families, and counts once": {
			counted: func(k sidekiq) { k.seven(at, ruby("Old")); k.eight(at, ruby("Old")) },
			ebb:     []store.Runs{ours},
			steps:   store.Steps[1:4],
			want: func(step store.Step) []store.Point {
				return []store.Point{point(step, at, "r1", ours), point(step, at, "", ruby("Old"))}
			},
		},
		"what somebody else has in these keys": {
			counted: func(k sidekiq) {
				k.server.Do("HSET", fmt.Sprintf("j|%s|%d:%d", at.Format("20060102"), at.Hour(), at.Minute()), "R", "1", "R|p", "many", "R|x", "3", "|", "1")
				k.server.Do("SET", fmt.Sprintf("j|%s|%d:%02d", at.Format("060102"), at.Hour(), at.Minute()), "x")
				k.server.Do("SET", fmt.Sprintf("j|%s|%d:%d", at.Format("060102"), at.Hour(), at.Minute()/10), "x")
			},
			steps: store.Steps[1:4],
			want:  func(store.Step) []store.Point { return nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			r := newReporter(t, server.URL())
			if c.counted != nil {
				c.counted(sidekiq{t, server})
			}
			if len(c.ebb) > 0 {
				bring(t, r.s, &report{number: 1, at: at, release: "r1", runs: c.ebb})
			}
			for _, step := range c.steps {
				if diff := cmp.Diff(c.want(step), seriesOf(t, r.s, store.SeriesQuery{Step: step, Kind: c.kind})); diff != "" {
					t.Errorf("%v (-want +got):\n%s", time.Duration(step), diff)
				}
			}
		})
	}
}

// Where ebb did not tell all kinds apart, Ruby's are not, and none counts twice.
func TestRubyInAFullStep(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	at := time.Now().UTC().Truncate(time.Minute)
	var reports []*report
	for i := 0; i < store.MaxSeries+maxRuns; i += maxRuns {
		told := &report{number: uint64(i + 1), at: at}
		for j := range maxRuns {
			told.runs = append(told.runs, store.Runs{Kind: fmt.Sprintf("K%04d", i+j), Queue: "q", Ended: 2, Failed: 1})
		}
		reports = append(reports, told)
	}
	bring(t, r.s, reports...)
	sums := func() (n int, all, others store.Runs) {
		for _, p := range seriesOf(t, r.s, store.SeriesQuery{Step: store.Hour}) {
			all, n = all.Plus(p.Runs), n+1
			if p.Kind == store.Others {
				others = p.Runs
			}
		}
		return n, all, others
	}
	if n, all, others := sums(); n != store.MaxSeries+1 || all.Ended != 2*(store.MaxSeries+maxRuns) || others.Ended != 2*maxRuns {
		t.Errorf("%d points of %d runs, %d of others", n, all.Ended, others.Ended)
	}
	sidekiq{t, server}.seven(at, ruby("R"))
	sidekiq{t, server}.seven(at, ruby("K0001"))
	if n, all, others := sums(); n != store.MaxSeries+1 || all.Ended != 2*(store.MaxSeries+maxRuns)+12 || others.Ended != 2*maxRuns+12 {
		t.Errorf("with Ruby's %d points of %d runs, %d of others", n, all.Ended, others.Ended)
	}
}

// Of very many kinds of Ruby's those that ran most are told apart.
func TestManyKindsOfRuby(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	at := time.Now().UTC().Truncate(time.Minute)
	fields := []string{"HSET", fmt.Sprintf("j|%s|%d:%d", at.Format("20060102"), at.Hour(), at.Minute())}
	total := int64(0)
	for i := range store.MaxSeries + 100 {
		fields = append(fields, fmt.Sprintf("K%d|p", i), strconv.Itoa(i+1))
		total += int64(i + 1)
	}
	server.Do(fields...)
	points := seriesOf(t, r.s, store.SeriesQuery{Step: store.Minute})
	var all, others int64
	for _, p := range points {
		all += p.Ended
		if p.Kind == store.Others {
			others = p.Ended
		}
	}
	if len(points) != store.MaxSeries+1 || all != total || others != 100*101/2 {
		t.Errorf("%d points of %d runs, of others %d; there were %d", len(points), all, others, total)
	}
}

// What Sidekiq counts by day, 6.4 included, has the runs of both languages.
func TestDaysHaveWhatRubyCounts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	today := store.Day.Start(r.s.now())
	count := func(days int, processed, failed string) {
		day := today.AddDate(0, 0, -days).Format("2006-01-02")
		server.Do("SET", "stat:processed:"+day, processed)
		server.Do("SET", "stat:failed:"+day, failed)
	}
	count(0, "40", "4")
	count(1, "7", "0")
	count(300, "5", "5")
	count(500, "9", "9")
	count(3, "some", "-1")
	bring(t, r.s, &report{number: 1, at: today, runs: []store.Runs{wide("A", "q", 1)}}, // of which Sidekiq's counters know
		&report{number: 2, at: today.AddDate(0, 0, -2), runs: []store.Runs{wide("A", "q", 2)}}) // and do not
	all := func(r store.Runs) store.Runs { r.Kind, r.Queue = "", ""; return r }
	both := all(wide("A", "q", 1))
	both.Ended, both.Failed = 40, 4
	want := []store.Point{
		{At: today.AddDate(0, 0, -300), Runs: store.Runs{Ended: 5, Failed: 5}},
		{At: today.AddDate(0, 0, -2), Runs: all(wide("A", "q", 2))},
		{At: today.AddDate(0, 0, -1), Runs: store.Runs{Ended: 7}},
		{At: today, Runs: both},
	}
	if diff := cmp.Diff(want, seriesOf(t, r.s, store.SeriesQuery{Step: store.Day})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Deploys that Sidekiq 7 and 8 have marked are there; the first mark of a release counts.
func TestMarksOfRuby(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	if _, err := r.s.Beat(t.Context(), store.Presence{ID: r.id, Release: "shared"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	at := r.s.now().UTC().Truncate(time.Minute).Add(-48 * time.Hour)
	mark := func(at time.Time, label string) {
		server.Do("HSET", at.Format("20060102")+"-marks", at.Format("2006-01-02T15:04:05Z"), label)
	}
	mark(at, "abc123 a commit")
	mark(at.Add(time.Minute), "shared")
	mark(at.Add(24*time.Hour), "abc123 a commit")
	mark(at.AddDate(0, 0, -100), "long ago")
	server.Do("HSET", at.Format("20060102")+"-marks", "some day", "x")
	want := []store.Mark{{At: at, Release: "abc123 a commit"}, {At: at.Add(time.Minute), Release: "shared"}}
	for name, since := range map[string]time.Time{"ever": {}, "since the first": at} {
		if got, err := r.s.Marks(t.Context(), since); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := r.s.Marks(t.Context(), at.Add(time.Second)); err != nil || len(got) != 1 {
		t.Errorf("since then: %v, %v", got, err)
	}
}

func TestHistogramsAreReadAsSidekiqWritesThem(t *testing.T) {
	t.Parallel()
	var full []byte
	for i := range 26 {
		full = binary.BigEndian.AppendUint16(full, uint16(1000*i))
	}
	for name, c := range map[string]struct {
		text []byte
		want func(i int) int64
	}{
		"all":        {full, func(i int) int64 { return int64(1000 * i) }},
		"cut":        {full[:21], func(i int) int64 { return map[bool]int64{true: int64(1000 * i)}[i < 10] }},
		"none":       {nil, func(int) int64 { return 0 }},
		"and others": {append(full, full...), func(i int) int64 { return int64(1000 * i) }},
	} {
		var got store.Spread
		addHistogram(&got, c.text)
		for i, n := range got {
			if n != c.want(i) {
				t.Errorf("%s: counter %d is %d", name, i, n)
			}
		}
	}
}
