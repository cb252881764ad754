package crashtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

const (
	stopped role = "stopped" // a worker that is told to stop, and the one that goes on
	grace        = 3 * time.Second
)

// The jobs that a stop meets.
const (
	short      = "short"      // done before its context ends
	listens    = "listens"    // returns when its context ends
	checkpoint = "checkpoint" // the same, and has saved where it was
	deaf       = "deaf"       // does not return
)

var manner = ebb.Define[string]("Manner", ebb.Queue(queue))

// entry is a line that a job writes of a run.
type entry struct {
	At            time.Time
	PID           int
	Job           string
	What          string        // begun, told, ended (its context), alive, returned
	KillIn        time.Duration `json:",omitempty"` // told
	Attempt       int           `json:",omitempty"` // begun
	Interruptions int           `json:",omitempty"` // begun
	Step          int           `json:",omitempty"` // begun: resumed from; returned: saved
}

// journal is where all jobs of all processes write.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

func (j *journal) write(e entry) {
	e.At, e.PID = time.Now(), os.Getpid()
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

func journalIn(dir string) string { return filepath.Join(dir, "journal") }

func (s spec) runStopped() error {
	file, err := os.OpenFile(journalIn(s.Dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	ctx := context.Background()
	client, err := ebb.Open(ctx, s.URL)
	if err != nil {
		return err
	}
	defer client.Close()
	p := ebb.NewProcess(client, ebb.Config{
		Queues: []string{queue},
		Stop:   ebb.StopConfig{Grace: grace},
		Socket: ebb.NoSocket,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	j := &journal{file: file}
	manner.Handle(p, func(ctx context.Context, job string) error { return behave(ctx, j, job) })
	return p.Run(ctx)
}

// behave runs a job: the first time as its name says, and again in no time.
func behave(ctx context.Context, j *journal, job string) (err error) {
	info := ebb.Info(ctx)
	step, _, err := ebb.Resume[int](ctx)
	if err != nil {
		return err
	}
	j.write(entry{Job: job, What: "begun", Attempt: info.Attempt, Interruptions: info.Interruptions, Step: step})
	defer func() { j.write(entry{Job: job, What: "returned", Step: step}) }()
	if info.Interruptions > 0 {
		return nil
	}
	told, done := make(chan struct{}), ctx.Done()
	if stopping, _ := ebb.Stopping(ctx); stopping != nil {
		go func() { <-stopping; close(told) }()
	}
	for tick := time.Tick(5 * time.Millisecond); ; {
		select {
		case <-told:
			told = nil
			_, kill := ebb.Stopping(ctx)
			j.write(entry{Job: job, What: "told", KillIn: time.Until(kill)})
		case <-done:
			done = nil
			j.write(entry{Job: job, What: "ended"})
			if job != deaf {
				return context.Cause(ctx)
			}
		case <-tick:
			switch {
			case job == checkpoint:
				step++
				if err := ebb.Checkpoint(ctx, step); err != nil {
					return err
				}
			case job == deaf:
				j.write(entry{Job: job, What: "alive"})
			case job == short && told == nil:
				return nil // it was told, and that was enough
			}
		}
	}
}

func TestStopSQLite(t *testing.T) { stop(t, "sqlite:"+filepath.Join(t.TempDir(), "ebb.db")) }
func TestStopRedis(t *testing.T)  { stop(t, redistest.Start(t).URL()) }

// stop stops one worker as a platform does, with another beside it, and looks at
// what became of each job.
func stop(t *testing.T, url string) {
	th := &theatre{T: t, url: url, dir: t.TempDir()}
	client, err := ebb.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	jobs := []string{short, listens, checkpoint, deaf}
	if _, err := manner.EnqueueMany(t.Context(), client, jobs); err != nil {
		t.Fatal(err)
	}
	first := th.start(spec{Role: stopped})
	th.await("start of all jobs", reach, func() bool { return len(th.entries("begun")) == len(jobs) })
	second := th.start(spec{Role: stopped})
	th.await("second worker", reach, func() bool {
		processes, err := client.Store().Processes(t.Context())
		return err == nil && len(processes) == 2
	})

	asked := time.Now()
	first.Process.Signal(syscall.SIGTERM)
	select {
	case <-first.exited:
	case <-time.After(grace): // here a platform would KILL
		t.Errorf("not gone when its grace of %v was over\n%s", grace, first.tail())
		first.Process.Kill()
	}
	<-first.exited
	gone := time.Since(asked)
	if !first.ProcessState.Success() {
		t.Errorf("the stopped worker: %v\n%s", first.ProcessState, first.tail())
	}
	th.await("end of all jobs", reach, func() bool {
		stats, err := client.Store().Stats(t.Context())
		return err == nil && stats.Ready+stats.Held+stats.Scheduled == 0
	})
	second.Process.Signal(syscall.SIGTERM)
	<-second.exited
	if !second.ProcessState.Success() {
		t.Errorf("the second worker: %v\n%s", second.ProcessState, second.tail())
	}

	t.Attr("worker", fmt.Sprintf("gone %v after TERM, %v before KILL", gone.Round(time.Millisecond), (grace-gone).Round(time.Millisecond)))
	for _, job := range jobs {
		th.follow(job, asked, first.Process.Pid)
	}
	th.reported(client.Store(), first.Process.Pid)
}

// entries returns what was written of all jobs under the names in what, in order.
func (th *theatre) entries(what ...string) (found []entry) {
	file, err := os.Open(journalIn(th.dir))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		th.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			th.Fatal(err)
		}
		if slices.Contains(what, e.What) {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b entry) int { return a.At.Compare(b.At) })
	return found
}

// follow checks what one job went through, and says it.
func (th *theatre) follow(job string, asked time.Time, firstPID int) {
	last := map[string]entry{} // in the worker that was stopped
	var runs []entry
	for _, e := range th.entries("begun", "told", "ended", "alive", "returned") {
		if e.Job != job {
			continue
		}
		if e.What == "begun" {
			runs = append(runs, e)
		}
		if e.PID == firstPID {
			last[e.What] = e
		}
	}
	after := func(what string) time.Duration { return last[what].At.Sub(asked).Round(time.Millisecond) }
	said := fmt.Sprintf("told after %v that KILL comes in %v", after("told"), last["told"].KillIn.Round(time.Millisecond))
	if late := after("told"); last["told"].At.IsZero() || late > grace/3 {
		th.Errorf("%s was told %v after TERM", job, late)
	}
	if kill := after("told") + last["told"].KillIn; kill < grace-grace/10 || kill > grace+grace/10 {
		th.Errorf("%s was told of a KILL %v after TERM, want %v", job, kill, grace)
	}
	if job == short {
		if len(runs) != 1 || last["returned"].At.IsZero() {
			th.Errorf("%s ran %d times", job, len(runs))
		}
		th.Attr(job, said+fmt.Sprintf("; done after %v", after("returned")))
		return
	}
	if len(runs) != 2 || runs[1].PID == firstPID {
		th.Fatalf("%s: runs %+v, want one in each worker", job, runs)
	}
	// The last sign of the first run comes before the second run.
	over := last["returned"].At
	if job == deaf {
		over = last["alive"].At
	}
	if !over.Before(runs[1].At) {
		th.Errorf("%s ran twice at once: %v until %v, and from %v", job, runs[0].At, over, runs[1].At)
	}
	if again := runs[1]; again.Attempt != 1 || again.Interruptions != 1 {
		th.Errorf("%s was billed: attempt %d, %d interruptions", job, again.Attempt, again.Interruptions)
	}
	if saved := last["returned"].Step; job == checkpoint && (saved == 0 || runs[1].Step != saved) {
		th.Errorf("%s saved step %d and went on from step %d", job, saved, runs[1].Step)
	}
	th.Attr(job, said+fmt.Sprintf("; context ended after %v; ran again after %v, attempt %d, from step %d",
		after("ended"), runs[1].At.Sub(asked).Round(time.Millisecond), runs[1].Attempt, runs[1].Step))
}

// reported checks the stop report of the worker with that pid.
func (th *theatre) reported(st store.Store, pid int) {
	var parts []store.StopReport
	for report, err := range st.Stops(th.Context()) {
		if err != nil {
			th.Fatal(err)
		}
		if report.ID.PID() == pid {
			parts = append(parts, report)
		}
	}
	slices.Reverse(parts) // newest first
	report := store.MergeStops(parts)
	fates := map[string]int{}
	for _, f := range report.Jobs {
		fates[f.Fate]++
	}
	for _, fate := range []string{"finished", "handed back", "checkpointed", "deaf", "rescued"} {
		if fates[fate] != 1 {
			th.Errorf("the stop report has %d jobs %s, want 1: %+v", fates[fate], fate, report)
		}
	}
	if report.Reason != "SIGTERM" && report.Reason != "terminated" {
		th.Errorf("the stop report says %q", report.Reason)
	}
}
