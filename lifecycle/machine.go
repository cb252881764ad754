package lifecycle

import (
	"errors"
	"fmt"
	"time"
)

// State is where a process is between start and end.
type State int

const (
	Running  State = iota // fetches and runs jobs
	Quieted               // fetches nothing, runs what it has, for as long as it takes
	Draining              // as quiet, and ends when idle or out of time
	Stopped               // the end; nothing leads out of it
)

func (s State) String() string { return name(int(s), "running", "quiet", "draining", "stopped") }

// Kind is what has happened.
type Kind int

const (
	Tick      Kind = iota // nothing but the passing of time
	Quiet                 // fetch nothing new: TSTP, or by command
	Resume                // take quiet back: by command only
	Stop                  // drain and end: TERM, by command, or a context that ended
	Interrupt             // as Stop; at a terminal, a second one ends at once
	Idle                  // nothing runs and no fetch is under way; see [Machine.On]
	Dump                  // print goroutines and running jobs: TTIN, or by command
)

func (k Kind) String() string {
	return name(int(k), "tick", "quiet", "resume", "stop", "interrupt", "idle", "dump")
}

// Event is one thing that happened.
type Event struct {
	Kind Kind
	// Kill is the hour of the platform's KILL, where a Quiet, Stop or Interrupt
	// knows it. It stands in for grace during this stop, and only ever moves the
	// stop earlier. One in the past ends the stop at once. Zero: not told.
	Kill time.Time
	// Why says what stands behind a notice, in the words of a stop report:
	// "SIGTERM", "stop command", "context ended".
	Why string
}

// Action is what is to be done about an event.
type Action int

const (
	StartFetching Action = iota + 1
	StopFetching
	// Notify tells every running job that its process is stopping, and the hour
	// in Deadlines().Kill. It is repeated when the hour moves earlier.
	Notify
	// EndJobs ends the contexts of all jobs.
	EndJobs
	// Leave is the last action: hand back what has returned, report as deaf what
	// still runs, deregister, and be gone by Deadlines().Goodbye (if a clock runs).
	Leave
	// Print writes goroutines and running jobs where logs go.
	Print
)

func (a Action) String() string {
	return name(int(a), "none", "start fetching", "stop fetching", "notify", "end jobs", "leave", "print")
}

func name(i int, names ...string) string {
	if i < 0 || i >= len(names) {
		return fmt.Sprintf("unknown (%d)", i)
	}
	return names[i]
}

// DefaultGrace is Docker's, the shortest of the common ones that nobody sets.
const DefaultGrace = 10 * time.Second

// Config is what is known before anything happens.
type Config struct {
	// Grace is the time between the platform's notice and its KILL. Zero: as long
	// as Timeout needs, else DefaultGrace.
	Grace time.Duration
	// Assumed says that Grace is a guess. A Timeout is believed before a guess.
	Assumed bool
	// Timeout is Sidekiq's -t: job contexts end this long after a Stop, rather
	// than where the reserve begins. It must be shorter than a Grace that is
	// known. Zero: not set.
	Timeout time.Duration
	// Terminal says that a person may press ^C twice.
	Terminal bool
}

// secondInterrupt is how long after the first a second INT is meant as one. One
// key press may reach a process several times, by way of its parents.
const secondInterrupt = time.Second

// Machine is the state of one process. Its zero value is not ready; use [New].
// It belongs to one goroutine.
type Machine struct {
	grace, timeout time.Duration
	terminal       bool

	state       State
	clock       Deadlines
	ended       bool      // EndJobs was answered
	interrupted time.Time // when the first INT came
	told        time.Time // the hour that a resumed stop had been told
	why         string
}

// New checks c and makes the machine of a process that runs.
func New(c Config) (*Machine, error) {
	m := &Machine{grace: c.Grace, timeout: c.Timeout, terminal: c.Terminal}
	if c.Grace < 0 || c.Timeout < 0 {
		var errs []error
		if c.Grace < 0 {
			errs = append(errs, fmt.Errorf("lifecycle: grace %v is negative", c.Grace))
		}
		if c.Timeout < 0 {
			errs = append(errs, fmt.Errorf("lifecycle: timeout %v is negative", c.Timeout))
		}
		return nil, errors.Join(errs...)
	}
	known := c.Grace > 0 && !c.Assumed
	switch {
	case known && c.Timeout >= c.Grace:
		return nil, fmt.Errorf("lifecycle: timeout %v is not shorter than the grace of %v, so KILL would come before jobs are given back",
			c.Timeout, c.Grace)
	case !known && c.Timeout > 0:
		m.grace = GraceFor(c.Timeout)
	case c.Grace == 0:
		m.grace = DefaultGrace
	}
	return m, nil
}

// State returns where the process is.
func (m *Machine) State() State { return m.state }

// Grace returns the grace that a Stop without an hour of its own is given.
func (m *Machine) Grace() time.Duration { return m.grace }

// Deadlines returns the moments of the stop under way, or zeros while no clock
// runs.
func (m *Machine) Deadlines() Deadlines { return m.clock }

// Why returns the reason given with the notice that began this stop, or "".
func (m *Machine) Why() string { return m.why }

