package drain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a worker in a bubble of fake time. It runs what it runs until those moments,
// shows it every beat, and ends when it is told to.
type fake struct {
	name    string
	beat    time.Duration   // between two looks at itself; 0: it always knows
	jobs    []time.Duration // when each ends, from the start on
	obeys   int             // which Quiet it hears; 0: the first, -1: none
	frozen  int             // so many Quiets only thaw it
	deaf    bool            // to TERM
	ends    time.Duration   // after TERM
	vanish  time.Duration   // at this moment, by itself; 0: never
	late    time.Duration   // a job shows so long after the first beat that says quiet
	blind   bool
	told    func(n int) error // what Quiet answers
	refuses error             // what Term answers

	mu     sync.Mutex
	began  time.Time
	quiets []time.Time
	kills  []time.Time // the hours it was told
	quiet  bool
	terms  []time.Time
	err    error // State's
}

func (f *fake) Name() string { return f.name }

func (f *fake) State(context.Context) (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	age := now.Sub(f.began)
	if f.vanish > 0 && age >= f.vanish || len(f.terms) > 0 && !f.deaf && now.Sub(f.terms[0]) >= f.ends {
		return State{Gone: true}, nil
	}
	if f.err != nil {
		return State{}, f.err
	}
	looked := now
	if f.beat > 0 {
		looked = f.began.Add(age.Truncate(f.beat))
	}
	s := State{Blind: f.blind, Frozen: f.frozen > 0, Beat: looked.String()}
	s.Quiet = f.quiet && f.quiets[len(f.quiets)-1].Compare(looked) <= 0
	for i, ends := range f.jobs {
		if looked.Sub(f.began) < ends {
			s.Runs = append(s.Runs, store.Run{JID: strconv.Itoa(i), Kind: "Job", Since: f.began})
		}
	}
	if f.late > 0 && s.Quiet && looked.Sub(f.quiets[0]) >= f.beat && looked.Sub(f.quiets[0]) < f.late {
		s.Runs = append(s.Runs, store.Run{JID: "late", Kind: "Job", Since: f.began})
	}
	s.Busy = len(s.Runs)
	return s, nil
}

func (f *fake) Quiet(_ context.Context, kill time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.quiets, f.kills = append(f.quiets, time.Now()), append(f.kills, kill)
	if f.told != nil {
		if err := f.told(len(f.quiets)); err != nil {
			return err
		}
	}
	if f.frozen > 0 {
		f.frozen--
		return nil
	}
	if f.obeys >= 0 && len(f.quiets) >= f.obeys {
		f.quiet = true
	}
	return nil
}

func (f *fake) Term(context.Context, time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.terms = append(f.terms, time.Now())
	return f.refuses
}

// at says when TERM came, -1 if never.
func (f *fake) at(when []time.Time) time.Duration {
	if len(when) == 0 {
		return -1
	}
	return when[0].Sub(f.began)
}

const seconds = time.Second

