package crashtest

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

var (
	jobs   = flag.Int("crash.jobs", 500, "jobs to push at least")
	rounds = flag.Int("crash.rounds", 1, "kills at each point, and twice as many at any moment")
	seed   = flag.Uint64("crash.seed", 0, "of the order and moments of the kills; 0: any")
)

// workers is how many run side by side: one to die, one to see it, one between.
const workers = 3

// reach is how long a process waits for the point where it is to die.
const reach = 5 * time.Second

// workerPoints are where workers are killed, besides any moment.
var workerPoints = []string{
	crashpoint.FetchWaiting, crashpoint.FetchMoved, crashpoint.FetchReplied, crashpoint.InHandler, crashpoint.BeforeAck,
	crashpoint.AfterAck, crashpoint.DuringRequeue, crashpoint.DuringPromotion, crashpoint.DuringRescue,
}

func TestCrashSQLite(t *testing.T) {
	crash(t, "sqlite:"+filepath.Join(t.TempDir(), "ebb.db"))
}

func TestCrashRedis(t *testing.T) {
	crash(t, redistest.Start(t, redistest.AOF()).URL())
}

// theatre is one crash test under way.
type theatre struct {
	*testing.T
	url string
	dir string

	mu     sync.Mutex
	rng    *rand.Rand
	killed map[int]bool   // worker processes, by pid
	kills  map[string]int // by point
	left   atomic.Int64   // planned deaths
	last   atomic.Int64   // workers that were started to live
}

func crash(t *testing.T, url string) {
	seed := cmp.Or(*seed, rand.Uint64())
	t.Logf("seed %d", seed)
	began := time.Now()
	th := &theatre{
		T: t, url: url, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 0)),
		killed: map[int]bool{}, kills: map[string]int{},
	}
	st, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()

	deaths := th.plan()
	th.left.Store(int64(len(deaths) + *rounds)) // of workers and producers
	enough, calm := make(chan struct{}), make(chan struct{})
	var working, producing sync.WaitGroup
	t.Cleanup(func() { // the context of the test has ended, and with it whatever runs
		working.Wait()
		producing.Wait()
	})
	for range workers {
		working.Go(func() { th.work(deaths, calm) })
	}
	producing.Go(func() { th.produce(enough) })
	th.await("all kills", 3*time.Minute, func() bool { return th.left.Load() == 0 })
	th.await("enough jobs", 3*time.Minute, func() bool { return len(readLedger(t, th.dir).accepted) >= *jobs })
	close(enough)
	producing.Wait()
	th.await("an empty store", 2*time.Minute, func() bool { return th.empty(st) })
	close(calm)
	working.Wait()
	if t.Failed() {
		return
	}
	th.count(st)
	t.Logf("took %v", time.Since(began).Round(time.Millisecond))
}

// plan shuffles the deaths of workers. The empty point is any moment.
func (th *theatre) plan() chan string {
	var points []string
	for range *rounds {
		points = append(points, workerPoints...)
		points = append(points, "", "")
	}
	th.rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	deaths := make(chan string, len(points)) // all of them: its length is what is left
	for _, p := range points {
		deaths <- p
	}
	return deaths
}

// work runs one worker after the other, each until its death, and then one that
// lives until all is calm.
func (th *theatre) work(deaths <-chan string, calm <-chan struct{}) {
	for th.Context().Err() == nil {
		select {
		case point := <-deaths:
			if point == "" {
				th.killWithin(1200 * time.Millisecond)
			} else {
				th.killAt(spec{Role: worker, Point: point, Nth: 1 + th.random(30)})
			}
			th.left.Add(-1)
		default:
			if th.left.Load() == 0 {
				c := th.start(spec{Role: worker})
				th.last.Add(1)
				th.finish(c, calm, func() { c.Process.Signal(syscall.SIGTERM) })
				return
			}
			// Others wait for their point, and may come to it only in place of this one.
			th.killWithin(4 * time.Second)
		}
	}
}

// produce kills producers while they push, and lets the last one push on until
// there is enough.
func (th *theatre) produce(enough <-chan struct{}) {
	for range *rounds {
		th.killAt(spec{Role: producer, Point: crashpoint.DuringPush, Nth: 20 + th.random(100)})
		th.left.Add(-1)
	}
	c := th.start(spec{Role: producer})
	th.finish(c, enough, func() { c.stdin.Close() })
}

// finish tells c to stop when it is time, which then has to end well.
func (th *theatre) finish(c *child, when <-chan struct{}, stop func()) {
	select {
	case <-when:
		stop()
	case <-c.exited:
	}
	<-c.exited
	if th.Context().Err() == nil && !c.ProcessState.Success() {
		th.Errorf("%s %d: %v\n%s", c.role, c.Process.Pid, c.ProcessState, c.tail())
	}
}

// killWithin kills a worker at any moment of that time.
func (th *theatre) killWithin(d time.Duration) {
	c := th.start(spec{Role: worker})
	select {
	case <-time.After(time.Duration(th.random(int64(d)))):
		c.Process.Kill()
	case <-c.exited: // by itself, which died finds out
	}
	th.died(c, "any moment")
}

// killAt runs processes until one dies at its point. One that does not come to it
// soon may be waiting for another's place, and that one for its.
func (th *theatre) killAt(s spec) {
	switch s.Point {
	case crashpoint.DuringRescue, crashpoint.DuringPromotion, crashpoint.DuringRequeue, crashpoint.FetchWaiting:
		s.Nth = 1 + th.random(2) // they are rarer
	}
	for tries := 0; th.Context().Err() == nil; tries++ {
		c := th.start(s)
		if s.Point == crashpoint.DuringRequeue { // which is what a stop does, if anything runs
			if th.stop(c); c.ProcessState.Success() {
				continue
			}
		}
		select {
		case <-c.exited:
			th.died(c, s.Point)
			return
		case <-time.After(reach):
			c.Process.Kill()
			th.died(c, "any moment")
		}
		if tries == 10 {
			th.Errorf("%s %d did not come to %s, as %d others before\n%s", s.Role, c.Process.Pid, s.Point, tries, c.tail())
			return
		}
	}
}

