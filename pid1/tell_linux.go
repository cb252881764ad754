package pid1

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
)

// teller writes to standard error, from any goroutine. It writes past package os,
// which would end the program when nobody reads any more, and is silent from then on.
type teller struct {
	verbosity int

	mu     sync.Mutex
	lost   bool
	piped  bool // the PIPE that the kernel sent for it has not come yet
	output func([]byte) (int, error)
}

func newTeller(verbosity int) *teller {
	return &teller{verbosity: verbosity, output: func(b []byte) (int, error) { return syscall.Write(2, b) }}
}

// say tells what only interests people who asked for that level.
func (t *teller) say(level int, format string, args ...any) {
	if level > t.verbosity {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost {
		return
	}
	_, err := t.output(fmt.Appendf(nil, "ebb init: "+format+"\n", args...))
	if errors.Is(err, syscall.EPIPE) {
		t.lost, t.piped = true, true
	}
}

// own reports, once, that a PIPE was for something that was said here: it is no
// business of the child's.
func (t *teller) own() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	piped := t.piped
	t.piped = false
	return piped
}
