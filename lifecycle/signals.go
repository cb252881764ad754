package lifecycle

import (
	"maps"
	"os"
	"slices"
)

// Signal is what a signal means to a process that runs jobs.
type Signal struct {
	Name  string // without SIG
	Kind  Kind   // Tick: it changes nothing
	Means string
}

// Signals lists every signal that means something here, or might be thought to.
// Those whose Kind is not Tick are the ones to listen for.
func Signals() []Signal {
	return []Signal{
		{"TERM", Stop, "drain, then end; a second one changes nothing"},
		{"INT", Interrupt, "drain, then end; at a terminal, a second one a second later ends at once"},
		{"TSTP", Quiet, "fetch nothing new; starts no clock"},
		{"TTIN", Dump, "print goroutines and running jobs"},
		{"CONT", Tick, "changes nothing: systemd sends it after TERM, and so does whoever thaws a process"},
	}
}

// Listen returns the signals to ask the operating system for, where it has them.
// They are named one by one on purpose: a program that asks for all of them hears
// its own scheduler.
func Listen() []os.Signal {
	return slices.Collect(maps.Keys(meanings))
}

// Heard is the event that a signal from Listen means; any other is a Tick.
func Heard(s os.Signal) Event { return meanings[s] }