// stop tells c to stop when it has begun jobs, and waits for its end.
func (th *theatre) stop(c *child) {
	th.within(10*reach, fmt.Sprint("job in process ", c.Process.Pid), func() bool {
		info, err := os.Stat(filepath.Join(th.dir, pagesOf(c.Process.Pid)))
		return err == nil && info.Size() > 0
	})
	<-time.After(time.Duration(th.random(int64(200 * time.Millisecond))))
	c.Process.Signal(syscall.SIGTERM)
	<-c.exited
}

// died waits for the end of a child and notes it.
func (th *theatre) died(c *child, point string) {
	<-c.exited
	if th.Context().Err() != nil {
		return
	}
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		th.Errorf("process %d, to be killed at %s: %v\n%s", c.Process.Pid, point, c.ProcessState, c.tail())
	}
	th.mu.Lock()
	defer th.mu.Unlock()
	th.kills[point]++
	if c.role == worker {
		th.killed[c.Process.Pid] = true
	}
}

// dead is how many have died.
func (th *theatre) dead() (n int) {
	th.mu.Lock()
	defer th.mu.Unlock()
	for _, kills := range th.kills {
		n += kills
	}
	return n
}

func (th *theatre) random(n int64) int64 {
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.rng.Int64N(n)
}

// tail is the last that c logged.
func (c *child) tail() string {
	log, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(string(log), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "")
}

// child is a process that the parent may kill.
type child struct {
	*exec.Cmd
	role   role
	stdin  io.Closer
	log    string // the file that it logs to
	exited chan struct{}
}

func (th *theatre) start(s spec) *child {
	s.URL, s.Dir = th.url, th.dir
	v, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	log, err := os.CreateTemp(th.ArtifactDir(), string(s.Role)+"-*.log")
	if err != nil {
		panic(err)
	}
	defer log.Close()
	c := &child{Cmd: exec.CommandContext(th.Context(), os.Args[0]), role: s.Role, log: log.Name(), exited: make(chan struct{})}
	// The race detector keeps a process for a second after its end, as nothing real does.
	c.Env = append(os.Environ(), variable+"="+string(v), "GORACE=atexit_sleep_ms=0")
	c.Stdout, c.Stderr = log, log
	if c.stdin, err = c.StdinPipe(); err != nil {
		panic(err)
	}
	if err := c.Start(); err != nil {
		panic(err)
	}
	go func() {
		c.Wait()
		close(c.exited)
	}()
	return c
}

// await ends the test unless it is ok in time.
func (th *theatre) await(what string, limit time.Duration, ok func() bool) {
	th.Helper()
	if !th.within(limit, what, ok) {
		th.FailNow()
	}
}

// within polls until ok, and reports whether it was in time.
func (th *theatre) within(limit time.Duration, what string, ok func() bool) bool {
	th.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(50 * time.Millisecond) {
		if th.Context().Err() != nil {
			return false
		}
		if time.Now().After(deadline) {
			th.Errorf("no %s after %v", what, limit)
			return false
		}
	}
	return true
}

// empty reports whether all jobs are done, all who died are known to have, and those
// who live on are there: one that has only just been started would die of a TERM.
func (th *theatre) empty(st store.Store) bool {
	stats, err := st.Stats(th.Context())
	if err != nil {
		th.Fatal(err)
	}
	processes, err := st.Processes(th.Context())
	if err != nil {
		th.Fatal(err)
	}
	th.mu.Lock()
	defer th.mu.Unlock()
	for _, p := range processes {
		if th.killed[p.PID] {
			return false
		}
	}
	return stats.Ready+stats.Held+stats.Scheduled+stats.Retrying == 0 && len(processes) == workers && th.last.Load() == workers
}

// count settles the ledger and the books.
func (th *theatre) count(st store.Store) {
	l := readLedger(th.T, th.dir)
	var stops []store.StopReport
	for stop, err := range st.Stops(th.Context()) {
		if err != nil {
			th.Fatal(err)
		}
		stops = append(stops, stop)
	}
	twice, doneTwice := l.settle(th.T, th.killed, stops)
	stats, err := st.Stats(th.Context())
	if err != nil {
		th.Fatal(err)
	}
	for _, point := range append(workerPoints, crashpoint.DuringPush) {
		if th.kills[point] < *rounds {
			th.Errorf("%d kills at %s, want %d", th.kills[point], point, *rounds)
		}
	}
	var b store.Books // there is but one queue
	for _, b = range stats.Books {
		if b.Custody() != 0 || b.Arrivals() != 0 && !b.Shared {
			th.Errorf("books of %q are off by %d in custody and %d in arrivals: %+v", b.Queue, b.Custody(), b.Arrivals(), b)
		}
	}
	if n := int64(len(l.done)); b.Done != n || b.Accepted != n {
		th.Errorf("the books have %d accepted and %d done, the ledger has %d done", b.Accepted, b.Done, n)
	}
	th.Logf("%d kills: %v", th.dead(), th.kills)
	th.Logf("%d jobs accepted, %d more of which no answer came back, %d done, 0 lost, %d rescued",
		len(l.accepted), len(l.done)-len(l.accepted), len(l.done), b.Rescued)
	th.Attr("run-twice", fmt.Sprintf("%d jobs of %d in %d kills: each was held by a process when that was killed, and %d had been done before their ack was in",
		twice, len(l.done), th.dead(), doneTwice))
}
