package config

import (
	"maps"
	"os"
	"slices"
	"strings"
)

// signal reads the name of a signal, with or without SIG in front.
func (d *document) signal(f field) (os.Signal, bool) {
	text, ok := d.scalar(f.value, "the name of a signal, such as USR1")
	if !ok {
		return nil, false
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if s, known := signals[name]; known {
		return s, true
	}
	switch name {
	case "TERM":
		d.at(f.value, "notice: TERM comes by itself when the job's time is over; a notice comes before, such as USR1")
	case "KILL", "STOP":
		d.at(f.value, "notice: a program cannot hear %s", name)
	default:
		d.at(f.value, "notice: %s", unknown("signal", name, slices.Collect(maps.Keys(signals))))
	}
	return nil, false
}

// signalName is the name of a signal, without SIG.
func signalName(s os.Signal) string {
	for name, known := range signals {
		if known == s {
			return name
		}
	}
	return ""
}
