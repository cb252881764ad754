package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/crew"
	"github.com/ebbjobs/ebb/internal/notes"
	"github.com/ebbjobs/ebb/store"
)

// Starter makes the command of a worker process, which must call Work with this
// folder and end when its standard input does.
type Starter func(dir string, slots int) *exec.Cmd

// Kill is what became of jobs whose processes were killed.
type Kill struct {
	Kills int `json:"kills"`
	Jobs  int `json:"jobs"`
	// LeaseOnly: nobody looked at connections, and jobs were back when the lease of
	// their process had ended.
	LeaseOnly bool `json:"lease_only"`
	// Cut is how many jobs ran when their process was killed, Twice how many were
	// begun more than once, Lost how many never came to their end.
	Cut   int `json:"cut"`
	Twice int `json:"run_twice"`
	Lost  int `json:"lost"`
	// Back is from each kill until the last of the jobs that it cut runs again.
	Back Latency `json:"back"`
}

const (
	peers = 2                     // workers that live through all kills
	hold  = 20 * time.Millisecond // how long a job takes, so that some are cut
	stuck = 2 * time.Minute       // without any job ending, what is left counts as lost

	tag = "bench"

	// The defaults of a process, which the measurement has to know.
	lease = 12 * time.Second
	beat  = 750 * time.Millisecond
)

// ages are how old workers must be before a kill is like one in a fleet: where a
// lease is no proof, nobody rescues in the first lease of his own, and a process is
// watched from its first beats on.
func (o *Options) ages() (peer, victim time.Duration) {
	if o.Client.Store().Describe().LeaseIsLock {
		return 0, 0
	}
	return lease + 2*beat, 4 * beat
}

