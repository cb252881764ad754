package drain

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// worker is one of ebb's behind a control socket, which runs a job until that is told
// to end.
type worker struct {
	mu      sync.Mutex
	machine *lifecycle.Machine
	heard   []lifecycle.Event
	busy    bool
}

func (w *worker) Status() control.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := control.Status{ID: "web-1:7:abc", PID: 7, State: w.machine.State().String(), Deadlines: w.machine.Deadlines()}
	if w.busy {
		s.Busy = []store.Run{{JID: "019a", Kind: "Report", Since: time.Now()}}
	}
	return s
}

func (w *worker) Notice(e lifecycle.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = append(w.heard, e)
	w.machine.On(e, time.Now())
	return nil
}

func (w *worker) Dump() string { return "" }

// listenAt serves w in dir until the test ends, or end is called.
func listenAt(t *testing.T, dir string, w *worker) (path string, end func()) {
	t.Helper()
	machine, err := lifecycle.New(lifecycle.Config{Grace: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	w.machine = machine
	server, err := control.Listen(os.Getpid(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { server.Run(ctx, w, slog.New(slog.DiscardHandler)) })
	end = func() { cancel(); serving.Wait() }
	t.Cleanup(end)
	return server.Path(), end
}

// folder is short: sockets have little room for names.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ebb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A socket without a file is also seen from other containers with the same network.
func TestSocketOfAnotherContainer(t *testing.T) {
	t.Parallel()
	path, _ := listenAt(t, "/nonexistent", &worker{})
	if !strings.HasPrefix(path, "@") {
		t.Fatalf("it listens at %s", path)
	}
	unix, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := fstest.MapFS{"proc/net/unix": {Data: unix}} // this process is not of that system
	if found, err := (Search{Root: elsewhere}).Find(t.Context()); !errors.Is(err, ErrNothing) {
		t.Errorf("from another container it finds %+v, %v", found, err)
	}
	own, err := Search{Root: os.DirFS("/"), Sockets: []string{path}}.Find(t.Context())
	if err != nil || len(own) != 1 || own[0].PID != os.Getpid() {
		t.Errorf("from its own it finds %+v, %v", own, err)
	}
}

// A worker of ebb's is told the hour of the KILL with its quiet, runs on until its job
// has ended, and is told to stop.
func TestSocket(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	w := &worker{busy: true}
	_, end := listenAt(t, dir, w)
	found, err := Search{Dirs: []string{"/nonexistent", dir}, Root: system()}.Find(t.Context())
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	if found[0].Needs != 0 || found[0].Key != "web-1:7:abc" {
		t.Errorf("%+v", found[0])
	}
	var said diary
	began := time.Now()
	report, err := Drain(t.Context(), Options{Workers: found, Grace: time.Minute, Note: func(e Event) {
		said.note(e)
		if strings.HasPrefix(e.Text, "quiet") {
			time.AfterFunc(300*time.Millisecond, func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.busy = false
			})
		}
	}, Watch: func(Report) {
		w.mu.Lock()
		over := w.machine.State() == lifecycle.Draining
		w.mu.Unlock()
		if over {
			time.AfterFunc(0, end)
		}
	}})
	if err != nil || report.Outcome() != Drained || !report.Workers[0].State.Gone {
		t.Fatalf("%+v, %v; it said\n%s", report, err, said.String())
	}
	if !strings.Contains(said.String(), "quiet, 1 job runs") {
		t.Errorf("it said\n%s", said.String())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var kinds []lifecycle.Kind
	for _, e := range w.heard {
		kinds = append(kinds, e.Kind)
		if off := e.Kill.Sub(began.Add(time.Minute)).Abs(); off > 10*time.Second || e.Why != why {
			t.Errorf("told %v and %q, want %v", e.Kill, e.Why, began.Add(time.Minute))
		}
	}
	if diff := cmp.Diff([]lifecycle.Kind{lifecycle.Quiet, lifecycle.Stop}, kinds); diff != "" {
		t.Errorf("heard (-want +got)\n%s", diff)
	}
}

// A worker whose socket does not answer is one nonetheless, and is told by signal.
func TestDeafSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t), "ebb-7-abc.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	// The kernel says that it is ours, and that is the process of this test.
	found, err := Search{Sockets: []string{path}, Root: os.DirFS("/")}.Find(t.Context())
	if err != nil || len(found) != 1 || found[0].PID != os.Getpid() {
		t.Fatalf("%+v, %v", found, err)
	}
	l := found[0].Target.(*listening)
	var sent []syscall.Signal
	l.proc.send = func(s syscall.Signal) error { sent = append(sent, s); return nil }
	l.proc.root = system(proc{pid: os.Getpid(), catches: tstp | term, born: l.proc.born - 100})
	if err := l.Quiet(t.Context(), time.Time{}); err == nil || !strings.Contains(err.Error(), "by signal alone") {
		t.Errorf("quiet: %v", err)
	}
	if err := l.Term(t.Context(), time.Time{}); err != nil {
		t.Errorf("term: %v", err)
	}
	if diff := cmp.Diff([]syscall.Signal{syscall.SIGTSTP, syscall.SIGTERM}, sent); diff != "" {
		t.Errorf("sent (-want +got)\n%s", diff)
	}
	if s, err := l.State(t.Context()); err == nil {
		t.Errorf("it answered: %+v", s)
	}
	l.proc.send = func(syscall.Signal) error { return ErrPermission }
	if err := l.Quiet(t.Context(), time.Time{}); !errors.Is(err, ErrPermission) {
		t.Errorf("another user's: %v", err)
	}
}

// Another worker may listen where this one did.
func TestAnotherWorkerListens(t *testing.T) {
	t.Parallel()
	path, _ := listenAt(t, folder(t), &worker{})
	l := &listening{path: path, id: "web-1:7:before"}
	if s, err := l.State(t.Context()); err != nil || !s.Gone {
		t.Errorf("%+v, %v", s, err)
	}
	if err := l.Term(t.Context(), time.Time{}); err != nil {
		t.Error(err)
	}
}
