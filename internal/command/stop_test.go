//go:build unix

package command

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// client makes one of a store of its own.
func client() *ebb.Client { return ebb.NewClient(memstore.New(memstore.Options{})) }

// start starts a process that runs spec's jobs, and tries failed ones again at once.
func (s *site) start(c *ebb.Client, spec Spec, o Options) *ebb.Process {
	s.Helper()
	p := ebb.NewProcess(c, ebb.Config{Logger: slog.New(slog.NewTextHandler(s.log, nil)), Socket: ebb.NoSocket})
	New(spec, o).Register(p, ebb.Backoff(func(int, error) time.Duration { return time.Millisecond }))
	if err := p.Start(s.Context()); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { s.drain(p, 10*time.Second) })
	return p
}

// drain stops a process that has so much time to live, and returns what became of
// its jobs.
func (s *site) drain(p *ebb.Process, grace time.Duration) (fates []string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	report, err := p.Drain(ctx)
	if err != nil {
		s.Errorf("drain: %v", err)
	}
	for _, f := range report.Jobs {
		fates = append(fates, f.Fate)
	}
	return fates
}

func (s *site) push(c *ebb.Client, args ...string) {
	s.Helper()
	raw, err := json.Marshal(append([]string{}, args...))
	if err != nil {
		s.Fatal(err)
	}
	if _, err := c.Push(s.Context(), ebb.Envelope{Kind: "Test", Args: raw}); err != nil {
		s.Fatal(err)
	}
}

// jobs lists what is in one place.
func (s *site) jobs(c *ebb.Client, place store.Place) (all []*wire.Job) {
	s.Helper()
	for e, err := range c.Store().Jobs(s.Context(), store.Query{Place: place, Queue: "default"}) {
		if err != nil {
			s.Fatal(err)
		}
		all = append(all, job(s.T, string(e.Payload)))
	}
	return all
}

// TestInterrupted: a deploy in the middle of a job, which costs no attempt, and
// after which it goes on where it was.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s, c := newSite(t), client()
	spec := s.shell(`
		echo "$EBB_ATTEMPT $EBB_INTERRUPTIONS $(cat "$EBB_CHECKPOINT" 2> /dev/null)" >> runs
		[ -e "$EBB_CHECKPOINT" ] && exit
		trap 'echo "step 7" > "$EBB_CHECKPOINT.new"; mv "$EBB_CHECKPOINT.new" "$EBB_CHECKPOINT"; exit 143' TERM
		trap 'echo notice >> runs' USR1
		echo > ready; while :; do sleep 0.1; done`)
	p := s.start(c, spec, s.options())
	s.push(c, "x")
	s.await("ready")
	if diff := cmp.Diff([]string{"checkpointed"}, s.drain(p, 4*time.Second)); diff != "" {
		t.Errorf("fates (-want +got):\n%s", diff)
	}
	s.start(c, spec, s.options())
	want := "1 0 \n1 1 step 7\n"
	eventually(t, "the job is resumed", func() bool { return len(s.read("runs")) >= len(want) })
	if diff := cmp.Diff(want, s.read("runs")); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