// kill lets workers drain one round of jobs after the other, and kills one in each.
// It counts what each of them has noted of every job.
func (o *Options) kill(ctx context.Context, pad string) (*Kill, error) {
	dir, err := os.MkdirTemp("", "ebb-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	w := &workers{dir: dir, killed: map[string]time.Time{}}
	defer w.end()
	peer, victim := o.ages()
	for range peers {
		if err := o.addTo(ctx, w); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, peer); err != nil {
		return nil, err
	}
	counted := &tally{notes: notes.NewReader(dir), runs: map[string][]run{}}
	// Enough for all of them to be busy at the kill.
	each := max(o.Jobs/o.Kills, 4*(peers+1)*o.Slots)
	jobs := 0
	for range o.Kills {
		if err := o.addTo(ctx, w); err != nil {
			return nil, err
		}
		// Not always at the same moment between two beats.
		if err := pause(ctx, victim+rand.N(beat)); err != nil {
			return nil, err
		}
		if err := o.enqueueFrom(ctx, jobs, each, pad, func(int) {}); err != nil {
			return nil, err
		}
		jobs += each
		if err := killOne(ctx, w, counted, jobs, each); errors.Is(err, errStuck) {
			break
		} else if err != nil {
			return nil, err
		}
		o.Progress("kill", int64(len(w.killed)), int64(o.Kills))
	}
	w.end()
	if err := counted.look(); err != nil {
		return nil, err
	}
	k := counted.sum(jobs, w.killed)
	k.LeaseOnly = o.LeaseOnly
	return k, nil
}

var errStuck = errors.New("no job ends any more")

// killOne kills the youngest worker when a quarter of a round is done, and returns
// when all that was enqueued so far is.
func killOne(ctx context.Context, w *workers, counted *tally, total, round int) error {
	last, changed, killed := counted.done, time.Now(), false
	for tick := time.Tick(5 * time.Millisecond); ; {
		if err := counted.look(); err != nil {
			return err
		}
		if counted.done != last {
			last, changed = counted.done, time.Now()
		}
		if !killed && counted.done >= total-round+round/4 {
			if err := w.kill(); err != nil {
				return err
			}
			killed = true
		}
		if counted.done >= total {
			return nil
		}
		if time.Since(changed) > stuck {
			return errStuck
		}
		if err := w.alive(); err != nil {
			return err
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// workers are the processes that run the jobs.
type workers struct {
	dir    string
	all    []*crew.Member       // that were not killed
	killed map[string]time.Time // by the name of their notes
}

// addTo starts another worker, and returns when it is at work.
func (o *Options) addTo(ctx context.Context, w *workers) error {
	m, err := crew.Start(o.Worker(w.dir, o.Slots))
	if err != nil {
		return err
	}
	w.all = append(w.all, m)
	for began := time.Now(); time.Since(began) < stuck; {
		all, err := o.Client.Store().Processes(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(p store.Process) bool { return p.PID == m.PID() && p.Tag == tag }) {
			return nil
		}
		if err := errors.Join(w.alive(), pause(ctx, 20*time.Millisecond)); err != nil {
			return err
		}
	}
	return fmt.Errorf("worker %d did not get to work in %v", m.PID(), stuck)
}

// alive says which worker has ended by itself.
func (w *workers) alive() error {
	for _, m := range w.all {
		select {
		case <-m.Done():
			_, how := m.How()
			return fmt.Errorf("worker %d has ended: %s\n%s", m.PID(), how, m.Said())
		default:
		}
	}
	return nil
}

// kill kills the youngest.
func (w *workers) kill() error {
	victim := w.all[len(w.all)-1]
	w.all = w.all[:len(w.all)-1]
	at := time.Now()
	if err := victim.Signal(os.Kill); err != nil {
		return err
	}
	w.killed[strconv.Itoa(victim.PID())] = at
	<-victim.Done()
	return nil
}

// end lets all that live end by themselves, and waits for them. A second call does
// nothing.
func (w *workers) end() {
	for _, m := range w.all {
		m.Dismiss()
	}
	for _, m := range w.all {
		<-m.Done()
	}
	w.all = nil
}

// What a worker process notes of a job.
const (
	began = "began"
	ended = "ended"
)

// Worker says how a worker process runs.
type Worker struct {
	Dir       string // for its notes
	Slots     int
	LeaseOnly bool
	Log       *slog.Logger
}

// Work is a worker process. It runs jobs of the measurement until told ends.
func Work(ctx context.Context, client *ebb.Client, w Worker, told io.Reader) error {
	ctx, end := crew.Leashed(ctx, told)
	defer end()
	page, err := notes.Open(w.Dir, strconv.Itoa(os.Getpid()))
	if err != nil {
		return err
	}
	defer page.Close()
	note := func(what string, n int64) error { return page.Write(what, strconv.FormatInt(n, 10), 0) }
	c := ebb.Config{Queues: []string{Queue}, Concurrency: w.Slots, Logger: w.Log, Socket: ebb.NoSocket, Tag: tag}
	c.Lease = ebb.LeaseConfig{TTL: lease, Beat: beat}
	if w.LeaseOnly {
		c.Lease.CutOff = ebb.EndJobs // whose promise rests on the whole lease, so that nobody shortens it
	}
	p := ebb.NewProcess(client, c)
	job.Handle(p, func(ctx context.Context, j noop) error {
		if err := note(began, j.N); err != nil {
			return err
		}
		select {
		case <-time.After(hold):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return note(ended, j.N)
	})
	return p.Run(ctx)
}

// tally counts what was noted.
type tally struct {
	notes *notes.Reader
	runs  map[string][]run // of each job
	done  int              // jobs that ended
}

type run struct {
	by           string
	began, ended time.Time
}

func (t *tally) look() error { return t.notes.Each(t.note) }

func (t *tally) note(n notes.Note) {
	if n.What == began {
		t.runs[n.Job] = append(t.runs[n.Job], run{by: n.By, began: n.At})
		return
	}
	for i := range t.runs[n.Job] {
		if r := &t.runs[n.Job][i]; r.by == n.By && r.ended.IsZero() {
			if !t.over(n.Job) {
				t.done++
			}
			r.ended = n.At
			return
		}
	}
}

// over reports whether a job has come to its end.
func (t *tally) over(job string) bool {
	for _, r := range t.runs[job] {
		if !r.ended.IsZero() {
			return true
		}
	}
	return false
}

// sum says what became of jobs, given who was killed and when.
func (t *tally) sum(jobs int, killed map[string]time.Time) *Kill {
	k := &Kill{Kills: len(killed), Jobs: jobs, Lost: jobs - t.done}
	back := map[string]time.Duration{} // by who was killed
	for _, runs := range t.runs {
		if len(runs) > 1 {
			k.Twice++
		}
		for _, cut := range runs {
			at, ok := killed[cut.by]
			if !ok || !cut.ended.IsZero() {
				continue
			}
			k.Cut++
			if again := next(runs, cut); !again.IsZero() {
				back[cut.by] = max(back[cut.by], again.Sub(at))
			}
		}
	}
	h := histogram()
	for _, d := range back {
		record(h, d)
	}
	k.Back = latency(h)
	return k
}

// next returns when a job that was cut was begun again.
func next(runs []run, cut run) (again time.Time) {
	for _, r := range runs {
		if r.by != cut.by && r.began.After(cut.began) && (again.IsZero() || r.began.Before(again)) {
			again = r.began
		}
	}
	return again
}
