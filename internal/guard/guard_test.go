package guard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

const one, two = "vm:7:8a278493efb1", "vm:8:8a278493efb1"

// A job that is put back says so, counts its crash, and is otherwise Ruby's.
func TestPutBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		quiet bool
		want  wire.History
	}{
		{"while it ran", false, wire.History{Interruptions: 1, Crashes: 1, Events: []wire.Event{{What: "rescued", Cause: "crash", By: "guard:1:x", Note: one}}}},
		{"while it was quiet", true, wire.History{Interruptions: 1, Events: []wire.Event{{What: "rescued", Cause: "deploy", By: "guard:1:x", Note: one}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.beat(one, c.quiet, "a", "b")
			w.beat(two, false, "c")
			w.look()
			w.vanish(one)
			if got := w.look().fates(); got != "a rescued, b rescued" {
				t.Errorf("fates: %s", got)
			}
			back := w.waiting()
			if jids(back) != "a b" {
				t.Fatalf("waiting: %s", jids(back))
			}
			h := back[0].History
			for i := range h.Events {
				h.Events[i].At = time.Time{}
			}
			c.want.Events = append(c.want.Events, wire.Event{What: "put back", Cause: "last seen at a beat", By: "guard:1:x", Note: "it may have run to its end since"})
			if d := cmp.Diff(c.want, h); d != "" {
				t.Errorf("history (-want +got):\n%s", d)
			}
			if got := fmt.Sprint(back[0].Kind, string(back[0].Args), back[0].Retry); got != `SlowJob["secret"]true` && !strings.HasPrefix(got, `SlowJob["secret"]`) {
				t.Errorf("the job is %s", got)
			}
			for _, line := range []string{`msg="process vanished"`, "jid=a", "jid=b"} {
				w.says(1, line)
			}
			w.says(2, "process guarded")
			w.says(0, "secret")
			if seen := w.look(); len(seen.Jobs) != 0 || seen.Processes != 1 {
				t.Errorf("another look: %+v", seen)
			}
			w.reported(one, 2)
		})
	}
}

// reported wants a stop report of a process, with so many fates.
func (w *world) reported(id store.Identity, jobs int) {
	w.Helper()
	for r, err := range w.store.Stops(w.Context()) {
		if err != nil {
			w.Fatal(err)
		}
		if r.ID == id {
			if len(r.Jobs) != jobs || r.By != "guard:1:x" || r.Tag != "shop" || !strings.Contains(strings.Join(r.Notes, "\n"), "not known") {
				w.Errorf("stop report: %+v", r)
			}
			return
		}
	}
	w.Errorf("%s has no stop report", id)
}

// What its process has given back itself, or what runs elsewhere, needs nobody to put it
// back.
func TestNotPutBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, push, want string }{
		{"it waits at the front", "RPUSH", "b rescued, a handed back"},
		{"it waits at the back", "LPUSH", "b rescued, a handed back"},
		{"it runs elsewhere", "", "b rescued, a handed back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range 3 * ends {
				w.server.Do("LPUSH", "queue:default", job(fmt.Sprint("other", i)))
			}
			w.beat(one, false, "a", "b")
			w.look()
			if c.push == "" {
				w.beat(two, false, "a")
			} else {
				w.server.Do(c.push, "queue:default", job("a"))
			}
			w.vanish(one)
			if got := w.look().fates(); got != c.want {
				t.Errorf("fates: %s, want %s", got, c.want)
			}
			if n := strings.Count(" "+jids(w.waiting())+" ", " a "); c.push != "" && n != 1 || c.push == "" && n != 0 {
				t.Errorf("a waits %d times", n)
			}
		})
	}
}

// A process that stops gives its jobs back, and may be killed before it says goodbye. By
// the time that it counts as gone others have run them.
func TestGivenBackWhileStopping(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.beat(one, true, "a", "b")
	w.look()
	w.server.Do("RPUSH", "queue:default", job("a"))
	w.look()
	w.server.Do("RPOP", "queue:default")
	w.vanish(one)
	if got := w.look().fates(); got != "b rescued" {
		t.Errorf("fates: %s", got)
	}
}

func TestDoubtIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.beat(one, false, "a")
	w.look()
	w.vanish(one)
	w.guard.Pace.Gap, w.guard.Pace.Stale = -1, -time.Millisecond // as if nobody had looked for long
	for range 3 {
		if got := w.look().fates(); got != "a in doubt" {
			t.Errorf("fates: %s", got)
		}
	}
	w.says(1, "jid=a")
	w.says(1, "ebb guard --gone "+one)
	if got := w.look(one).fates(); got != "a rescued" {
		t.Errorf("with a witness: %s", got)
	}
}

// What a witness says of the cause counts for the jobs, as in a rescue.
func TestWitness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	died, err := rescue.ParseDeath("oom")
	if err != nil {
		t.Fatal(err)
	}
	w.guard.Died = map[store.Identity]rescue.Death{one: died}
	w.guard.Pace.Known = true
	w.beat(one, false, "a")
	w.beat(two, false, "b")
	if got := w.look(one).fates(); got != "a rescued" {
		t.Errorf("fates: %s", got)
	}
	if e := w.waiting()[0].History.Events[0]; e.Cause != "oom" {
		t.Errorf("event %+v", e)
	}
	if n := w.server.Do("EXISTS", "ebb:mirror:"+two); n != "0" {
		t.Error("who is not asked about is remembered, and would be in doubt one day")
	}
}

