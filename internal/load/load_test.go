package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/notes"
	"github.com/ebbjobs/ebb/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(t *testing.T) Options {
	t.Helper()
	s := memstore.New(memstore.Options{})
	t.Cleanup(func() { s.Close() })
	log := slog.New(slog.DiscardHandler)
	return Options{Client: ebb.NewClient(s, ebb.WithLogger(log)), Jobs: 2500, Payload: 10, Slots: 4, Callers: 3, Log: log}
}

func TestRun(t *testing.T) {
	t.Parallel()
	o := options(t)
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]int64{
		"enqueued":         int64(r.Enqueue.Jobs),
		"calls":            r.Enqueue.Call.Samples,
		"drained":          int64(r.Drain.Jobs),
		"batched":          int64(r.Batches.Jobs),
		"picked up, twice": r.PickUp.Samples*2 + 500,
	} {
		if got != 2500 {
			t.Errorf("%s: %d, want 2500", name, got)
		}
	}
	if l := r.PickUp; l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max {
		t.Errorf("percentiles do not rise: %+v", l)
	}
	if r.Kill != nil {
		t.Error("it killed without being asked")
	}
	empty(t, o)
}

// TestNothingStays ends the measurement at every part.
func TestNothingStays(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"enqueue", "drain", "enqueue in batches", "pick-up"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			ctx, end := context.WithCancel(t.Context())
			defer end()
			o.Progress = func(at string, done, _ int64) {
				if at == part && done > 100 {
					end()
				}
			}
			if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			empty(t, o)
		})
	}
}

func empty(t *testing.T, o Options) {
	t.Helper()
	st, err := o.Client.Store().Stats(t.Context())
	if err != nil || st.Ready+st.Held != 0 {
		t.Errorf("left behind: %+v %v", st, err)
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	o := options(t)
	if _, err := job.Enqueue(t.Context(), o.Client, noop{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	if left, err := waiting(t.Context(), o.Client.Store()); err != nil || !left {
		t.Error("it took a job that was not its own")
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	dir, zero := t.TempDir(), time.Unix(1000, 0)
	write := func(by string, text ...any) { // what, job, seconds
		var b strings.Builder
		for i := 0; i < len(text); i += 3 {
			at := zero.Add(time.Duration(text[i+2].(int)) * time.Second)
			fmt.Fprintf(&b, "%d %s %d 0\n", at.UnixNano(), text[i], text[i+1])
		}
		f, err := os.OpenFile(filepath.Join(dir, by), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(b.String())
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c := &tally{notes: notes.NewReader(dir), runs: map[string][]run{}}
	write("7", began, 1, 0, ended, 1, 1, began, 2, 1, began, 3, 1, began, 4, 1, ended, 4, 1, began, 5, 1) // killed at 2
	write("8", began, 5, 3, ended, 5, 4, began, 2, 4, ended, 2, 4)
	if err := c.look(); err != nil {
		t.Fatal(err)
	}
	write("8", began, 4, 4, ended, 4, 5) // its first end was not recorded by the store
	if err := c.look(); err != nil {
		t.Fatal(err)
	}
	k := c.sum(5, map[string]time.Time{"7": zero.Add(2 * time.Second)})
	want := Kill{Kills: 1, Jobs: 5, Cut: 3, Twice: 3, Lost: 1, Back: k.Back}
	if *k != want {
		t.Errorf("got %+v, want %+v", *k, want)
	}
	if k.Back.Samples != 1 || k.Back.Max < 1.99 || k.Back.Max > 2.01 {
		t.Errorf("back after %+v, want two seconds, when the last of them was back", k.Back)
	}
}
