package control

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a process that does what it is told, at once.
type fake struct {
	mu      sync.Mutex
	machine *lifecycle.Machine
	heard   []lifecycle.Event
	refuse  error
	stopped func() // called within a Stop
}

func newFake(t *testing.T) *fake {
	t.Helper()
	m, err := lifecycle.New(lifecycle.Config{Grace: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return &fake{machine: m}
}

var began = time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)

func (f *fake) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Status{
		ID: "web1:17:abc", PID: 17, State: f.machine.State().String(), Why: f.machine.Why(),
		Grace: f.machine.Grace(), Deadlines: f.machine.Deadlines(),
		Busy: []store.Run{{Slot: "1", JID: "9be0", Kind: "Report", Queue: "low", Since: began}},
	}
}

func (f *fake) Notice(e lifecycle.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	f.heard = append(f.heard, e)
	f.machine.On(e, time.Now())
	if f.stopped != nil && e.Kind == lifecycle.Stop {
		f.stopped()
	}
	return nil
}

func (f *fake) Dump() string { return "1 job runs\ngoroutine 1 [running]:\n" }

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

func listen(t *testing.T, dirs ...string) *Server {
	t.Helper()
	s, err := Listen(os.Getpid(), dirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// run serves p until the test ends, or stop is called.
func run(t *testing.T, s *Server, p Process) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx, p, slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func connect(t *testing.T, s *Server) *Client {
	t.Helper()
	c, err := Dial(t.Context(), s.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestClientAndServer(t *testing.T) {
	t.Parallel()
	p := newFake(t)
	s := listen(t, folder(t))
	run(t, s, p)
	c := connect(t, s)
	ctx := t.Context()

	got, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := Status{ID: "web1:17:abc", PID: 17, State: "running", Grace: 30 * time.Second,
		Busy: []store.Run{{Slot: "1", JID: "9be0", Kind: "Report", Queue: "low", Since: began}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got)\n%s", diff)
	}

	kill := time.Now().Add(time.Hour)
	for _, step := range []struct {
		name  string
		do    func() (Status, error)
		state string
		why   string
		kill  time.Time
	}{
		{"quiet", func() (Status, error) { return c.Quiet(ctx, Notice{}) }, "quiet", "quiet command", time.Time{}},
		{"resume", func() (Status, error) { return c.Resume(ctx) }, "running", "", time.Time{}},
		{"quiet with an hour", func() (Status, error) { return c.Quiet(ctx, Notice{Kill: kill, Why: "preStop"}) }, "quiet", "preStop", kill},
		{"stop", func() (Status, error) { return c.Stop(ctx, Notice{}) }, "draining", "stop command", kill},
		{"an hour for a draining process", func() (Status, error) { return c.Quiet(ctx, Notice{Kill: kill.Add(-time.Minute)}) },
			"draining", "stop command", kill.Add(-time.Minute)},
		{"a later one", func() (Status, error) { return c.Stop(ctx, Notice{Kill: kill}) }, "draining", "stop command", kill.Add(-time.Minute)},
	} {
		got, err := step.do()
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got.State != step.state || got.Why != step.why {
			t.Errorf("%s: %s because of %q, want %s because of %q", step.name, got.State, got.Why, step.state, step.why)
		}
		if off := got.Deadlines.Kill.Sub(step.kill).Abs(); step.kill.IsZero() != got.Deadlines.Kill.IsZero() || off > time.Second {
			t.Errorf("%s: KILL at %v, want %v", step.name, got.Deadlines.Kill, step.kill)
		}
	}

	dump, err := c.Dump(ctx)
	if err != nil || dump != p.Dump() {
		t.Errorf("dump: %q, %v", dump, err)
	}

	p.mu.Lock()
	p.refuse = errors.New("not now")
	p.mu.Unlock()
	_, err = c.Stop(ctx, Notice{})
	if refused, ok := errors.AsType[*Refused](err); !ok || refused.Reason != "not now" {
		t.Errorf("a process that refuses: %v", err)
	}
	if _, err := c.Status(ctx); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	s := listen(t, folder(t))
	p := newFake(t)
	run(t, s, p)
	for _, c := range []struct{ name, line, want string }{
		{"not JSON", "status", "request is not one JSON object"},
		{"a number", "1", "request is not one JSON object"},
		{"nothing asked", "{}", `\"\" is no request: ask for status, quiet`},
		{"unknown", `{"do":"kill"}`, `\"kill\" is no request: ask for status, quiet`},
		{"an hour for a dump", `{"do":"dump","kill_in":1}`, "kill_in goes with quiet or stop"},
		{"an hour for resume", `{"do":"resume","kill_in":1}`, "kill_in goes with quiet or stop"},
		{"a line without end", `{"do":"status","why":"` + strings.Repeat("x", maxRequest) + `"}`, "longer than 4096 bytes"},
		{"an unknown field", `{"do":"status","later":1}`, `"state":"running"`},
		{"an hour beyond reckoning", `{"do":"quiet","kill_in":1e300}`, `"state":"quiet"`},
		{"one long gone", `{"do":"stop","kill_in":-1e300}`, `"state":"stopped"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("unix", s.Path())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := conn.Write([]byte(c.line + "\n")); err != nil {
				t.Fatal(err)
			}
			got, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.Contains(got, c.want) {
				t.Errorf("answer %q, %v; want %q in it", got, err, c.want)
			}
		})
	}
}

func TestOnlyItsUserAndRootCommand(t *testing.T) {
	t.Parallel()
	known := func(uid int) func(*net.UnixConn) (int, bool, error) {
		return func(*net.UnixConn) (int, bool, error) { return uid, true, nil }
	}
	unknown := func(*net.UnixConn) (int, bool, error) { return 0, false, nil }
	fails := func(*net.UnixConn) (int, bool, error) { return 0, false, errors.New("no credentials") }
	cases := []struct {
		name           string
		caller, server func(*net.UnixConn) (int, bool, error) // as the other side sees them
		self           int                                    // the caller, as it sees itself
		want           string                                 // in the error
	}{
		{"the same user", known(1000), known(1000), 1000, ""},
		{"root", known(0), known(1000), 0, ""},
		{"another user", known(1001), known(1000), 0, "user 1001 may not command a process of user 1000"},
		{"a server that is root", known(1000), known(0), 1000, ""},
		{"somebody else's socket", known(1000), known(1001), 1000, "belongs to user 1001"},
		{"a system that does not tell", unknown, unknown, 1000, ""},
		{"a system that fails to tell the server", fails, known(1000), 1000, "no credentials"},
		{"a system that fails to tell the caller", known(1000), fails, 1000, "no credentials"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newFake(t)
			s := listen(t, folder(t))
			s.uid, s.peer = 1000, c.caller
			run(t, s, p)
			client, err := dial(t.Context(), s.Path(), c.server, c.self)
			if err == nil {
				defer client.Close()
				_, err = client.Quiet(t.Context(), Notice{})
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if heard := p.Status().State == "quiet"; heard != (c.want == "") {
				t.Errorf("the process heard of it: %v", heard)
			}
		})
	}
}

func TestEndOfRun(t *testing.T) {
	t.Parallel()

	t.Run("removes the file and ends silent connections", func(t *testing.T) {
		t.Parallel()
		s := listen(t, folder(t))
		stop := run(t, s, newFake(t))
		c := connect(t, s)
		if _, err := c.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop() // would hang until the connection's patience ends
		if _, err := os.Lstat(s.Path()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket file: %v", err)
		}
		if _, err := c.Status(t.Context()); err == nil {
			t.Error("a status from a process that is gone")
		}
		if err := s.Close(); err != nil {
			t.Errorf("close afterwards: %v", err)
		}
	})

	t.Run("lets the answer to a stop go out", func(t *testing.T) {
		t.Parallel()
		p := newFake(t)
		s := listen(t, folder(t))
		ctx, cancel := context.WithCancel(t.Context())
		p.stopped = cancel
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx, p, slog.New(slog.DiscardHandler)) })
		defer wg.Wait()
		got, err := connect(t, s).Stop(t.Context(), Notice{})
		if err != nil || got.State != "draining" {
			t.Errorf("%v, %v", got.State, err)
		}
	})

	t.Run("closed from under it is an error", func(t *testing.T) {
		t.Parallel()
		s := listen(t, folder(t))
		s.Close()
		if err := s.Run(t.Context(), newFake(t), nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	s := listen(t, folder(t)) // nobody serves it, so nobody answers
	c := connect(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestDirs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"none set", nil, []string{"/run/ebb", os.TempDir()}},
		{"both set", map[string]string{"XDG_RUNTIME_DIR": "/run/user/7", "TMPDIR": "/scratch"}, []string{"/run/ebb", "/run/user/7", "/scratch"}},
		{"relative ones", map[string]string{"XDG_RUNTIME_DIR": "run", "TMPDIR": "."}, []string{"/run/ebb", os.TempDir()}},
	} {
		if diff := cmp.Diff(c.want, Dirs(func(k string) string { return c.env[k] })); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
	}
}

func TestListenTakesTheFirstFolderThatWorks(t *testing.T) {
	t.Parallel()
	good, other := folder(t), folder(t)
	s := listen(t, filepath.Join(good, "missing"), good, other)
	if got := filepath.Dir(s.Path()); got != good {
		t.Errorf("socket in %s, want %s", got, good)
	}
	info, err := os.Lstat(s.Path())
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	second := listen(t, good)
	if second.Path() == s.Path() {
		t.Errorf("two sockets at %s", s.Path())
	}
}

func TestListenRemovesWhatTheKilledLeft(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), "a[b]*")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	abandon := func(name string, made time.Time) string {
		path := filepath.Join(dir, name)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false) // as KILL leaves it
		l.Close()
		if err := os.Chtimes(path, made, made); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dead := abandon("ebb-1-aaaaaa.sock", long)
	young := abandon("ebb-1-bbbbbb.sock", time.Now())
	foreign := abandon("other.sock", long)
	file := filepath.Join(dir, "ebb-1-cccccc.sock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(file, long, long)
	living := listen(t, dir)
	os.Chtimes(living.Path(), long, long)

	listen(t, dir)
	for path, stays := range map[string]bool{dead: false, young: true, foreign: true, file: true, living.Path(): true} {
		if _, err := os.Lstat(path); (err == nil) != stays {
			t.Errorf("%s stays: %v, want %v", filepath.Base(path), err == nil, stays)
		}
	}
}