// A job that brings its processes down is put back more and more slowly.
func TestPutBackOfPoison(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := job("a")
	for range 2 {
		w.beat(one, false)
		w.server.Do("HSET", one+":work", "8c0", fmt.Sprintf(`{"queue":"default","payload":%q,"run_at":1}`, text))
		w.look()
		w.vanish(one)
		w.look()
		if back := w.waiting(); len(back) == 1 {
			text = w.server.Do("RPOP", "queue:default")
		}
	}
	if n := w.server.Do("ZCARD", "schedule"); n != "1" {
		t.Errorf("after a second crash %s jobs are delayed", n)
	}
	w.says(1, "job put back with a delay")
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.guard.DryRun = true
	w.beat(one, false, "a")
	w.look()
	w.vanish(one)
	for range 2 {
		if got := w.look().fates(); got != "a rescued" {
			t.Errorf("fates: %s", got)
		}
	}
	if len(w.waiting()) != 0 {
		t.Error("put back")
	}
}

// Settle does not end before it knows of everybody.
func TestSettle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.guard.Pace.Silence = 100 * time.Millisecond
	w.beat(one, false, "a")
	w.look()
	w.vanish(one)
	seen, err := w.guard.Settle(t.Context())
	if got := seen.fates(); got != "a rescued" || err != nil {
		t.Errorf("fates: %s, %v", got, err)
	}
}

// Several guards, of which each may be killed, put every job back once.
func TestManyGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const processes, each = 10, 5
	id := func(n int) string { return fmt.Sprintf("vm:%d:8a278493efb1", n) }
	for n := range processes {
		var jobs []string
		for i := range each {
			jobs = append(jobs, fmt.Sprintf("%d-%d", n, i))
		}
		w.beat(id(n), false, jobs...)
	}
	w.look()
	stops := []func(){run(w.newGuard(w.open())), run(w.newGuard(w.open())), run(w.newGuard(w.open()))}
	for n := range processes {
		w.vanish(id(n))
		if n == processes/2 {
			stops[0]()
		}
	}
	w.eventually("all are back", func() bool { return len(w.waiting()) >= processes*each })
	w.look()
	stops[1]()
	stops[2]()
	seen := map[string]bool{}
	for _, j := range w.waiting() {
		if seen[j.JID] {
			t.Errorf("%s is back twice", j.JID)
		}
		seen[j.JID] = true
	}
	if len(seen) != processes*each {
		t.Errorf("%d are back", len(seen))
	}
	w.says(processes, `msg="process vanished" `)
}

// stopping is a store whose guard is stopped as it puts something back.
type stopping struct {
	Store
	stop func()
}

func (s stopping) PutBack(ctx context.Context, g store.Salvage, settled ...store.Token) (int, bool, error) {
	s.stop()
	return s.Store.PutBack(ctx, g, settled...)
}

func TestStoppedGuardTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.beat(one, false, "a")
	w.beat(two, false, "b")
	w.look()
	w.vanish(one)
	w.vanish(two)
	ctx, stop := context.WithCancel(w.Context())
	if _, err := w.newGuard(stopping{w.store, stop}).Look(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the one that was left out is no error: %v", err)
	}
	w.says(1, `msg="process vanished"`)
	if got := len(w.waiting()); got != 1 {
		t.Errorf("%d jobs wait", got)
	}
	w.look() // of the next guard
	w.says(2, `msg="process vanished"`)
	if got := len(w.waiting()); got != 2 {
		t.Errorf("%d jobs wait", got)
	}
}

// silent is a store that never answers.
type silent struct{ Store }

func (silent) PutBack(ctx context.Context, _ store.Salvage, _ ...store.Token) (int, bool, error) {
	<-ctx.Done()
	return 0, false, ctx.Err()
}

// A store that does not answer keeps a guard for a moment alone once it is stopped, and
// until then for as long as it takes.
func TestStoppedGuardEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		began := time.Now()
		_, err := (&Guard{Store: silent{}}).putBackOf(ctx, &rescue.Judge{}, store.RubyProcess{Lost: store.Lost{ID: one}}, nil)
		if took := time.Since(began); took != time.Hour+answerWithin || !errors.Is(err, context.Canceled) {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// flaky is a store that is away at times.
type flaky struct {
	Store
	away  atomic.Bool
	looks atomic.Int64
}

func (f *flaky) WatchRuby(ctx context.Context, w store.RubyWatch) ([]store.RubyProcess, error) {
	f.looks.Add(1)
	if f.away.Load() {
		return nil, errors.New("connection refused")
	}
	return f.Store.WatchRuby(ctx, w)
}

func TestStoreAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := &flaky{Store: w.store}
	defer run(w.newGuard(f))()
	for range 2 {
		f.away.Store(true)
		before := f.looks.Load()
		w.eventually("it tries on", func() bool { return f.looks.Load() > before+3 })
		f.away.Store(false)
		before = f.looks.Load()
		w.eventually("it looks again", func() bool { return f.looks.Load() > before+3 })
	}
	w.says(2, "connection refused")
	w.says(2, "looked after again")
}

// A process that comes back is told of: its jobs may run beside themselves.
func TestLostProcessIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.beat(one, false, "a")
	w.look()
	w.vanish(one)
	w.look()
	w.beat(one, false, "a")
	w.look()
	w.look()
	w.says(1, "process is back")
	w.server.Do("SREM", "processes", one)
	w.look()
	w.look()
	w.says(1, "process left")
}
