package main

import (
	"errors"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/drain"
	"github.com/ebbjobs/ebb/store"
)

// TestDrainEnds: whoever runs it in a hook has nothing but the exit code.
func TestDrainEnds(t *testing.T) {
	t.Parallel()
	report := func(outcomes ...drain.Outcome) (r drain.Report) {
		for _, o := range outcomes {
			r.Workers = append(r.Workers, drain.Result{Name: "w", Outcome: o})
			if o == drain.Refused {
				r.Workers[len(r.Workers)-1].Err = drain.ErrPermission
			}
		}
		return r
	}
	for _, c := range []struct {
		name   string
		report drain.Report
		err    error
		exit   int
	}{
		{"all are drained", report(drain.Drained, drain.Drained), nil, exitOK},
		{"one is late", report(drain.Drained, drain.Late), nil, exitDeadline},
		{"one cannot be signalled", report(drain.Late, drain.Refused), nil, exitSignal},
		{"nobody", drain.Report{}, drain.ErrNothing, exitNothing},
		{"several applications", drain.Report{}, drain.ErrSeveral, exitUsage},
		{"a socket of another user", drain.Report{}, drain.ErrPermission, exitSignal},
		{"the store is away", drain.Report{}, store.ErrUnreachable, exitStore},
		{"interrupted", report(drain.Underway), errInterrupted, exitInterrupted},
		{"failed", drain.Report{}, errors.New("no idea"), exitFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := exitOf(new(draining).verdict(c.report, c.err)); got != c.exit {
				t.Errorf("exit code %d, want %d", got, c.exit)
			}
		})
	}
}

// TestDrainWithoutStore: a drain does not need the store, and does not wait for it.
func TestDrainWithoutStore(t *testing.T) {
	t.Parallel()
	began := time.Now()
	exit, said := called(t, []string{"drain", "--pid", "1999999999"}, "EBB_STORE=redis://127.0.0.1:1/0")
	if exit != exitNothing || time.Since(began) > time.Minute {
		t.Errorf("exit code %d, want %d:\n%s", exit, exitNothing, said)
	}
}

// TestSpans: hooks write seconds.
func TestSpans(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"120": 2 * time.Minute, "90s": 90 * time.Second, "1h": time.Hour, "1.5s": 1500 * time.Millisecond, "3": 3 * time.Second} {
		var got time.Duration
		if err := (*span)(&got).Set(text); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-5", "soon", "1 h"} {
		var got time.Duration
		if err := (*span)(&got).Set(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}
