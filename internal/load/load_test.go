package load

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb"
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
	write := func(pid string, notes ...any) { // what, job, seconds
		var b []byte
		for i := 0; i < len(notes); i += 3 {
			b = binary.BigEndian.AppendUint32(append(b, byte(notes[i].(rune))), uint32(notes[i+1].(int)))
			b = binary.BigEndian.AppendUint64(b, uint64(zero.Add(time.Duration(notes[i+2].(int))*time.Second).UnixNano()))
		}
		f, err := os.OpenFile(filepath.Join(dir, pid), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.Write(b)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c := &tally{dir: dir, read: map[string]int64{}, runs: map[uint32][]run{}}
	write("7", 'b', 1, 0, 'e', 1, 1, 'b', 2, 1, 'b', 3, 1, 'b', 4, 1, 'e', 4, 1) // killed at 2
	write("8", 'b', 2, 3, 'e', 2, 4)
	if err := c.look(); err != nil {
		t.Fatal(err)
	}
	write("8", 'b', 4, 4, 'e', 4, 5) // its first end was not recorded by the store
	if err := os.WriteFile(filepath.Join(dir, "9"), []byte{'b', 0, 0}, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.look(); err != nil {
		t.Fatal(err)
	}
	k := c.sum(4, map[int]time.Time{7: zero.Add(2 * time.Second)})
	want := Kill{Kills: 1, Jobs: 4, Cut: 2, Twice: 2, Lost: 1, Back: k.Back}
	if *k != want {
		t.Errorf("got %+v, want %+v", *k, want)
	}
	if k.Back.Samples != 1 || k.Back.Max < 0.99 || k.Back.Max > 1.01 {
		t.Errorf("back after %+v, want one second, once", k.Back)
	}
}
