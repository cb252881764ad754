package crashtest

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

const mixed role = "mixed" // a worker whose jobs are good, bad and long

// The kinds of its jobs. What one does is told by its kind; its argument is only a
// number.
var (
	good = ebb.Define[int]("Good", ebb.Queue(queue), ebb.Retry(3))
	bad  = ebb.Define[int]("Bad", ebb.Queue(queue), ebb.Retry(3))
	long = ebb.Define[int]("Long", ebb.Queue(queue), ebb.Retry(3))
)

// hasten is the point that has a worker judge at a pace that a test can wait for.
const hasten = "hasten"

func (s spec) runMixed() error {
	if s.Point == hasten {
		rescue.Pace.Wave = 10 * time.Millisecond
		rescue.Pace.Delay = 50 * time.Millisecond
		rescue.Pace.Most = time.Second
	}
	pages, err := openPages(s.Dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	client, err := ebb.Open(ctx, s.URL)
	if err != nil {
		return err
	}
	defer client.Close()
	p := ebb.NewProcess(client, s.config())
	run := func(do func(ctx context.Context, jid string) error) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error {
			jid := ebb.Info(ctx).JID
			pages.write(begun, jid)
			err := do(ctx, jid)
			if err == nil {
				pages.write(ended, jid)
			} else {
				pages.write(again, jid)
			}
			return err
		}
	}
	good.Handle(p, run(func(ctx context.Context, _ string) error {
		select {
		case <-time.After(300 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}))
	bad.Handle(p, run(func(context.Context, string) error {
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}
		self.Kill()
		select {}
	}))
	long.Handle(p, run(func(ctx context.Context, _ string) error {
		step, _, err := ebb.Resume[int](ctx)
		for ; err == nil; step++ {
			select {
			case <-time.After(50 * time.Millisecond):
				err = ebb.Checkpoint(ctx, step)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return err
	}))
	return p.Run(ctx)
}

var restarts = flag.Int("crash.restarts", 2, "how often three workers are replaced in a row")

// judges are the stores that judge what crashes; where there is time, Redis too.
var judges = map[string]func(t *testing.T) string{
	"SQLite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "ebb.db") },
}

// TestPoison has each store judge what crashes. All of it at once, whatever the number
// of processors: it is nearly nothing but waiting.
func TestPoison(t *testing.T) {
	var tests sync.WaitGroup
	defer tests.Wait()
	for name, test := range map[string]func(t *testing.T, url string){
		"one among 30":           func(t *testing.T, url string) { buryPoison(t, url, 1, 0) },
		"two among 30":           func(t *testing.T, url string) { buryPoison(t, url, 2, 2) },
		"a witness":              witness,
		"restarts by TERM, KILL": func(t *testing.T, url string) { roll(t, url, syscall.SIGTERM, syscall.SIGKILL) },
		"restarts by KILL alone": func(t *testing.T, url string) { roll(t, url, syscall.SIGKILL) },
	} {
		for store, url := range judges {
			tests.Go(func() {
				t.Run(name+" on "+store, func(t *testing.T) { test(t, url(t)) })
			})
		}
	}
}

// stage opens a store on which workers will run.
func stage(t *testing.T, url string) (*theatre, *ebb.Client) {
	t.Helper()
	client, err := ebb.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return &theatre{T: t, url: url, dir: t.TempDir()}, client
}

// supervise keeps one worker running, as systemd would, until calm is closed; the last
// one is told to stop.
func (th *theatre) supervise(limit int, calm <-chan struct{}) {
	for th.Context().Err() == nil {
		c := th.start(spec{Role: mixed, Point: hasten, Poison: limit})
		select {
		case <-calm:
			c.Process.Signal(syscall.SIGTERM)
			<-c.exited
			return
		case <-c.exited:
		}
	}
}

// dead are the jobs in the dead set.
func dead(t *testing.T, s store.Store) (jobs []*wire.Job) {
	t.Helper()
	for e, err := range s.Jobs(t.Context(), store.Query{Place: store.Dead}) {
		if err != nil {
			t.Fatal(err)
		}
		job, err := wire.Parse(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job)
	}
	return jobs
}

func numbers(n int) []int { return make([]int, n) }

// buryPoison has jobs that kill the process that runs them. They are buried, and nobody
// else's job is.
func buryPoison(t *testing.T, url string, poison, limit int) {
	proofs := cmp.Or(limit, rescue.DefaultPoison)
	th, client := stage(t, url)
	const neighbours = 30
	if _, err := good.EnqueueMany(t.Context(), client, numbers(neighbours/2)); err != nil {
		t.Fatal(err)
	}
	if _, err := bad.EnqueueMany(t.Context(), client, numbers(poison)); err != nil {
		t.Fatal(err)
	}
	if _, err := good.EnqueueMany(t.Context(), client, numbers(neighbours/2)); err != nil {
		t.Fatal(err)
	}
	calm := make(chan struct{})
	var working sync.WaitGroup
	t.Cleanup(working.Wait)
	for range workers {
		working.Go(func() { th.supervise(limit, calm) })
	}
	th.await("burial of the poison jobs and end of all others", 2*time.Minute, func() bool {
		stats, err := client.Store().Stats(t.Context())
		return err == nil && stats.Dead >= int64(poison) && stats.Ready+stats.Held+stats.Scheduled+stats.Retrying == 0
	})
	close(calm)
	working.Wait()

	buried := dead(t, client.Store())
	if len(buried) != poison {
		t.Errorf("%d jobs are buried, want %d", len(buried), poison)
	}
	runs := readLedger(t, th.dir).runs
	for _, job := range buried {
		if job.Kind != "Bad" {
			t.Errorf("a neighbour is buried: %s", job.Payload())
		}
		alone := 0
		for _, e := range job.History.Events {
			if e.Alone {
				alone++
			}
		}
		last := job.History.Events[len(job.History.Events)-1]
		if job.ErrorClass != "poison" || !strings.Contains(job.ErrorMessage, map[int]string{2: "2nd", 3: "3rd"}[proofs]+" with no other suspect in it") || last.What != "buried" || alone < proofs || job.Count != -1 {
			t.Errorf("its story is %s", job.Payload())
		}
		// One that is fetched together with another may not even begin.
		crashes := job.History.Crashes
		t.Attr("crashes", fmt.Sprintf("%d, in %d runs", crashes, len(runs[job.JID])))
		if crashes < proofs+2 {
			t.Errorf("%s brought down %d processes", job.JID, crashes)
		}
	}
	stats, err := client.Store().Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(stats.Books) != 1 || stats.Books[0].Done != neighbours || stats.Failed != 0 || stats.Books[0].Custody() != 0 {
		t.Errorf("failed: %d, the books are %+v", stats.Failed, stats.Books)
	}
	if report := reportOf(t, client.Store().Stops, buried[0].JID, "buried"); report.Reason != "vanished" {
		t.Errorf("the stop report of its last process is %+v", report)
	}
}

// reportOf finds the stop report that has this fate for a job.
func reportOf(t *testing.T, stops func(context.Context) iter.Seq2[store.StopReport, error], jid, fate string) store.StopReport {
	t.Helper()
	for report, err := range stops(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(report.Jobs, func(f store.Fate) bool { return f.JID == jid && f.Fate == fate && f.Note != "" }) {
			return report
		}
	}
	t.Errorf("no stop report says that %s was %s", jid, fate)
	return store.StopReport{}
}

// roll replaces three workers with long jobs one after the other, again and again:
// nothing is buried, and nothing billed.
func roll(t *testing.T, url string, signals ...syscall.Signal) {
	th, client := stage(t, url)
	const jobs = 6
	if _, err := long.EnqueueMany(t.Context(), client, numbers(jobs)); err != nil {
		t.Fatal(err)
	}
	var fleet []*child
	for range workers {
		fleet = append(fleet, th.start(spec{Role: mixed}))
	}
	th.await("start of all jobs", time.Minute, func() bool {
		stats, err := client.Store().Stats(t.Context())
		return err == nil && stats.Held == jobs
	})
	for range *restarts {
		for i := range fleet {
			next := th.start(spec{Role: mixed})
			for n, s := range signals {
				if n > 0 {
					<-time.After(150 * time.Millisecond) // its grace
				}
				fleet[i].Process.Signal(s)
			}
			<-fleet[i].exited
			fleet[i] = next
			th.await("worker in its place", time.Minute, func() bool {
				all, err := client.Store().Processes(t.Context())
				return err == nil && slices.ContainsFunc(all, func(p store.Process) bool { return p.PID == next.Process.Pid })
			})
			<-time.After(700 * time.Millisecond)
		}
	}
	stats, err := client.Store().Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stats.Dead > 0 || stats.Failed > 0 || stats.Retrying > 0 || stats.Ready+stats.Held+stats.Scheduled != jobs {
		t.Errorf("after %d restarts: %+v", *restarts, stats)
	}
	var interrupted int
	th.await("report of each job that the restarts met", time.Minute, func() bool {
		interrupted = 0
		for report, err := range client.Store().Stops(t.Context()) {
			if err != nil {
				return false
			}
			interrupted += len(report.Jobs)
		}
		return interrupted >= jobs
	})
	t.Attr("interruptions", fmt.Sprint(interrupted))
	for _, c := range fleet {
		c.Process.Kill()
		<-c.exited
	}
}

// witness has its word bury at once the suspect whose process died for want of memory.
func witness(t *testing.T, url string) {
	th, client := stage(t, url)
	if _, err := bad.Enqueue(t.Context(), client, 0); err != nil {
		t.Fatal(err)
	}
	var last *child
	for range 3 { // the third process runs it as the only suspect
		last = th.start(spec{Role: mixed, Point: hasten})
		<-last.exited
	}
	s := client.Store()
	processes, err := s.Processes(t.Context())
	if err != nil || len(processes) != 1 || processes[0].PID != last.Process.Pid {
		t.Fatalf("processes: %+v, %v", processes, err)
	}
	id := processes[0].ID
	died, err := rescue.ParseDeath("oom")
	if err != nil {
		t.Fatal(err)
	}
	judge := rescue.Judge{By: store.NewIdentity(), Deaths: map[store.Identity]rescue.Death{id: died}}
	lost, err := s.Orphans(t.Context(), 10, id)
	if err != nil || len(lost) != 1 || len(lost[0].Jobs) != 1 {
		t.Fatalf("lost: %+v, %v", lost, err)
	}
	if err := judge.Read(t.Context(), s.Stops, lost); err != nil {
		t.Fatal(err)
	}
	if moved, err := s.Rescue(t.Context(), judge.Salvage(lost[0])); err != nil || moved != 1 {
		t.Fatalf("moved %d, %v", moved, err)
	}
	buried := dead(t, s)
	if len(buried) != 1 || buried[0].ErrorClass != "poison" || !strings.HasPrefix(buried[0].ErrorMessage, "its process died for want of memory: the 3rd in 72 h, and the 1st ") {
		t.Errorf("%d are buried", len(buried))
	}
}