// TestNotice: the program itself hears of the stop as it begins, and nobody else.
func TestNotice(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ script, fate string }{
		"saves and ends":       {`trap 'echo 9 > "$EBB_CHECKPOINT"; exit 143' USR1`, "handed back"},
		"says which it was":    {`trap 'echo 9 > "$EBB_CHECKPOINT"; exit 138' USR1`, "handed back"},
		"is not prepared":      {`echo 9 > "$EBB_CHECKPOINT"`, "handed back"},
		"finishes":             {`trap 'exit 0' USR1`, "finished"},
		"asks for another try": {`trap 'echo 9 > "$EBB_CHECKPOINT"; exit 75' USR1`, "handed back"},
		"fails":                {`trap 'echo 9 > "$EBB_CHECKPOINT"; exit 1' USR1`, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := newSite(t), client()
			// The shell's child would die of the notice, and leave its mark.
			spec := s.shell(`(sh -c 'trap "echo > heard" USR1; while :; do sleep 0.05; done' &)
				` + tt.script + `
				echo > ready; while :; do sleep 0.05; done`)
			spec.Notice = syscall.SIGUSR1
			p := s.start(c, spec, s.options())
			s.push(c)
			s.await("ready")
			began := time.Now()
			if diff := cmp.Diff([]string{tt.fate}, s.drain(p, 40*time.Second)); diff != "" {
				t.Errorf("fates (-want +got):\n%s", diff)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %v: the notice came with the end", took)
			}
			if s.read("heard") != "" {
				t.Error("the notice went to the whole group")
			}
			place := store.Ready
			if tt.fate == "failed" {
				place = store.Retrying
			}
			for _, j := range s.jobs(c, place) {
				if string(j.History.Checkpoint) != "9" || j.History.Interruptions != 0 {
					t.Errorf("the job remembers %+v", j.History)
				}
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	s, c := newSite(t), client()
	spec := s.shell(`echo "$EBB_DEADLINE" > deadline; trap 'echo too slow >&2; exit 143' TERM; while :; do sleep 0.1; done`)
	spec.Timeout = 300 * time.Millisecond
	s.start(c, spec, s.options())
	before := time.Now()
	if _, err := c.Push(t.Context(), ebb.Envelope{Kind: "Test"}, ebb.Retry(0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job is buried", func() bool { return len(s.jobs(c, store.Dead)) == 1 })
	j := s.jobs(c, store.Dead)[0]
	if j.ErrorClass != "timeout" || !strings.Contains(j.ErrorMessage, "too slow (exit status 143)") {
		t.Errorf("failed with %s: %s", j.ErrorClass, j.ErrorMessage)
	}
	var deadline int64
	if _, err := fmt.Sscan(s.read("deadline"), &deadline); err != nil || deadline < before.Unix() || deadline > before.Unix()+int64(soon.Seconds()) {
		t.Errorf("deadline %d, %v", deadline, err)
	}
}

// TestPlatformTellsAll: as where each process of a service gets TERM, not only its
// main one. The worker hears of it a little later.
func TestPlatformTellsAll(t *testing.T) {
	t.Parallel()
	s, c := newSite(t), client()
	p := s.start(c, s.shell(`echo $$ > ready; exec sleep 1000`), s.options())
	s.push(c)
	var pid int
	if _, err := fmt.Sscan(s.await("ready"), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"handed back"}, s.drain(p, 40*time.Second)); diff != "" {
		t.Errorf("fates (-want +got):\n%s", diff)
	}
	if ready := s.jobs(c, store.Ready); len(ready) != 1 || ready[0].Count != -1 {
		t.Errorf("the job is not back, unbilled: %+v", ready)
	}
}

// TestFailure: what people see of a program's failure.
func TestFailure(t *testing.T) {
	t.Parallel()
	s, c := newSite(t), client()
	s.start(c, s.shell(`seq 100000 >&2; echo "no such image" >&2; exit 3`), s.options())
	if _, err := c.Push(t.Context(), ebb.Envelope{Kind: "Test"}, ebb.Retry(0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job is buried", func() bool { return len(s.jobs(c, store.Dead)) == 1 })
	j := s.jobs(c, store.Dead)[0]
	if j.ErrorClass != "command.ExitError" || !strings.HasPrefix(j.ErrorMessage, "no such image (exit status 3)\n99") ||
		!strings.HasSuffix(j.ErrorMessage, "\n100000\nno such image") || len(j.ErrorMessage) > maxTail+100 {
		t.Errorf("failed with %s: %s", j.ErrorClass, j.ErrorMessage)
	}
}

// TestLease: the guard is given the lease of the very process.
func TestLease(t *testing.T) {
	t.Parallel()
	s, c := newSite(t), client()
	o := s.options()
	asked := make(chan store.Identity, 1)
	o.LeaseFile = func(id store.Identity) (*os.File, error) {
		asked <- id
		return os.Create(s.path("lease"))
	}
	s.start(c, s.shell("exit 0"), o)
	s.push(c)
	if id := <-asked; id.PID() != os.Getpid() {
		t.Errorf("asked for the lease of %q", id)
	}
	o.LeaseFile = func(store.Identity) (*os.File, error) { return nil, os.ErrPermission }
	err := New(s.shell("touch started"), o).Run(t.Context(), job(t, `{"class":"Test","args":[]}`))
	if want := "program was not started: hold the lease: permission denied"; err == nil || err.Error() != want || s.read("started") != "" {
		t.Errorf("without a lease: %v", err)
	}
}
