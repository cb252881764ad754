package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// spread is 12 short runs, two of a second, and one that took very long.
func spread() (s store.Spread) {
	s[0], s[10], s[25] = 12, 2, 1
	return s
}

// The keys and what is in them are as Sidekiq 7.3.10 and 8.1.7 wrote them.
func TestMetricsAreSidekiqs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, beat := beater(t, server)
	beat()
	number := uint64(0)
	for name, c := range map[string]struct {
		at    time.Time
		want  []string // minute of 7, minute and ten minutes of 8
		grams []string // of OkJob, 7 and 8
	}{
		"unpadded": {
			time.Date(2026, 11, 5, 9, 5, 59, 0, time.UTC), []string{"j|20261105|9:5", "j|261105|9:05", "j|261105|9:0"},
			[]string{"OkJob-05-09:5", "h|OkJob-5-9:5"},
		},
		"afternoon, elsewhere": {
			time.Date(2026, 11, 21, 20, 35, 0, 0, time.FixedZone("", 3600)), []string{"j|20261121|19:35", "j|261121|19:35", "j|261121|19:3"},
			[]string{"OkJob-21-19:35", "h|OkJob-21-19:35"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			number++
			few, many := spread(), store.Spread{7}
			few[0] -= many[0]
			r := &report{number: number, at: c.at.UTC(), runs: []store.Runs{
				{Kind: "OkJob", Queue: "a", Ended: 10, Failed: 2, Took: 1234067 * time.Microsecond, Spread: few},
				{Kind: "Bad::Job", Queue: "a", Ended: 3, Failed: 3},
				{Kind: "OkJob", Queue: "b", Ended: 7, Took: 500 * time.Microsecond, Spread: many},
			}}
			for range 2 { // the second time in vain
				if _, err := s.do(t.Context(), s.counts("p:1:x", []*report{r})...); err != nil {
					t.Fatal(err)
				}
			}
			for i, key := range c.want {
				want := map[string]int{"OkJob|p": 17, "OkJob|f": 2, "OkJob|ms": 1234, "Bad::Job|p": 3, "Bad::Job|f": 3}
				if diff := cmp.Diff(want, metricsIn(server, key)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", key, diff)
				}
				ttl := 28800
				if i == 2 {
					ttl = 259200
				}
				keptFor(t, server, key, ttl)
			}
			for _, key := range c.grams {
				if got := histogram(server, key); got != spread() {
					t.Errorf("%s: %v", key, got)
				}
				keptFor(t, server, key, 28800)
			}
			if grams := server.Do("KEYS", "*Bad::Job*"); grams != "" {
				t.Errorf("histogram of failures: %s", grams)
			}
		})
	}
}

func keptFor(t *testing.T, server *redistest.Server, key string, ttl int) {
	t.Helper()
	if got, err := strconv.Atoi(server.Do("TTL", key)); err != nil || got > ttl || got < ttl-60 {
		t.Errorf("%s is kept for %d s, %v", key, got, err)
	}
}

// histogram reads one as Sidekiq does.
func histogram(server *redistest.Server, key string) (s store.Spread) {
	args := []string{"BITFIELD_RO", key}
	for i := range s {
		args = append(args, "GET", "u16", "#"+strconv.Itoa(i))
	}
	for i, word := range strings.Split(server.Do(args...), "\n") {
		s[i], _ = strconv.ParseInt(word, 10, 64)
	}
	return s
}

// metricsIn adds up hashes, by field.
func metricsIn(server *redistest.Server, keys ...string) map[string]int {
	sums := map[string]int{}
	for _, key := range keys {
		fields, values := server.Do("HKEYS", key), strings.Split(server.Do("HVALS", key), "\n")
		for i, field := range strings.Split(fields, "\n") {
			n, _ := strconv.Atoi(values[i])
			sums[field] += n
		}
	}
	return sums
}

// metricsOf adds up all minutes of Sidekiq 7.
func metricsOf(server *redistest.Server) map[string]int {
	return metricsIn(server, strings.Fields(server.Do("KEYS", "j|20*"))...)
}

// reporter is a process that beats with what it has run.
type reporter struct {
	t  *testing.T
	s  *Store
	id store.Identity
}

func (r *reporter) beat(runs ...store.Runs) error {
	_, err := r.s.Beat(r.t.Context(), store.Presence{ID: r.id, Runs: runs}, time.Minute)
	return err
}

// due lets the next beat report.
func (r *reporter) due() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.boot(r.id).counting.next = time.Time{}
}

func newReporter(t *testing.T, url string) *reporter {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &reporter{t, s, "p:1:x"}
}

func TestRunsCountOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	step := func(what string, want map[string]int, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if diff := cmp.Diff(want, metricsOf(server)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	first := store.Runs{Kind: "A", Ended: 2, Failed: 1, Took: time.Second}
	second := store.Runs{Kind: "A", Ended: 5, Failed: 1, Took: 3 * time.Second}
	other := store.Runs{Kind: "B", Ended: 1, Failed: 1}
	one := map[string]int{"A|p": 2, "A|f": 1, "A|ms": 1000}
	two := map[string]int{"A|p": 5, "A|f": 1, "A|ms": 3000}
	all := map[string]int{"A|p": 5, "A|f": 1, "A|ms": 3000, "B|p": 1, "B|f": 1}
	step("nothing has run", map[string]int{}, r.beat())
	step("the first runs", one, r.beat(first))
	step("the next ones, too soon", one, r.beat(second))
	r.due()
	step("in time", two, r.beat(second))
	r.due()
	step("nothing new", two, r.beat(second))

	// An answer is lost: the report is repeated, to whom it has counted.
	r.s.mu.Lock()
	r.s.boot(r.id).counting.pending = []*report{{number: 2, runs: []store.Runs{{Kind: "A", Ended: 3}}}}
	r.s.mu.Unlock()
	step("repeated", two, r.beat(second))
	leave := func() error {
		return r.s.Leave(t.Context(), store.Call{By: r.id, Lane: store.LaneVerdict, Seq: 1}, store.Farewell{ID: r.id, Runs: []store.Runs{second, other}})
	}
	step("goodbye brings the rest", all, leave())
	ttl := server.Do("TTL", "ebb:last:"+string(r.id))
	step("said twice", all, leave())
	if n, err := strconv.Atoi(ttl); err != nil || n < 86000 {
		t.Errorf("a process that has left is remembered for %s s", ttl)
	}
}

func TestAReportIsRepeatedUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	if err := r.beat(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	first, second := store.Runs{Kind: "A", Ended: 2, Failed: 2}, store.Runs{Kind: "A", Ended: 3, Failed: 3}
	if _, err := r.s.Beat(ctx, store.Presence{ID: r.id, Runs: []store.Runs{first}}, time.Minute); err == nil {
		t.Fatal("the beat was answered")
	}
	for n, want := range []int{2, 3} { // the first report again, then what has come since
		r.due()
		if err := r.beat(second); err != nil {
			t.Fatal(err)
		}
		if got := metricsOf(server)["A|p"]; got != want {
			t.Errorf("%d runs are counted after %d answers, want %d", got, n+1, want)
		}
	}
}

func TestAnEmbeddedProcessHasNoButtons(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	for _, embedded := range []bool{false, true} {
		if _, err := r.s.Beat(t.Context(), store.Presence{ID: r.id, Embedded: embedded}, time.Minute); err != nil {
			t.Fatal(err)
		}
		if info, want := server.Do("HGET", string(r.id), "info"), fmt.Sprintf(`"embedded":%v`, embedded); !strings.Contains(info, want) {
			t.Errorf("without %s: %s", want, info)
		}
	}
}

func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newReporter(t, server.URL())
	runs := make([]store.Runs, 3*maxRuns+1)
	for i := range runs {
		runs[i] = store.Runs{Kind: fmt.Sprintf("Kind%d", i), Ended: 1, Failed: 1}
	}
	for beats, want := range []int{maxRuns, 2 * maxRuns} {
		if err := r.beat(runs...); err != nil {
			t.Fatal(err)
		}
		if got := len(metricsOf(server)) / 2; got != want {
			t.Errorf("%d kinds are counted after %d beats, want %d", got, beats+1, want)
		}
	}
	if err := r.s.Leave(t.Context(), store.Call{By: r.id, Seq: 1}, store.Farewell{ID: r.id, Runs: runs}); err != nil {
		t.Fatal(err)
	}
	if got := len(metricsOf(server)) / 2; got != len(runs) {
		t.Errorf("%d of %d kinds are counted in the end", got, len(runs))
	}
}

// What is counted for people is not worth the memory that jobs need, nor a lease.
func TestAServerThatRefusesCountsStillBeats(t *testing.T) {
	t.Parallel()
	runs := store.Runs{Kind: "A", Ended: 1, Failed: 1}
	for name, refuse := range map[string][]string{
		"full":        {"CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1"},
		"not allowed": {"ACL", "SETUSER", "default", "resetkeys", "~ebb:*", "~stat:*", "~processes", "~*:*:*", "~queue*"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			r := newReporter(t, server.URL())
			if err := r.beat(); err != nil {
				t.Fatal(err)
			}
			server.Do(refuse...)
			if err := r.beat(runs); err != nil {
				t.Errorf("beat: %v", err)
			}
			server.Do("ACL", "SETUSER", "default", "allkeys")
			if got := metricsOf(server); len(got) > 0 {
				t.Errorf("counted %v", got)
			}
		})
	}
}

func TestAClusterKeepsNoMetrics(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Cluster())
	r := newReporter(t, server.URL()+"?layout=cluster")
	runs := store.Runs{Kind: "A", Ended: 1, Failed: 1}
	if err := r.beat(runs); err != nil {
		t.Fatal(err)
	}
	if err := r.s.Leave(t.Context(), store.Call{By: r.id, Seq: 1}, store.Farewell{ID: r.id, Runs: []store.Runs{runs}}); err != nil {
		t.Fatal(err)
	}
	if keys := server.Do("KEYS", "j|*"); keys != "" {
		t.Errorf("keys that no slot is for: %s", keys)
	}
}
