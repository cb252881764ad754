package lifecycle

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var epoch = time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return epoch.Add(time.Duration(seconds * float64(time.Second)))
}

func newMachine(t *testing.T, c Config) *Machine {
	t.Helper()
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// inState brings a machine of 30 s grace to a state at second 0; its job contexts
// end at 27, GiveUp is at 29.
func inState(t *testing.T, s State) *Machine {
	t.Helper()
	m := newMachine(t, Config{Grace: 30 * time.Second, Terminal: true})
	switch s {
	case Quieted:
		m.On(Event{Kind: Quiet}, at(0))
	case Draining:
		m.On(Event{Kind: Stop}, at(0))
	case Stopped:
		m.On(Event{Kind: Stop}, at(0))
		m.On(Event{Kind: Idle}, at(0))
	}
	if m.State() != s {
		t.Fatalf("state is %v, want %v", m.State(), s)
	}
	return m
}

func TestEveryEventInEveryState(t *testing.T) {
	t.Parallel()
	type answer struct {
		state   State
		actions []Action
	}
	stay := func(s State) answer { return answer{state: s} }
	hour := at(60) // told at second 1: 59 s, so the reserve is 5.9 s

	cases := []struct {
		name  string
		event Event
		at    float64
		want  map[State]answer
	}{
		{"tick", Event{Kind: Tick}, 1, map[State]answer{
			Running: stay(Running), Quieted: stay(Quieted), Draining: stay(Draining), Stopped: stay(Stopped),
		}},
		{"quiet", Event{Kind: Quiet}, 1, map[State]answer{
			Running: {Quieted, []Action{StopFetching}}, Quieted: stay(Quieted), Draining: stay(Draining), Stopped: stay(Stopped),
		}},
		{"quiet with an hour", Event{Kind: Quiet, Kill: hour}, 1, map[State]answer{
			Running: {Quieted, []Action{StopFetching, Notify}}, Quieted: {Quieted, []Action{Notify}},
			Draining: stay(Draining), Stopped: stay(Stopped), // a later hour than grace gives
		}},
		{"quiet with an earlier hour", Event{Kind: Quiet, Kill: at(20)}, 1, map[State]answer{
			Running: {Quieted, []Action{StopFetching, Notify}}, Quieted: {Quieted, []Action{Notify}},
			Draining: {Draining, []Action{Notify}}, Stopped: stay(Stopped),
		}},
		{"resume", Event{Kind: Resume}, 1, map[State]answer{
			Running: stay(Running), Quieted: {Running, []Action{StartFetching}}, Draining: stay(Draining), Stopped: stay(Stopped),
		}},
		{"stop", Event{Kind: Stop}, 1, map[State]answer{
			Running: {Draining, []Action{StopFetching, Notify}}, Quieted: {Draining, []Action{Notify}},
			Draining: stay(Draining), Stopped: stay(Stopped),
		}},
		{"stop with an hour", Event{Kind: Stop, Kill: hour}, 1, map[State]answer{
			Running: {Draining, []Action{StopFetching, Notify}}, Quieted: {Draining, []Action{Notify}},
			Draining: stay(Draining), Stopped: stay(Stopped),
		}},
		{"stop with an hour that has passed", Event{Kind: Stop, Kill: at(0.5)}, 1, map[State]answer{
			Running:  {Stopped, []Action{StopFetching, Notify, EndJobs, Leave}},
			Quieted:  {Stopped, []Action{Notify, EndJobs, Leave}},
			Draining: {Stopped, []Action{Notify, EndJobs, Leave}}, Stopped: stay(Stopped),
		}},
		{"first interrupt", Event{Kind: Interrupt}, 1, map[State]answer{
			Running: {Draining, []Action{StopFetching, Notify}}, Quieted: {Draining, []Action{Notify}},
			Draining: stay(Draining), Stopped: stay(Stopped),
		}},
		{"idle", Event{Kind: Idle}, 1, map[State]answer{
			Running: stay(Running), Quieted: stay(Quieted), Draining: {Stopped, []Action{Leave}}, Stopped: stay(Stopped),
		}},
		{"dump", Event{Kind: Dump}, 1, map[State]answer{
			Running: {Running, []Action{Print}}, Quieted: {Quieted, []Action{Print}},
			Draining: {Draining, []Action{Print}}, Stopped: {Stopped, []Action{Print}},
		}},
		{"job contexts have to end", Event{Kind: Tick}, 27, map[State]answer{
			Running: stay(Running), Quieted: stay(Quieted), Draining: {Draining, []Action{EndJobs}}, Stopped: stay(Stopped),
		}},
		{"deaf jobs are given up", Event{Kind: Tick}, 29, map[State]answer{
			Running: stay(Running), Quieted: stay(Quieted), Draining: {Stopped, []Action{EndJobs, Leave}}, Stopped: stay(Stopped),
		}},
		{"idle after the last moment", Event{Kind: Idle}, 29.5, map[State]answer{
			Running: stay(Running), Quieted: stay(Quieted), Draining: {Stopped, []Action{EndJobs, Leave}}, Stopped: stay(Stopped),
		}},
	}
	for _, c := range cases {
		for _, s := range []State{Running, Quieted, Draining, Stopped} {
			t.Run(c.name+"/"+s.String(), func(t *testing.T) {
				t.Parallel()
				m := inState(t, s)
				got := m.On(c.event, at(c.at))
				if diff := cmp.Diff(c.want[s], answer{m.State(), got}, cmp.AllowUnexported(answer{})); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				// What repeats changes nothing, but for a dump.
				if again := m.On(c.event, at(c.at)); c.event.Kind != Dump && len(again) > 0 {
					t.Errorf("said again, it answers %v", again)
				}
			})
		}
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	type moments struct{ JobsEnd, GiveUp, Goodbye, Kill float64 }
	notice := func(kind Kind, second float64, kill ...float64) func(*Machine) {
		return func(m *Machine) {
			e := Event{Kind: kind}
			if len(kill) > 0 {
				e.Kill = at(kill[0])
			}
			m.On(e, at(second))
		}
	}
	cases := []struct {
		name   string
		config Config
		events []func(*Machine)
		want   moments
	}{
		{"nothing told: Docker's 10 s", Config{}, []func(*Machine){notice(Stop, 0)},
			moments{8, 10 - 2/3., 9.8, 10}},
		{"30 s", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Stop, 0)},
			moments{27, 29, 29.7, 30}},
		{"two minutes: at most 10 s are kept", Config{Grace: 2 * time.Minute}, []func(*Machine){notice(Stop, 0)},
			moments{110, 120 - 10/3., 119, 120}},
		{"2 s: at most half is kept", Config{Grace: 2 * time.Second}, []func(*Machine){notice(Stop, 0)},
			moments{1, 2 - 1/3., 1.9, 2}},
		{"a later TERM never extends", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Stop, 0), notice(Stop, 20)},
			moments{27, 29, 29.7, 30}},
		{"an hour of drain hook, then TERM", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Quiet, 0, 3605), notice(Stop, 3590)},
			moments{3595, 3605 - 10/3., 3604, 3605}},
		{"a told hour stands in for grace, also after TERM", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Quiet, 0, 3605), notice(Stop, 10)},
			moments{3595, 3605 - 10/3., 3604, 3605}},
		{"TERM with its own hour", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Stop, 0, 60)},
			moments{54, 58, 59.4, 60}},
		{"an hour that moves earlier", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Quiet, 0, 100), notice(Quiet, 10, 40)},
			moments{37, 39, 39.7, 40}},
		{"an hour that would move later", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Quiet, 0, 100), notice(Quiet, 10, 200)},
			moments{90, 100 - 10/3., 99, 100}},
		{"a little earlier does not give jobs longer", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Stop, 0, 100), notice(Stop, 89, 99.5)},
			moments{90, 100 - 10/3., 99, 99.5}},
		{"a plain TSTP starts no clock", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Quiet, 0), notice(Stop, 1000)},
			moments{1027, 1029, 1029.7, 1030}},
		{"resume ends the clock", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Quiet, 0, 50), notice(Resume, 5), notice(Stop, 100)},
			moments{127, 129, 129.7, 130}},
		{"but grace is held to an hour that is still to come", Config{Grace: 30 * time.Second}, []func(*Machine){notice(Quiet, 0, 50), notice(Resume, 5), notice(Stop, 30)},
			moments{48, 50 - 2/3., 49.8, 50}},
		{"-t within a known grace", Config{Grace: 30 * time.Second, Timeout: 25 * time.Second}, []func(*Machine){notice(Stop, 0)},
			moments{25, 29, 29.7, 30}},
		{"-t close to the grace shrinks the reserve", Config{Grace: 30 * time.Second, Timeout: 29 * time.Second}, []func(*Machine){notice(Stop, 0)},
			moments{29, 30 - 1/3., 29.9, 30}},
		{"-t alone", Config{Timeout: 25 * time.Second}, []func(*Machine){notice(Stop, 0)},
			moments{25, 27.777777777 - 2.777777777/3, 27.777777777 - 2.777777777/10, 27.777777777}},
		{"-t beside a guess", Config{Timeout: time.Minute, Grace: 30 * time.Second, Assumed: true}, []func(*Machine){notice(Stop, 0)},
			moments{60, 66.666666666 - 6.666666666/3, 66.666666666 - 6.666666666/10, 66.666666666}},
		{"-t counts from TERM, not from the hook", Config{Timeout: 8 * time.Second}, []func(*Machine){notice(Quiet, 0, 100), notice(Stop, 50)},
			moments{58, 100 - 2/3., 99.8, 100}},
		{"-t does not wait past a told hour", Config{Timeout: 8 * time.Second}, []func(*Machine){notice(Stop, 0, 6)},
			moments{4, 6 - 2/3., 5.8, 6}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, c.config)
			for _, e := range c.events {
				e(m)
			}
			d := m.Deadlines()
			since := func(x time.Time) float64 { return x.Sub(epoch).Seconds() }
			got := moments{since(d.JobsEnd), since(d.GiveUp), since(d.Goodbye), since(d.Kill)}
			if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b float64) bool { return a-b < 1e-6 && b-a < 1e-6 })); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestPlainQuietHasNoDeadline(t *testing.T) {
	t.Parallel()
	m := inState(t, Quieted)
	if !m.Deadlines().IsZero() {
		t.Errorf("deadlines are %+v", m.Deadlines())
	}
	if next, ok := m.Next(); ok {
		t.Errorf("wants to be called at %v", next)
	}
	if got := m.On(Event{}, at(1e9)); got != nil {
		t.Errorf("after a long time it answers %v", got)
	}
}

