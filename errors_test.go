package ebb

import (
	"errors"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
)

func TestVerdictsAreErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such user")
	for _, test := range []struct {
		err  error
		want string
	}{
		{Snooze(time.Minute), "ebb: snooze 1m0s"},
		{Snooze(-time.Minute), "ebb: snooze 0s"},
		{Discard(cause), "ebb: discard: no such user"},
		{Discard(nil), "ebb: discard: no reason given"},
		{Bury(cause), "ebb: bury: no such user"},
		{Bury(nil), "ebb: bury: no reason given"},
	} {
		if test.err.Error() != test.want {
			t.Errorf("text %q, want %q", test.err, test.want)
		}
	}
	if !errors.Is(Discard(cause), cause) || !errors.Is(Bury(cause), cause) {
		t.Error("a verdict hides its cause")
	}
	if s, ok := errors.AsType[*verdict.Snooze](Snooze(time.Minute)); !ok || s.D != time.Minute {
		t.Errorf("snooze %+v", s)
	}
}
