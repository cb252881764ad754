package stopseq

import (
	"strings"
	"syscall"
	"time"
)

// Kind is what a step does.
type Kind int

const (
	Signal Kind = iota // sends a signal, which takes no time
	Wait               // lets time pass
	Idle               // waits until nothing runs, for a time at most
)

func (k Kind) String() string {
	switch k {
	case Signal:
		return "signal"
	case Wait:
		return "wait"
	case Idle:
		return "idle"
	}
	return "unknown"
}

// Step is one part of a sequence.
type Step struct {
	Kind   Kind
	Signal syscall.Signal // of a Signal
	For    time.Duration  // of a Wait, and the most of an Idle
	At     int            // where it stands in the text that was parsed, in bytes
}

// String returns the step as a sequence has it: "TERM", "25s", "idle<=1h".
func (s Step) String() string {
	switch s.Kind {
	case Wait:
		return Span(s.For)
	case Idle:
		return idle + "<=" + Span(s.For)
	}
	return SignalName(s.Signal)
}

// Span writes a duration as sequences have it, without the zeros at its end: 25s, 1h.
func Span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Sequence is what happens to a process that must end, step by step. Those that
// [Parse] returns begin with a signal, can end, and have waits that fit into a
// [time.Duration] together; others must see to that themselves.
type Sequence []Step

// String returns the sequence in its one canonical spelling, which Parse reads:
// "TSTP;idle<=1h;TERM;25s;KILL".
func (q Sequence) String() string {
	words := make([]string, len(q))
	for i, step := range q {
		words[i] = step.String()
	}
	return strings.Join(words, ";")
}

// ends reports whether a signal asks a process to end, or ends it.
func ends(s syscall.Signal) bool {
	return s == syscall.SIGTERM || s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGKILL
}