func TestDrain(t *testing.T) {
	t.Parallel()
	busy := errors.New("busy")
	cases := []struct {
		name    string
		fake    *fake
		needs   time.Duration
		opt     Options
		outcome Outcome
		term    time.Duration // when it came, give or take two looks; -1: never
		took    time.Duration
		says    []string // in this order
		not     string
	}{
		{name: "idle from the start", fake: &fake{beat: 5 * seconds, ends: seconds / 2}, term: 5 * seconds, took: 6 * seconds, outcome: Drained,
			says: []string{"told to go quiet; TERM after 120 s", "quiet, nothing runs", "idle after 5.0 s: TERM", "gone 0.6 s after TERM"}},
		{name: "exact", fake: &fake{jobs: []time.Duration{3 * seconds, 7 * seconds}}, term: 7400 * time.Millisecond, took: 8 * seconds, outcome: Drained,
			says: []string{"quiet, 2 jobs run", "idle after 7."}},
		{name: "a job shows only with the second beat", fake: &fake{beat: 5 * seconds, late: 12 * seconds}, term: 20 * seconds, took: 20 * seconds, outcome: Drained},
		{name: "vanishes with a job", fake: &fake{jobs: []time.Duration{60 * seconds}, vanish: 4 * seconds}, term: -1, took: 4 * seconds, outcome: Drained,
			says: []string{"gone by itself after 4.0 s, 1 job runs when last seen"}},
		{name: "never quiet", fake: &fake{obeys: -1}, opt: Options{Timeout: 30 * seconds}, term: 30 * seconds, took: 30 * seconds, outcome: Late,
			says: []string{"not quiet 12 s after it was told: told again", "told again", "the time is over after 30 s, nothing runs: TERM"}},
		{name: "quiet when told again", fake: &fake{obeys: 2}, term: 12200 * time.Millisecond, took: 13 * seconds, outcome: Drained,
			says: []string{"told again", "quiet, nothing runs"}},
		{name: "the time is over", fake: &fake{beat: 5 * seconds, jobs: []time.Duration{time.Hour}, ends: 2 * seconds}, needs: 30 * seconds, opt: Options{Timeout: 20 * seconds},
			term: 20 * seconds, took: 22 * seconds, outcome: Late, says: []string{"quiet, 1 job runs", "the time is over after 20 s, 1 job runs: TERM: Job 0 for 20 s", "gone 2.0 s after TERM"}},
		{name: "deaf to TERM", fake: &fake{jobs: []time.Duration{time.Hour}, deaf: true}, needs: 30 * seconds, opt: Options{Timeout: 20 * seconds},
			term: 20 * seconds, took: 50 * seconds, outcome: Late, says: []string{"still there 30 s after TERM"}},
		{name: "idle, and deaf to TERM", fake: &fake{deaf: true}, term: 400 * time.Millisecond, took: 6 * seconds, outcome: Drained, says: []string{"still there 5.0 s after TERM"}},
		{name: "TERM is the platform's", fake: &fake{jobs: []time.Duration{2 * seconds}}, opt: Options{NoTerm: true}, term: -1, took: 3 * seconds, outcome: Drained,
			says: []string{"TERM is left to the platform"}},
		{name: "TERM is the platform's, and the time is over", fake: &fake{jobs: []time.Duration{time.Hour}}, opt: Options{NoTerm: true, Timeout: 9 * seconds}, term: -1, took: 9 * seconds,
			outcome: Late, says: []string{"the time is over after 9.0 s, 1 job runs; TERM is left to the platform"}},
		{name: "grace leaves Ruby its time", fake: &fake{beat: 5 * seconds, jobs: []time.Duration{time.Hour}, ends: 25 * seconds}, needs: 30 * seconds, opt: Options{Grace: 60 * seconds},
			term: 30 * seconds, took: 55 * seconds, outcome: Late},
		{name: "grace leaves nothing", fake: &fake{jobs: []time.Duration{time.Hour}, ends: 25 * seconds}, needs: 30 * seconds, opt: Options{Grace: 30 * seconds},
			term: 0, took: 25 * seconds, outcome: Late, says: []string{"TERM after 0.0 s at the latest", "the time is over"}},
		{name: "frozen", fake: &fake{frozen: 1}, term: 600 * time.Millisecond, took: seconds, outcome: Drained, says: []string{"frozen by a signal", "quiet"}},
		{name: "nobody knows", fake: &fake{blind: true, ends: seconds}, opt: Options{Timeout: 10 * seconds}, term: 10 * seconds, took: 11 * seconds, outcome: Late,
			says: []string{"the time is over after 10 s, nobody knows what runs: TERM"}},
		{name: "not allowed", fake: &fake{told: func(int) error { return ErrPermission }}, term: -1, took: 0, outcome: Refused, says: []string{"not allowed to signal"}},
		{name: "told late", fake: &fake{told: func(n int) error {
			if n < 10 {
				return busy
			}
			return nil
		}}, term: 2 * seconds, took: 3 * seconds, outcome: Drained, says: []string{"cannot be told to go quiet yet: busy", "quiet"}, not: "busy\nbusy"},
		{name: "TERM is refused", fake: &fake{refuses: busy}, term: 400 * time.Millisecond, took: seconds, outcome: Refused, says: []string{"cannot be told to end: busy"}},
		{name: "cannot be looked at", fake: &fake{err: busy, ends: seconds}, opt: Options{Timeout: 10 * seconds}, term: 10 * seconds, took: 11 * seconds, outcome: Late,
			says: []string{"cannot be looked at: busy", "the time is over"}, not: "looked at: busy\ncannot be looked"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := c.fake
				f.name, f.began = "w", time.Now()
				var said diary
				c.opt.Workers = []Worker{{Target: f, Key: "w", Needs: c.needs}}
				c.opt.Note = said.note
				report, err := Drain(t.Context(), c.opt)
				took := time.Since(f.began)
				if err != nil || report.Outcome() != c.outcome {
					t.Errorf("%v, %v; want %v", report.Outcome(), err, c.outcome)
				}
				if off := (took - c.took).Abs(); off > seconds {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				if off := (f.at(f.terms) - c.term).Abs(); off > 2*glance || len(f.terms) > 1 {
					t.Errorf("TERM %d times, first at %v, want %v", len(f.terms), f.at(f.terms), c.term)
				}
				rest := said.String()
				for _, want := range c.says {
					_, after, ok := strings.Cut(rest, want)
					if !ok {
						t.Errorf("it did not say %q in\n%s", want, said.String())
					}
					rest = after
				}
				if c.not != "" && strings.Contains(said.String(), c.not) {
					t.Errorf("it repeats itself:\n%s", said.String())
				}
			})
		})
	}
}