func TestQuietProcessDrainsWhenItsHourComes(t *testing.T) {
	t.Parallel()
	m := newMachine(t, Config{})
	m.On(Event{Kind: Quiet, Kill: at(60), Why: "preStop"}, at(0))
	if got := m.On(Event{Kind: Idle}, at(10)); got != nil || m.State() != Quieted {
		t.Fatalf("idle: %v in %v, want to stay quiet", got, m.State())
	}
	next, _ := m.Next()
	if diff := cmp.Diff([]Action{EndJobs}, m.On(Event{}, next)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if m.State() != Draining || m.Why() != "preStop" {
		t.Errorf("state %v because of %q", m.State(), m.Why())
	}
	if got := m.On(Event{Kind: Resume}, next); got != nil {
		t.Errorf("resume: %v", got)
	}
}

func TestNextWalksThroughAStop(t *testing.T) {
	t.Parallel()
	m := inState(t, Draining)
	var got []string
	for {
		next, ok := m.Next()
		if !ok {
			break
		}
		if early := m.On(Event{}, next.Add(-time.Nanosecond)); early != nil {
			t.Errorf("before its time: %v", early)
		}
		for _, a := range m.On(Event{}, next) {
			got = append(got, next.Sub(epoch).String()+" "+a.String())
		}
	}
	if diff := cmp.Diff([]string{"27s end jobs", "29s leave"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	hard := []Action{EndJobs, Leave}
	cases := []struct {
		name     string
		terminal bool
		seconds  []float64 // of each INT
		want     []Action  // to the last
	}{
		{"a second later", true, []float64{0, 1}, hard},
		{"much later", true, []float64{0, 20}, hard},
		{"at once, as one key press may come twice", true, []float64{0, 0.9}, nil},
		{"held down", true, []float64{0, 0.5, 0.9, 1.3}, hard},
		{"not at a terminal", false, []float64{0, 5}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, Config{Grace: time.Minute, Terminal: c.terminal})
			var got []Action
			for _, s := range c.seconds {
				got = m.On(Event{Kind: Interrupt, Why: "SIGINT"}, at(s))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if last := at(c.seconds[len(c.seconds)-1]); c.want != nil && m.Deadlines().Goodbye.Sub(last) > minReserve {
				t.Errorf("goodbye may take until %v", m.Deadlines().Goodbye)
			}
		})
	}
	t.Run("after a TERM, the first is no second", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t, Config{Grace: time.Minute, Terminal: true})
		m.On(Event{Kind: Stop}, at(0))
		if got := m.On(Event{Kind: Interrupt}, at(10)); got != nil {
			t.Errorf("first INT: %v", got)
		}
		if diff := cmp.Diff(hard, m.On(Event{Kind: Interrupt}, at(12))); diff != "" {
			t.Errorf("second INT: (-want +got)\n%s", diff)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		config Config
		want   []string
	}{
		{"negative", Config{Grace: -1, Timeout: -1}, []string{"grace -1ns is negative", "timeout -1ns is negative"}},
		{"-t as long as a known grace", Config{Grace: time.Minute, Timeout: time.Minute}, []string{"timeout 1m0s is not shorter than the grace of 1m0s"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(c.config)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestPreviewIsWhatAStopDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{}, {Grace: time.Hour}, {Timeout: 25 * time.Second}, {Grace: time.Minute, Timeout: time.Second}} {
		m := newMachine(t, c)
		preview := m.Preview(at(3))
		m.On(Event{Kind: Stop}, at(3))
		if diff := cmp.Diff(preview, m.Deadlines()); diff != "" {
			t.Errorf("%+v: (-preview +stop)\n%s", c, diff)
		}
	}
}

func TestGraceForLeavesTheTimeout(t *testing.T) {
	t.Parallel()
	for timeout := time.Duration(0); timeout < 3*time.Minute; timeout += 137 * time.Millisecond {
		grace := GraceFor(timeout)
		if left := grace - Reserve(grace); (left - timeout).Abs() > time.Microsecond {
			t.Fatalf("timeout %v: grace %v leaves %v", timeout, grace, left)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"quiet": Quieted.String(), "interrupt": Interrupt.String(), "stop fetching": StopFetching.String(),
		"unknown (9)": State(9).String(), "unknown (-1)": Kind(-1).String(),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// play runs a machine through events made of bytes, and checks after each what
// must hold whatever happens.
func play(t *testing.T, script []byte) {
	t.Helper()
	next := func() byte {
		if len(script) == 0 {
			return 0
		}
		b := script[0]
		script = script[1:]
		return b
	}
	c := Config{
		Grace:    time.Duration(next()) * time.Second,
		Timeout:  time.Duration(next()%64) * time.Second,
		Assumed:  next()%2 == 0,
		Terminal: next()%2 == 0,
	}
	m, err := New(c)
	if err != nil {
		return
	}
	now := epoch
	counts := map[Action]int{}
	fetching := true
	for len(script) > 0 {
		now = now.Add(time.Duration(next()) * 97 * time.Millisecond)
		e := Event{Kind: Kind(next() % 7)}
		if told := next(); told%3 == 0 {
			e.Kill = now.Add(time.Duration(int(told)-20) * time.Second)
		}
		state, before := m.State(), m.Deadlines()
		actions := m.On(e, now)
		after := m.Deadlines()

		for _, a := range actions {
			counts[a]++
			switch a {
			case StartFetching, StopFetching:
				if fetching == (a == StartFetching) {
					t.Fatalf("%v twice in a row", a)
				}
				fetching = a == StartFetching
			case EndJobs, Leave:
				if counts[a] > 1 {
					t.Fatalf("%v %d times", a, counts[a])
				}
			}
		}
		switch {
		case state == Stopped && m.State() != Stopped:
			t.Fatalf("%v led out of stopped", e.Kind)
		case state == Draining && m.State() < Draining:
			t.Fatalf("%v led from draining to %v", e.Kind, m.State())
		case fetching != (m.State() == Running):
			t.Fatalf("fetching is %v in %v", fetching, m.State())
		case (counts[Leave] == 1) != (m.State() == Stopped):
			t.Fatalf("left is %v in %v", counts[Leave] == 1, m.State())
		case m.State() == Draining && after.IsZero():
			t.Fatal("draining without a clock")
		case m.State() == Running && !after.IsZero():
			t.Fatal("a clock while running")
		}
		if !before.IsZero() && m.State() != Running {
			for _, moved := range []struct {
				name     string
				from, to time.Time
			}{
				{"Notice", before.Notice, after.Notice}, {"JobsEnd", before.JobsEnd, after.JobsEnd}, {"GiveUp", before.GiveUp, after.GiveUp},
				{"Goodbye", before.Goodbye, after.Goodbye}, {"Kill", before.Kill, after.Kill},
			} {
				if moved.to.After(moved.from) {
					t.Fatalf("%v moved %s later, from %v to %v", e.Kind, moved.name, moved.from, moved.to)
				}
			}
		}
		if !after.IsZero() && (after.GiveUp.Before(after.JobsEnd) || after.Goodbye.Before(after.GiveUp) || after.Kill.Before(after.Goodbye)) {
			t.Fatalf("out of order: %+v", after)
		}
		if at, ok := m.Next(); ok && !at.After(now) {
			t.Fatalf("%v is overdue after %v at %v", at, e.Kind, now)
		}
	}
}

func FuzzMachine(f *testing.F) {
	f.Add([]byte{30, 25, 1, 0, 10, 3, 1, 10, 5, 1})
	f.Add([]byte{0, 0, 0, 0, 1, 1, 60, 1, 2, 1, 1, 3, 1, 255, 0, 1})
	f.Fuzz(play)
}

func TestNoSequenceMovesADeadlineLaterOrLeavesStopped(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 20_000 {
		script := make([]byte, 4+3*(1+r.IntN(20)))
		for i := range script {
			script[i] = byte(r.UintN(256))
		}
		play(t, script)
	}
}
