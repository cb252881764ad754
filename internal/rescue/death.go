package rescue

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ebbjobs/ebb/store"
)

// Death is what a witness says that a process died of. The zero value says nothing.
type Death struct {
	cause  string // as a job's history has it
	words  string // as people read it
	fatal  bool   // nobody sends this: what the process ran brought it down
	wanted bool   // somebody asked it to end
}

// Fatal reports whether something that the process ran brought it down.
func (d Death) Fatal() bool { return d.fatal }

// The signals that say something of the cause. KILL says nothing: a platform sends
// it, and so does a kernel without memory, which the witness calls oom.
var (
	fatal  = []string{"ABRT", "BUS", "FPE", "ILL", "SEGV", "SYS", "TRAP", "XCPU", "XFSZ"}
	wanted = []string{"HUP", "INT", "QUIT", "TERM"}
)

// ParseDeath reads "oom", the name of a signal, with or without SIG, or "exit:CODE".
func ParseDeath(text string) (Death, error) {
	if text == "oom" {
		return Death{cause: causeMemory, words: "died for want of memory", fatal: true}, nil
	}
	if code, ok := strings.CutPrefix(text, "exit:"); ok {
		if n, err := strconv.Atoi(code); err == nil && 0 <= n && n <= 255 {
			return Death{cause: exitPrefix + strconv.Itoa(n), words: "exited with code " + strconv.Itoa(n)}, nil
		}
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	d := Death{cause: "SIG" + name, words: "died of SIG" + name, fatal: slices.Contains(fatal, name), wanted: slices.Contains(wanted, name)}
	switch {
	case name == "KILL":
		return Death{cause: causeCrash, words: "died of SIGKILL"}, nil
	case d.wanted:
		d.cause = causeDeploy
	case !d.fatal:
		return Death{}, store.WithHint(fmt.Errorf("a process does not die of %q", text), "say oom, a signal such as SIGSEGV, or exit:CODE")
	}
	return d, nil
}
