package stopseq

import (
	"strconv"
	"strings"
	"syscall"
)

// lastSignal is the highest number that a signal has on Linux.
const lastSignal = 64

// named is a signal and its name, without SIG.
type named struct {
	name   string
	signal syscall.Signal
}

// SignalName returns the name of a signal without SIG, "TERM", or SIG and its
// number where it has none, "SIG34".
func SignalName(s syscall.Signal) string {
	for _, n := range signals {
		if n.signal == s {
			return n.name
		}
	}
	return "SIG" + strconv.Itoa(int(s))
}

// ParseSignal reads a signal: TERM, sigterm, 15, SIG15. It reports false for what
// is none.
func ParseSignal(text string) (syscall.Signal, bool) {
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	for _, n := range signals {
		if n.name == name {
			return n.signal, true
		}
	}
	if !digits(name) {
		return 0, false
	}
	n, err := strconv.Atoi(name)
	return syscall.Signal(n), err == nil && n >= 1 && n <= lastSignal
}

// digits reports whether a text is a plain number.
func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
