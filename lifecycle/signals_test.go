//go:build unix

package lifecycle

import (
	"os"
	"slices"
	"syscall"
	"testing"
)

func TestSignals(t *testing.T) {
	t.Parallel()
	numbers := map[string]os.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "TSTP": syscall.SIGTSTP, "TTIN": syscall.SIGTTIN, "CONT": syscall.SIGCONT,
	}
	heard := 0
	for _, s := range Signals() {
		number, ok := numbers[s.Name]
		if !ok {
			t.Errorf("%s is listed, and not tested", s.Name)
			continue
		}
		if got := Heard(number); got.Kind != s.Kind || (s.Kind != Tick && got.Why != "SIG"+s.Name) {
			t.Errorf("%s is heard as %+v, listed as %v", s.Name, got, s.Kind)
		}
		if listened := slices.Contains(Listen(), number); listened != (s.Kind != Tick) {
			t.Errorf("%s is listened for: %v", s.Name, listened)
		} else if listened {
			heard++
		}
	}
	if len(Listen()) != heard {
		t.Errorf("listens for %v, which are not all listed", Listen())
	}
	if got := Heard(syscall.SIGUSR1); got != (Event{}) {
		t.Errorf("USR1 means %+v", got)
	}
}
