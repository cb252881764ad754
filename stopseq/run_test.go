package stopseq

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fake is a process that does as told, and writes down what it gets and when.
type fake struct {
	began time.Time
	got   []string
	gone  chan struct{}

	idleAt  time.Duration         // when it has become idle; 0: never
	dies    map[string]bool       // of which signals
	refuses map[string]error      // by signal
	asked   func(context.Context) // called when it is asked whether it is idle
}

func (f *fake) signal(s syscall.Signal) error {
	name := SignalName(s)
	if err := f.refuses[name]; err != nil {
		return err
	}
	f.got = append(f.got, fmt.Sprint(name, " ", time.Since(f.began)))
	if f.dies[name] {
		close(f.gone)
	}
	return nil
}

func (f *fake) idle(ctx context.Context) error {
	if f.asked != nil {
		f.asked(ctx)
	}
	if f.idleAt == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(f.idleAt - time.Since(f.began)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exit ends the process after a time.
func (f *fake) exit(after time.Duration) { time.AfterFunc(after, func() { close(f.gone) }) }

// bubble runs a test on a process in fake time.
func bubble(t *testing.T, name string, test func(*testing.T, *fake)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			test(t, &fake{began: time.Now(), gone: make(chan struct{}), dies: map[string]bool{}, refuses: map[string]error{}})
		})
	})
}

func (f *fake) target() Target { return Target{Signal: f.signal, Idle: f.idle, Gone: f.gone} }

// want compares what the process got, and how long the run took.
func (f *fake) want(t *testing.T, took time.Duration, got ...string) {
	t.Helper()
	if d := cmp.Diff(got, f.got); d != "" {
		t.Errorf("the process got (-want +got)\n%s", d)
	}
	if d := time.Since(f.began); d != took {
		t.Errorf("it took %v, want %v", d, took)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	const text = "TSTP;idle<=1h;TERM;25s;KILL"
	type world struct {
		*testing.T
		*fake
	}
	run := func(w world, text string, grace time.Duration) {
		w.Helper()
		if err := parse(w.T, text).Run(w.Context(), grace, w.target(), nil); err != nil {
			w.Errorf("it ended with %v", err)
		}
	}
	for _, test := range []struct {
		name string
		with func(world)
	}{
		{"idle early", func(w world) {
			w.idleAt, w.dies["TERM"] = 90*time.Second, true
			run(w, text, 0)
			w.want(w.T, 90*time.Second, "TSTP 0s", "TERM 1m30s")
		}},
		{"idle before it is asked", func(w world) {
			w.idleAt = 5 * time.Second
			run(w, "TSTP;1m;idle<=1h;TERM", 0)
			w.want(w.T, time.Minute, "TSTP 0s", "TERM 1m0s")
		}},
		{"idle never", func(w world) {
			run(w, text, 0)
			w.want(w.T, time.Hour+25*time.Second, "TSTP 0s", "TERM 1h0m0s", "KILL 1h0m25s")
		}},
		{"idle never, and a grace", func(w world) {
			run(w, text, 120*time.Second)
			w.want(w.T, 118*time.Second, "TSTP 0s", "TERM 1m33s", "KILL 1m58s")
		}},
		{"a grace too short for idle", func(w world) {
			w.idleAt = time.Second
			run(w, text, 20*time.Second)
			w.want(w.T, 25*time.Second, "TSTP 0s", "TERM 0s", "KILL 25s")
		}},
		{"time that is left over goes to idle", func(w world) {
			w.idleAt = time.Second // so the first idle leaves the second more than planned
			run(w, "TSTP;idle<=60s;5s;idle<=1h;TERM;20s", 120*time.Second)
			w.want(w.T, 26*time.Second, "TSTP 0s", "TERM 6s")
		}},
		{"a wait does not end when it is idle", func(w world) {
			w.idleAt = time.Second
			run(w, "tstp, 120, term, 30, kill", 0)
			w.want(w.T, 150*time.Second, "TSTP 0s", "TERM 2m0s", "KILL 2m30s")
		}},
		{"nobody can tell whether it is idle", func(w world) {
			target := w.target()
			target.Idle = nil
			if err := parse(w.T, text).Run(w.Context(), 60*time.Second, target, nil); err != nil {
				w.Error(err)
			}
			w.want(w.T, 58*time.Second, "TSTP 0s", "TERM 33s", "KILL 58s")
		}},
		{"who could tell is lost on the way", func(w world) {
			target := w.target()
			target.Idle = func(context.Context) error { return errors.New("the socket is gone") }
			if err := parse(w.T, text).Run(w.Context(), 60*time.Second, target, nil); err != nil {
				w.Error(err)
			}
			w.want(w.T, 58*time.Second, "TSTP 0s", "TERM 33s", "KILL 58s")
		}},
		{"gone before anything", func(w world) {
			close(w.gone)
			run(w, text, 0)
			w.want(w.T, 0)
		}},
		{"gone while idle is waited for", func(w world) {
			w.exit(10 * time.Second)
			run(w, text, 0)
			w.want(w.T, 10*time.Second, "TSTP 0s")
		}},
		{"gone in a wait", func(w world) {
			w.idleAt = time.Second
			w.exit(4 * time.Second)
			run(w, text, 0)
			w.want(w.T, 4*time.Second, "TSTP 0s", "TERM 1s")
		}},
		{"gone of the signal", func(w world) {
			w.dies["TERM"] = true
			run(w, "TERM;KILL", 0)
			w.want(w.T, 0, "TERM 0s")
		}},
		{"nobody can tell whether it is gone", func(w world) {
			if err := parse(w.T, "TERM;25s;KILL").Run(w.Context(), 0, Target{Signal: w.signal}, nil); err != nil {
				w.Error(err)
			}
			w.want(w.T, 25*time.Second, "TERM 0s", "KILL 25s")
		}},
	} {
		bubble(t, test.name, func(t *testing.T, f *fake) { test.with(world{t, f}) })
	}
}

func TestRunEndsWithErrors(t *testing.T) {
	t.Parallel()
	for _, gone := range []error{syscall.ESRCH, os.ErrProcessDone, fmt.Errorf("kill 7: %w", syscall.ESRCH)} {
		bubble(t, "gone says "+gone.Error(), func(t *testing.T, f *fake) {
			f.refuses["TERM"] = gone
			if err := parse(t, "TSTP;10s;TERM;25s;KILL").Run(t.Context(), 0, f.target(), nil); err != nil {
				t.Error(err)
			}
			f.want(t, 10*time.Second, "TSTP 0s")
		})
	}
	bubble(t, "not allowed", func(t *testing.T, f *fake) {
		f.refuses["TERM"] = syscall.EPERM
		err := parse(t, "TSTP;10s;TERM;25s;KILL").Run(t.Context(), 0, f.target(), nil)
		if !errors.Is(err, syscall.EPERM) || err.Error() != "stopseq: send TERM: "+syscall.EPERM.Error() {
			t.Error(err)
		}
		f.want(t, 10*time.Second, "TSTP 0s")
	})
	bubble(t, "ctx ends in a wait", func(t *testing.T, f *fake) {
		why := errors.New("told to let it be")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { cancel(why) })
		if err := parse(t, "TSTP;10s;TERM").Run(ctx, 0, f.target(), nil); !errors.Is(err, why) {
			t.Error(err)
		}
		f.want(t, 3*time.Second, "TSTP 0s")
	})
	bubble(t, "ctx ends while idle is waited for", func(t *testing.T, f *fake) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := parse(t, "TSTP;idle<=1h;TERM").Run(ctx, 0, f.target(), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		f.want(t, 3*time.Second, "TSTP 0s")
	})
	bubble(t, "ctx ended before, and the process too", func(t *testing.T, f *fake) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		close(f.gone)
		if err := parse(t, "TERM").Run(ctx, 0, f.target(), nil); err != nil {
			t.Error(err)
		}
		f.want(t, 0)
	})
}

