package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/parallel"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

var (
	lasts = flag.Duration("chaos.for", 4*time.Second, "how long each kind of store is disturbed")
	seed  = flag.Uint64("chaos.seed", 4, "the plan")
	lease = flag.Duration("chaos.lease", 3*time.Second, "lease of the workers")
)

// variable carries what a process of the fleet is told. Without it this is the test.
const variable = "EBB_CHAOSTEST"

type spec struct {
	URL   string
	Child Child
}

func TestMain(m *testing.M) {
	v, isChild := os.LookupEnv(variable)
	if !isChild {
		parallel.Tests(4)
		goleak.VerifyTestMain(m)
		return
	}
	err := child(v)
	switch {
	case errors.Is(err, store.ErrUnreachable):
		os.Exit(storeAway)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(v string) error {
	var s spec
	if err := json.Unmarshal([]byte(v), &s); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	client, err := ebb.Open(context.Background(), s.URL, ebb.WithLogger(log))
	if err != nil {
		return err
	}
	defer client.Close()
	return s.Child.Run(context.Background(), client, os.Stdin, log)
}

// options are those of a run on a store of its own, or on Redis on a server of its
// own.
func options(t *testing.T, kind Kind) Options {
	t.Helper()
	dir, err := os.MkdirTemp("", "ebb-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what its processes said is in %s", dir)
		} else {
			os.RemoveAll(dir)
		}
	})
	o := Options{
		Terms: Terms{Seed: *seed, For: *lasts, Workers: 3, Lease: *lease, Kind: kind},
		URL:   "sqlite:" + filepath.Join(dir, "ebb.db"),
		Queue: "ebb-chaos-test",
		Dir:   dir,
		Command: func(url string, c Child) *exec.Cmd {
			told, err := json.Marshal(spec{url, c})
			if err != nil {
				panic(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), variable+"="+string(told), "GORACE=atexit_sleep_ms=0")
			return cmd
		},
	}
	if kind == OwnRedis {
		if o.Server, err = StartServer(t.Context(), filepath.Join(dir, "redis")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { o.Server.Close() })
		o.URL = o.Server.URL()
	}
	if o.Store, err = storeurl.Open(t.Context(), o.URL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Store.Close() })
	return o
}

// TestChaos disturbs each kind of store: nothing is lost, and the books balance.
func TestChaos(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{SQLite, OwnRedis} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			o := options(t, kind)
			told := map[Fault]int{}
			o.Told = func(e Event) { told[e.Fault]++ }
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK() || r.Lost > 0 || !r.Balanced || r.Interrupted {
				t.Errorf("seed %d: %+v", o.Seed, r)
			}
			if r.Twice > r.Explained {
				t.Logf("%d of %d jobs that ran twice are not explained: %+v", r.Twice-r.Explained, r.Twice, r.Stories)
			}
			if r.Done == 0 || r.Done != r.Accepted {
				t.Errorf("%d of %d jobs were done", r.Done, r.Accepted)
			}
			for _, s := range Make(o.Terms).Steps {
				told[s.Fault]--
			}
			for _, f := range kind.Faults() {
				if r.Faults[f] == 0 || told[f] != 0 {
					t.Errorf("%s was applied %d times, %d more than planned", f, r.Faults[f], told[f])
				}
			}
			empty(t, o)
			t.Logf("%+v", r.Tally)
		})
	}
}

// empty wants nothing left of a run, neither in the store nor of its processes.
func empty(t *testing.T, o Options) {
	t.Helper()
	st, err := o.Store.Stats(t.Context())
	if err != nil || st.Ready+st.Held+st.Scheduled+st.Retrying+st.Dead != 0 {
		t.Errorf("left behind: %+v %v", st, err)
	}
	processes, err := o.Store.Processes(t.Context())
	if err != nil || len(processes) > 0 {
		t.Errorf("left behind: %+v %v", processes, err)
	}
}

// TestInterrupted ends a run while a process is frozen, after others were killed.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{SQLite, OwnRedis} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			o := options(t, kind)
			o.Seed, o.For = 4, 8*time.Second
			ctx, end := context.WithCancel(t.Context())
			defer end()
			var pids []int
			o.Told = func(e Event) {
				pids = append(pids, e.PID)
				if e.Fault == Freeze && len(pids) > 2 {
					end()
				}
			}
			r, err := Run(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Interrupted || !r.OK() || r.Accepted == 0 {
				t.Errorf("%+v", r)
			}
			for _, pid := range pids {
				if o.Server != nil && pid == o.Server.pid() {
					continue
				}
				if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("process %d is still there: %v", pid, err)
				}
			}
			empty(t, o)
		})
	}
}

// TestLossIsFound takes jobs away behind everybody's back.
func TestLossIsFound(t *testing.T) {
	t.Parallel()
	o := options(t, SQLite)
	o.For = 2 * time.Second
	const most = 3
	taken := 0
	o.Show = func(v View) {
		for e, err := range o.Store.Jobs(t.Context(), store.Query{Place: store.Scheduled, Queue: o.Queue}) {
			if err != nil || taken == most || v.Phase != Disturbing {
				return
			}
			n, err := o.Store.Delete(t.Context(), store.Undoable{}, store.Pick{Key: e.Key})
			if err == nil {
				taken += n
			}
		}
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if taken == 0 || r.Lost != taken || r.OK() {
		t.Errorf("%d jobs were taken away, and the report is %+v", taken, r)
	}
	for _, s := range r.Stories {
		if s.What != "lost" || s.Place != "" || s.Runs == "" {
			t.Errorf("a story says %+v", s)
		}
	}
	if len(r.Stories) != taken {
		t.Errorf("%d stories of %d jobs", len(r.Stories), taken)
	}
}

// TestCrashLoop: a program that always ends by itself ends the run.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	o := options(t, SQLite)
	o.Command = func(string, Child) *exec.Cmd { return exec.Command("sh", "-c", "echo why; exit 3") }
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "ends by itself, exit status 3") {
		t.Errorf("error %v", err)
	}
}
