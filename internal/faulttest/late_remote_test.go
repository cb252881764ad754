package faulttest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

// remote is a worker in an operating system's process of its own: this test binary,
// which may be frozen, cut off and killed.
type remote struct {
	*site
	*exec.Cmd
	orders io.WriteCloser // its post, and then a cue in each line
	said   *journal       // what its jobs said, a line of JSON each
	log    *journal
	exited chan struct{}
}

// marked tells the test binary that it is a remote.
const marked = "EBB_FAULTTEST_REMOTE"

// post is what a remote is to do.
type post struct {
	URL         string
	Queues      []string
	Concurrency int // 0: enough for all
	Lease       ebb.LeaseConfig
}

// scene is a job that ends in some way when it gets its cue.
type scene struct {
	Until cue
	Ends  ending
}

type ending string

const (
	endsWell    ending = "well"
	endsSaved   ending = "well, with a checkpoint"
	endsFailed  ending = "failed"
	endsBuried  ending = "buried"
	endsSnoozed ending = "snoozed"
	endsTold    ending = "when its context does" // without a cue
)

var play = ebb.Define[scene]("Scene")

// line is what a job says of a run.
type line struct {
	At    time.Time
	JID   string
	What  string // begun, told (that its context has ended), saved, returned
	Cause string `json:",omitempty"` // told: of that; saved: the error
	Again bool   `json:",omitempty"` // begun: after an interruption
}

// Of the process that is the remote.

// asRemote does not return in a process that is a remote.
func asRemote() {
	if os.Getenv(marked) == "" {
		return
	}
	if err := perform(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// perform is the main of a remote. It ends with TERM, and with its standard input,
// as when the test binary is gone.
func perform() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	in := bufio.NewScanner(os.Stdin)
	var p post
	if !in.Scan() {
		return in.Err()
	}
	if err := json.Unmarshal(in.Bytes(), &p); err != nil {
		return err
	}
	e := &ensemble{}
	go func() {
		for in.Scan() {
			close(e.cue(cue(in.Text())))
		}
		cancel()
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	client, err := ebb.Open(ctx, p.URL, ebb.WithLogger(log))
	if err != nil {
		return err
	}
	defer client.Close()
	w := ebb.NewProcess(client, ebb.Config{
		Queues: p.Queues, Concurrency: p.Concurrency, Lease: p.Lease,
		Stop: ebb.StopConfig{Grace: 20 * time.Second}, Socket: ebb.NoSocket, Logger: log,
	})
	play.Handle(w, e.play)
	return w.Run(ctx)
}

// ensemble is what the jobs of one process share.
type ensemble struct {
	mu   sync.Mutex
	cues map[cue]chan struct{}
}

func (e *ensemble) cue(c cue) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cues == nil {
		e.cues = map[cue]chan struct{}{}
	}
	if e.cues[c] == nil {
		e.cues[c] = make(chan struct{})
		if c == none {
			close(e.cues[c])
		}
	}
	return e.cues[c]
}

func (e *ensemble) say(l line) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.At = time.Now()
	if err := json.NewEncoder(os.Stdout).Encode(l); err != nil {
		panic(err)
	}
}

func (e *ensemble) play(ctx context.Context, s scene) error {
	info := ebb.Info(ctx)
	e.say(line{JID: info.JID, What: "begun", Again: info.Interruptions > 0})
	told := func() { e.say(line{JID: info.JID, What: "told", Cause: context.Cause(ctx).Error()}) }
	unheard := context.AfterFunc(ctx, told)
	defer func() {
		if unheard() && ctx.Err() != nil {
			told() // the handler heard it first
		}
		e.say(line{JID: info.JID, What: "returned"})
	}()
	var end <-chan struct{}
	if s.Ends == endsTold {
		end = ctx.Done()
	}
	select {
	case <-e.cue(s.Until):
	case <-end:
		return ctx.Err()
	}
	if info.Interruptions > 0 {
		return nil
	}
	switch s.Ends {
	case endsSaved:
		l := line{JID: info.JID, What: "saved"}
		if err := ebb.CheckpointNow(ctx, 1); err != nil {
			l.Cause = err.Error()
		}
		e.say(l)
		return nil
	case endsFailed:
		return errors.New("the first time")
	case endsBuried:
		return ebb.Bury(errors.New("no good"))
	case endsSnoozed:
		return ebb.Snooze(time.Hour)
	default:
		return nil
	}
}

