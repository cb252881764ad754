package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ebbjobs/ebb/internal/nearest"
)

// Problem is one mistake in the settings.
type Problem struct {
	Where string // "ebb.yml:7:3", "EBB_GRACE" or "flag -c"
	Text  string
}

func (p Problem) String() string { return p.Where + ": " + p.Text }

// Error is every mistake in the settings, in the order of files, environment and
// flags.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d mistakes in the settings:", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// Hint says where all keys are explained.
func (e *Error) Hint() string { return "ebb config keys says what each setting means" }

// unknown says that a name is none of those known, and which may have been meant.
func unknown(what, name string, known []string) string {
	if near := nearest.To(name, known); near != "" {
		return fmt.Sprintf("unknown %s %q: did you mean %s?", what, name, near)
	}
	if len(known) == 0 {
		return fmt.Sprintf("unknown %s %q: there are none", what, name)
	}
	known = slices.Sorted(slices.Values(known))
	return fmt.Sprintf("unknown %s %q: there are %s", what, name, strings.Join(known, ", "))
}