// A worker that ends its jobs at an hour of its own is past its time then, whether TERM
// came before it was gone or not.
func TestItEndsItsJobsItself(t *testing.T) {
	t.Parallel()
	for _, vanish := range []time.Duration{0, 20100 * time.Millisecond} {
		t.Run(vanish.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fake{began: time.Now(), jobs: []time.Duration{time.Hour}, vanish: vanish}
				w := Worker{Target: ending{f, f.began.Add(20 * seconds)}, Key: "w"}
				report, err := Drain(t.Context(), Options{Workers: []Worker{w}, Timeout: time.Minute})
				if took := time.Since(f.began); err != nil || report.Outcome() != Late || took > 21*seconds {
					t.Errorf("%v after %v, %v", report.Outcome(), took, err)
				}
			})
		})
	}
}

// ending tells when it ends its jobs.
type ending struct {
	*fake
	at time.Time
}

func (e ending) State(ctx context.Context) (State, error) {
	s, err := e.fake.State(ctx)
	s.Ends = e.at
	return s, err
}

// The hour of the KILL is told at once, and only where there is one.
func TestTheHourThatIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		opt  Options
		want time.Duration // 0: none
	}{
		{"grace", Options{Grace: 65 * seconds, Timeout: time.Hour}, 65 * seconds},
		{"timeout", Options{Timeout: 60 * seconds}, 65 * seconds},
		{"default", Options{}, 125 * seconds},
		{"no KILL is foreseen", Options{NoTerm: true}, 0},
		{"grace, and TERM is the platform's", Options{Grace: 65 * seconds, NoTerm: true}, 65 * seconds},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fake{began: time.Now(), quiet: true, quiets: []time.Time{time.Now()}} // it may not know the hour
				c.opt.Workers = []Worker{{Target: f, Key: "w"}}
				if _, err := Drain(t.Context(), c.opt); err != nil {
					t.Fatal(err)
				}
				want := time.Time{}
				if c.want > 0 {
					want = f.began.Add(c.want)
				}
				if len(f.kills) != 1 || !f.kills[0].Equal(want) {
					t.Errorf("told %v, want %v", f.kills, want)
				}
			})
		})
	}
}

func TestGravestOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		good, late := &fake{name: "good", began: began}, &fake{name: "late", began: began, jobs: []time.Duration{time.Hour}}
		refused := &fake{name: "refused", began: began, told: func(int) error { return ErrPermission }}
		report, err := Drain(t.Context(), Options{Timeout: 3 * seconds, Workers: []Worker{{Target: good, Key: "1"}, {Target: refused, Key: "2"}, {Target: late, Key: "3"}}})
		if err != nil || report.Outcome() != Refused {
			t.Fatalf("%+v, %v", report, err)
		}
		for i, want := range []Outcome{Drained, Refused, Late} {
			if got := report.Workers[i].Outcome; got != want {
				t.Errorf("%s: %v, want %v", report.Workers[i].Name, got, want)
			}
		}
		if len(good.terms) != 1 || len(late.terms) != 1 {
			t.Error("one that cannot be told holds up the others")
		}
	})
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("stop")
		ctx, end := context.WithCancelCause(t.Context())
		time.AfterFunc(3*seconds, func() { end(stop) })
		f := &fake{began: time.Now(), jobs: []time.Duration{time.Hour}}
		report, err := Drain(ctx, Options{Workers: []Worker{{Target: f, Key: "w"}}})
		if !errors.Is(err, stop) || report.Outcome() != Underway || len(f.terms) > 0 {
			t.Errorf("%v, %v, %d TERMs", report.Outcome(), err, len(f.terms))
		}
	})
}