// TestRunIsNotHeldUpByAQuestion: a store that does not answer must not keep TERM
// from a worker.
func TestRunIsNotHeldUpByAQuestion(t *testing.T) {
	t.Parallel()
	bubble(t, "slow", func(t *testing.T, f *fake) {
		answered := false
		f.asked = func(ctx context.Context) {
			<-ctx.Done()
			time.Sleep(time.Minute) // as a call that only its own timeout ends
			answered = true
		}
		if err := parse(t, "TSTP;idle<=10s;TERM;5s;KILL").Run(t.Context(), 0, f.target(), nil); err != nil {
			t.Error(err)
		}
		f.want(t, 70*time.Second, "TSTP 0s", "TERM 10s", "KILL 15s")
		if !answered {
			t.Error("the question outlives the run")
		}
	})
}

// TestRunTellsEachStep: of each as it begins, with the hours that are then known.
func TestRunTellsEachStep(t *testing.T) {
	t.Parallel()
	bubble(t, "steps", func(t *testing.T, f *fake) {
		f.idleAt = 30 * time.Second
		f.exit(50 * time.Second)
		var told []string
		note := func(h Hour) { told = append(told, fmt.Sprint(h.Step, " ", h.From, " ", h.To)) }
		if err := parse(t, "TSTP;idle<=1h;TERM;25s;KILL").Run(t.Context(), 120*time.Second, f.target(), note); err != nil {
			t.Error(err)
		}
		want := []string{"TSTP 0s 0s", "idle<=1h 0s 1m33s", "TERM 30s 30s", "25s 30s 55s"}
		if d := cmp.Diff(want, told); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	})
}