// Of the test.

// remote starts a worker in a process of its own, and returns once it is registered.
// It is killed when the test ends, unless it has stopped before.
func (s *site) remote(p post) *remote {
	s.Helper()
	r, err := s.launch(nil)
	s.must(err)
	r.begin(p)
	return r
}

// launch starts a process that waits for its post.
func (s *site) launch(attr *syscall.SysProcAttr) (*remote, error) {
	s.Helper()
	r := &remote{site: s, Cmd: exec.Command(os.Args[0]), said: &journal{}, log: &journal{}, exited: make(chan struct{})}
	// The race detector keeps a process for a second after its end, as nothing real does.
	r.Env = append(os.Environ(), marked+"=1", "GORACE=atexit_sleep_ms=0")
	r.Stdout, r.Stderr, r.SysProcAttr = r.said, r.log, attr
	var err error
	if r.orders, err = r.StdinPipe(); err != nil {
		return nil, err
	}
	if err := r.Start(); err != nil {
		return nil, err
	}
	go func() { r.Wait(); close(r.exited) }()
	s.Cleanup(func() {
		r.Process.Kill()
		<-r.exited
		if s.Failed() {
			s.Logf("process %d logged:\n%s\nand its jobs said:\n%s", r.Process.Pid, r.log, r.said)
		}
	})
	return r, nil
}

// begin lets it work, and returns once it is registered.
func (r *remote) begin(p post) {
	r.Helper()
	if p.URL == "" {
		p.URL = r.url
	}
	if p.Concurrency == 0 {
		p.Concurrency = 20
	}
	text, err := json.Marshal(p)
	r.must(err)
	r.order(string(text))
	r.await("registered process", func() bool { return r.record().ID != "" })
}

func (r *remote) order(text string) {
	r.Helper()
	_, err := io.WriteString(r.orders, text+"\n")
	r.must(err)
}

func (r *remote) give(c cue) { r.Helper(); r.order(string(c)) }

// record is what the store shows of it; empty: nothing.
func (r *remote) record() store.Process {
	r.Helper()
	processes, err := r.client.Store().Processes(r.Context())
	r.must(err)
	for _, p := range processes {
		if p.PID == r.Process.Pid {
			return p
		}
	}
	return store.Process{}
}

// freeze stops the whole process, and returns when it is.
func (r *remote) freeze() {
	r.Helper()
	r.must(r.Process.Signal(syscall.SIGSTOP))
	var status syscall.WaitStatus
	_, err := syscall.Wait4(r.Process.Pid, &status, syscall.WUNTRACED, nil)
	r.must(err)
	if !status.Stopped() {
		r.Fatalf("process %d is not frozen: %v", r.Process.Pid, status)
	}
}

func (r *remote) thaw() {
	r.Helper()
	r.must(r.Process.Signal(syscall.SIGCONT))
}

// stop ends it with a TERM, which it has to obey.
func (r *remote) stop() {
	r.Helper()
	r.must(r.Process.Signal(syscall.SIGTERM))
	select {
	case <-r.exited:
	case <-time.After(soon):
		r.Fatalf("process %d does not end", r.Process.Pid)
	}
	if !r.ProcessState.Success() {
		r.Errorf("process %d ended with %v", r.Process.Pid, r.ProcessState)
	}
}

// lines are those that its jobs said of what.
func (r *remote) lines(what string) (lines []line) {
	r.Helper()
	for text := range strings.Lines(r.said.String()) {
		if !strings.HasSuffix(text, "\n") {
			break // on its way
		}
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			r.Fatalf("%q: %v", text, err)
		}
		if l.What == what {
			lines = append(lines, l)
		}
	}
	return lines
}

// of is the last line that a job said of what.
func (r *remote) of(jid, what string) (l line, said bool) {
	r.Helper()
	for _, l := range slices.Backward(r.lines(what)) {
		if l.JID == jid {
			return l, true
		}
	}
	return l, false
}

// hears waits until n lines of what were said.
func (r *remote) hears(n int, what string) {
	r.Helper()
	r.await(fmt.Sprintf("%d jobs in process %d that have %s", n, r.Process.Pid, what), func() bool { return len(r.lines(what)) >= n })
}
