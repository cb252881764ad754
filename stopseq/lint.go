package stopseq

import (
	"cmp"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// Facts are what is known of the worker and its platform; zeros are not known.
type Facts struct {
	Grace         time.Duration // from the beginning of the sequence to the platform's KILL
	WorkerTimeout time.Duration // what the worker gives its jobs after TERM: Sidekiq's -t
	SidekiqMajor  int           // 0: unknown, or no Sidekiq
}

// Severity says how bad a warning is.
type Severity string

const (
	Caution Severity = "warning" // jobs are safe if all goes well
	Fatal   Severity = "error"   // a running job is lost, or starts again from its beginning
)

// Warning is something unwise in a sequence.
type Warning struct {
	Rule     string // its name: "ttin"
	Severity Severity
	At       int    // the byte of the text where the step stands
	Happens  string // what happens to a running job
	Fix      string // what to write instead
}

// Lint returns what is unwise in the sequence, in the order of its steps.
func (q Sequence) Lint(f Facts) []Warning {
	l := linter{q: q, facts: f, hours: q.Plan(f.Grace)}
	for i, step := range q {
		if step.Kind == Signal {
			l.signal(i, step)
		}
	}
	l.grace()
	l.kill()
	slices.SortStableFunc(l.found, func(a, b Warning) int { return cmp.Compare(a.At, b.At) })
	return l.found
}

type linter struct {
	q     Sequence
	facts Facts
	hours []Hour
	found []Warning
}

func (l *linter) warn(rule string, s Severity, step Step, fix, happens string, args ...any) {
	l.found = append(l.found, Warning{rule, s, step.At, fmt.Sprintf(happens, args...), fix})
}

// signal looks at what one signal does to a worker that gets it. What Sidekiq does is
// measured, 6.4.1, and read in its lib/sidekiq/cli.rb: it installs INT, TERM, TTIN
// and TSTP, and nothing for USR1 since version 5.
func (l *linter) signal(i int, step Step) {
	switch s := step.Signal; {
	case s == sigTTIN:
		l.warn("ttin", Caution, step, "TSTP",
			"TTIN prints backtraces and quiets nothing: new jobs are fetched until TERM comes, and have only its time")
	case s == sigUSR1 && l.facts.SidekiqMajor == 0:
		l.warn("usr1", Caution, step, "TSTP, unless the worker is Sidekiq 4 or older",
			"USR1 ends Sidekiq 5 and newer at once, and every job that it runs is lost")
	case s == sigUSR1 && l.facts.SidekiqMajor >= 5:
		l.warn("usr1", Fatal, step, "TSTP",
			"USR1 ends Sidekiq %d at once, and every job that it runs is lost", l.facts.SidekiqMajor)
	case s == sigSTOP || s == sigTTOU:
		l.warn("frozen", Fatal, step, "TSTP",
			"%s freezes the worker: its jobs stand still, no signal but KILL is handled, and its lease runs out", SignalName(s))
	case s == syscall.SIGKILL && i == 0:
		l.warn("kill-first", Fatal, step, "TERM;25s;KILL",
			"no job is told: each is cut off where it is, and nothing is given back")
	case s == syscall.SIGINT && slices.ContainsFunc(l.q[:i], func(b Step) bool { return b.Kind == Signal && b.Signal == s }):
		l.warn("int-twice", Caution, step, "leave it out",
			"a second INT is ^C pressed twice, which says at once: a worker may leave its jobs where they are; and two that are sent together may arrive as one")
	case !understood(s):
		l.warn("unhandled", Caution, step, "TSTP to quiet, TERM to end",
			"a worker that does not handle %s is ended by it at once, and every job that it runs is cut off", SignalName(s))
	}
}

// understood reports whether a signal means something to workers, or nothing at all:
// one that is neither, and not handled, ends a process.
func understood(s syscall.Signal) bool {
	switch SignalName(s) {
	case "CHLD", "URG", "WINCH":
		return true
	}
	return ends(s) || s == sigTSTP || s == sigTTIN || s == sigCONT || s == sigUSR1
}

// grace looks at which steps the platform's KILL leaves no time for.
func (l *linter) grace() {
	if l.facts.Grace <= 0 {
		return
	}
	told := -1 // the first signal that asks the worker to end
	for i, h := range l.hours {
		if told < 0 && h.Step.Kind == Signal && ends(h.Step.Signal) {
			told = i
		}
		if left := h.To - h.From; h.Step.Kind == Idle && left < h.Step.For && h.To <= l.facts.Grace {
			fix := "a grace of " + Span(h.From+h.Step.For+l.q[i+1:].waits()+margin)
			if left > 0 {
				fix += ", or idle<=" + Span(left)
			}
			l.warn("idle-cut", Caution, h.Step, fix,
				"of a grace of %s, what follows leaves it %s: a longer job is told to end then", Span(l.facts.Grace), Span(left))
		}
		if h.Step.Kind != Wait || h.To <= l.facts.Grace {
			continue
		}
		severity, then := Caution, "nothing behind it is done"
		if told < 0 {
			severity, then = Fatal, "no job is told to end, and all are cut off"
		}
		l.warn("over-grace", severity, h.Step, "a grace of "+Span(h.To+l.q[i+1:].waits()+margin)+", or shorter waits",
			"the platform's KILL comes %s into the sequence, %s before this wait is over: %s", Span(l.facts.Grace), Span(h.To-l.facts.Grace), then)
		return // the others follow from this one
	}
}

// kill looks at whether a worker that is told to end has the time that it gives its
// jobs, until the sequence's KILL or the platform's.
func (l *linter) kill() {
	isEnd := func(h Hour) bool { return h.Step.Kind == Signal && ends(h.Step.Signal) }
	isKill := func(h Hour) bool { return isEnd(h) && h.Step.Signal == syscall.SIGKILL }
	timeout, told := l.facts.WorkerTimeout, slices.IndexFunc(l.hours, isEnd)
	if timeout <= 0 || told < 0 || isKill(l.hours[told]) {
		return
	}
	term := SignalName(l.q[told].Signal)
	end, by, at := l.facts.Grace, "the platform's KILL", l.q[told]
	if i := slices.IndexFunc(l.hours, isKill); i > 0 && (end <= 0 || l.hours[i].From <= end) {
		end, by, at = l.hours[i].From, "KILL", l.q[i-1]
	} else if end <= 0 {
		return
	}
	left := end - l.hours[told].From
	if left < 0 || left > timeout {
		return
	}
	severity := Fatal
	if left == timeout {
		severity = Caution
	}
	l.warn("kill-early", severity, at, "a wait of "+Span(timeout+spare)+" behind "+term,
		"%s comes %s after %s, and the worker gives its jobs %s: what still runs is cut off before it is given back",
		by, Span(left), term, Span(timeout))
}

// spare is what a worker needs after its jobs' time, to give back what still runs.
const spare = 5 * time.Second