// Preview returns the moments that a plain Stop at now would set, for the line
// that a process prints when it starts. It changes nothing.
func (m *Machine) Preview(now time.Time) Deadlines {
	return m.limit(m.derive(now, now.Add(m.grace)), now)
}

// Next returns when On must be called next if nothing else happens, and false if
// time alone will change nothing.
func (m *Machine) Next() (time.Time, bool) {
	switch {
	case m.clock.IsZero() || m.state == Stopped:
		return time.Time{}, false
	case m.ended:
		return m.clock.GiveUp, true
	default:
		return m.clock.JobsEnd, true
	}
}

// On takes an event and answers what is to be done, in this order. Deadlines that
// have come by now are seen to with whatever event comes first, so a late Tick
// answers all that was missed. An event that changes nothing answers nothing:
// notices repeat (a hook and the platform each send one, signals coalesce), and
// only levels count.
//
// Idle is a level too. It says that nothing runs and that no fetch may still
// bring anything; tell it whenever that is so after an event.
func (m *Machine) On(e Event, now time.Time) []Action {
	actions := m.due(now) // first, as if the Tick had been on time
	switch e.Kind {
	case Quiet:
		actions = append(actions, m.quiet(e, now)...)
	case Resume:
		actions = append(actions, m.resume()...)
	case Stop:
		actions = append(actions, m.stop(e, now)...)
	case Interrupt:
		actions = append(actions, m.interrupt(e, now)...)
	case Idle:
		if m.state == Draining {
			m.state = Stopped
			actions = append(actions, Leave)
		}
	case Dump:
		actions = append(actions, Print)
	}
	return append(actions, m.due(now)...)
}

func (m *Machine) quiet(e Event, now time.Time) (actions []Action) {
	if m.state == Stopped {
		return nil
	}
	if m.state == Running {
		m.state, m.why = Quieted, e.Why
		actions = append(actions, StopFetching)
	}
	if !e.Kill.IsZero() && m.hasten(m.derive(now, e.Kill)) {
		actions = append(actions, Notify)
	}
	return actions
}

func (m *Machine) resume() []Action {
	if m.state != Quieted {
		return nil
	}
	// Whoever told the hour may still mean it: a pod that is terminating is not
	// saved by a button. The next stop's computed grace is held to it.
	m.told = m.clock.Kill
	m.state, m.clock, m.why = Running, Deadlines{}, ""
	return []Action{StartFetching}
}

func (m *Machine) stop(e Event, now time.Time) (actions []Action) {
	if m.state == Stopped {
		return nil
	}
	kill := e.Kill
	if kill.IsZero() && m.clock.IsZero() {
		kill = now.Add(m.grace)
		if m.told.After(now) {
			kill = earlier(kill, m.told)
		}
	}
	if !kill.IsZero() && m.hasten(m.derive(now, kill)) {
		actions = append(actions, Notify)
	}
	if m.state == Draining {
		return actions
	}
	m.clock = m.limit(m.clock, now)
	if m.state == Running {
		actions = append([]Action{StopFetching}, actions...)
	}
	m.state, m.why = Draining, e.Why
	return actions
}

func (m *Machine) interrupt(e Event, now time.Time) []Action {
	switch {
	case m.interrupted.IsZero():
		m.interrupted = now
	case m.terminal && m.state == Draining && now.Sub(m.interrupted) >= secondInterrupt:
		m.clock = m.clock.earliest(Deadlines{
			Notice: now, JobsEnd: now, GiveUp: now,
			Goodbye: now.Add(minReserve), // what is left to do is told to the store once
			Kill:    m.clock.Kill,
		})
		m.why = e.Why
		return nil // due does the rest
	}
	return m.stop(e, now)
}

// hasten starts the clock, or moves it earlier, and reports whether the hour of
// the kill is news.
func (m *Machine) hasten(d Deadlines) bool {
	before := m.clock.Kill
	m.clock = m.clock.earliest(d)
	return !m.clock.Kill.Equal(before)
}

// derive places the moments before kill. A timeout that was told leaves what it
// leaves of the grace for the reserve.
func (m *Machine) derive(notice, kill time.Time) Deadlines {
	reserve := Reserve(kill.Sub(notice))
	if m.timeout > 0 {
		reserve = min(reserve, m.grace-m.timeout)
	}
	return derive(notice, kill, reserve)
}

// limit ends job contexts at the timeout, counted from a Stop, never from a Quiet.
func (m *Machine) limit(d Deadlines, stop time.Time) Deadlines {
	if m.timeout > 0 {
		d.JobsEnd = earlier(d.JobsEnd, stop.Add(m.timeout))
	}
	return d
}

// due answers what deadlines that have come ask for.
func (m *Machine) due(now time.Time) (actions []Action) {
	if m.clock.IsZero() || m.state == Stopped {
		return nil
	}
	if !m.ended && !now.Before(m.clock.JobsEnd) {
		// A process that is still quiet was told an hour and never sent a Stop.
		// The KILL comes nonetheless, so it drains from here.
		m.state, m.ended = Draining, true
		actions = append(actions, EndJobs)
	}
	if m.ended && !now.Before(m.clock.GiveUp) {
		m.state = Stopped
		actions = append(actions, Leave)
	}
	return actions
}