// Whoever comes second goes by the clock of the first, together with it or after it.
func TestTwoRuns(t *testing.T) {
	t.Parallel()
	type second struct {
		after, timeout time.Duration
	}
	cases := []struct {
		name    string
		first   time.Duration // when it is ended; 0: never
		second  second
		jobs    time.Duration
		resumed bool // between the two
		term    time.Duration
		outcome Outcome // of the second
		says    string  // the second
	}{
		{"at once", 0, second{seconds, 60 * seconds}, time.Hour, false, 20 * seconds, Late, "joined"},
		{"and nothing is late", 0, second{seconds, 60 * seconds}, 10 * seconds, false, 10400 * time.Millisecond, Drained, "joined"},
		{"the first dies", 5 * seconds, second{3 * seconds, 60 * seconds}, time.Hour, false, 20 * seconds, Late, "goes on with a drain that began 5"},
		{"after the first has died", 5 * seconds, second{15 * seconds, 60 * seconds}, time.Hour, false, 20 * seconds, Late, "goes on with a drain that began 15 s ago"},
		{"with less time", 5 * seconds, second{6 * seconds, 10 * seconds}, time.Hour, false, 10 * seconds, Late, "goes on"},
		{"for a worker that was resumed", 5 * seconds, second{30 * seconds, 60 * seconds}, time.Hour, true, 90 * seconds, Late, "told to go quiet; TERM after 60 s"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dirs := []string{t.TempDir()}
			synctest.Test(t, func(t *testing.T) {
				f := &fake{name: "w", began: time.Now(), jobs: []time.Duration{c.jobs}, ends: seconds}
				run := func(ctx context.Context, timeout time.Duration, note func(Event)) Report {
					r, _ := Drain(ctx, Options{Workers: []Worker{{Target: f, Key: "w"}}, Timeout: timeout, Dirs: dirs, Note: note})
					return r
				}
				ctx, end := context.WithCancel(t.Context())
				defer end()
				if c.first > 0 {
					time.AfterFunc(c.first, end)
				}
				var runs sync.WaitGroup
				runs.Go(func() { run(ctx, 20*seconds, nil) })
				time.Sleep(c.second.after)
				if c.resumed {
					f.mu.Lock()
					f.quiet = false
					f.mu.Unlock()
				}
				var said diary
				report := run(t.Context(), c.second.timeout, said.note)
				runs.Wait()
				if report.Outcome() != c.outcome || !strings.Contains(said.String(), c.says) {
					t.Errorf("%v, want %v; it said\n%s", report.Outcome(), c.outcome, said.String())
				}
				if off := (f.at(f.terms) - c.term).Abs(); off > 2*glance || len(f.terms) != 1 {
					t.Errorf("%d TERMs, at %v, want one at %v", len(f.terms), f.at(f.terms), c.term)
				}
				if left, _ := os.ReadDir(dirs[0]); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		})
	}
}

// Without a folder, those who run at the same time know of each other by the worker's
// own file in /proc.
func TestTwoRunsWithoutDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{name: "w", began: time.Now(), jobs: []time.Duration{5 * seconds}}
		w := Worker{Target: f, Key: "w", PID: os.Getpid()}
		var one, two diary
		var runs sync.WaitGroup
		for _, said := range []*diary{&one, &two} {
			runs.Go(func() {
				if _, err := Drain(t.Context(), Options{Workers: []Worker{w}, Dirs: []string{"/nonexistent"}, Note: said.note}); err != nil {
					t.Error(err)
				}
			})
		}
		runs.Wait()
		if len(f.terms) != 1 || strings.Contains(one.String(), "joined") == strings.Contains(two.String(), "joined") {
			t.Errorf("%d TERMs; they said\n%s\nand\n%s", len(f.terms), one.String(), two.String())
		}
	})
}

// Somebody else's file is no clock.
func TestClockOfAnother(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := dir + "/victim"
	if err := os.WriteFile(victim, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, fmt.Sprintf("%s/ebb-drain-%d-w.clock", dir, os.Getuid())); err != nil {
		t.Fatal(err)
	}
	c := openClock([]string{dir}, Worker{Key: "w"})
	defer c.close(true)
	c.claim()
	c.write(time.Now(), time.Now())
	if text, _ := os.ReadFile(victim); string(text) != "keep" {
		t.Errorf("wrote through a link: %q", text)
	}
}
