package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a process of which the test says how it does.
type fake struct {
	mu      sync.Mutex
	status  control.Status
	hangs   chan struct{} // Notice waits for it; nil: it does not
	started chan struct{}
}

func newFake() *fake {
	return &fake{status: control.Status{State: "running"}, started: make(chan struct{})}
}

func (f *fake) Started() <-chan struct{} { return f.started }

func (f *fake) Status() control.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fake) Notice(lifecycle.Event) error {
	f.mu.Lock()
	hangs := f.hangs
	f.mu.Unlock()
	if hangs != nil {
		<-hangs
		return errors.New("ended")
	}
	return nil
}

func (f *fake) set(state string, kill time.Time, jobs int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.State, f.status.Deadlines.Kill, f.status.Busy = state, kill, make([]store.Run, jobs)
}

// datagrams keeps what is sent, each message with the second in which it came.
type datagrams struct {
	mu    sync.Mutex
	began time.Time
	got   []string
	err   error
}

func (d *datagrams) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return 0, d.err
	}
	for line := range strings.SplitSeq(string(p), "\n") {
		d.got = append(d.got, fmt.Sprintf("%v %s", time.Since(d.began), line))
	}
	return len(p), nil
}

func (d *datagrams) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// take returns the messages whose text begins with one of the prefixes.
func (d *datagrams) take(prefixes ...string) (got []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range d.got {
		_, text, _ := strings.Cut(line, " ")
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(text, p) }) {
			got = append(got, line)
		}
	}
	return got
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// tell runs a notifier about f in a bubble, and ends it.
func tell(t *testing.T, f *fake, watchdog time.Duration, during func(*datagrams)) *datagrams {
	t.Helper()
	d := &datagrams{began: time.Now()}
	n := &Notifier{to: d, watchdog: watchdog, log: slog.New(slog.DiscardHandler)}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.Run(ctx, f)
	}()
	during(d)
	synctest.Wait()
	if f.hangs != nil {
		close(f.hangs)
	}
	end()
	<-ended
	return d
}

func TestAWholeLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := tell(t, f, 0, func(*datagrams) {
			time.Sleep(1500 * time.Millisecond)
			close(f.started)
			time.Sleep(time.Second)
			f.set("running", time.Time{}, 1)
			time.Sleep(2 * time.Second)
			f.set("quiet", time.Time{}, 1)
			time.Sleep(time.Second)
			f.set("draining", time.Now().Add(time.Minute), 1)
			time.Sleep(time.Second)
			f.set("stopped", time.Now().Add(time.Minute), 0)
			time.Sleep(time.Second)
		})
		want := []string{
			"1s STATUS=running, 0 jobs run", "1.5s READY=1", "3s STATUS=running, 1 job runs",
			"5s STATUS=quiet, 1 job runs", "6s STOPPING=1", "6s STATUS=draining, 1 job runs", "7s STATUS=stopped, 0 jobs run",
		}
		if diff := cmp.Diff(want, d.take("READY", "STOPPING", "STATUS")); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// What is asked for never reaches past the hour of the kill, and is asked for again
// well before the last extension is over.
func TestExtensions(t *testing.T) {
	for _, test := range []struct {
		name  string
		state string
		grace time.Duration // 0: no clock runs
		want  []string
	}{
		{"a long drain", "draining", 45 * time.Second, []string{
			"1s EXTEND_TIMEOUT_USEC=30000000", "11s EXTEND_TIMEOUT_USEC=30000000",
			"21s EXTEND_TIMEOUT_USEC=24000000", "31s EXTEND_TIMEOUT_USEC=14000000", "41s EXTEND_TIMEOUT_USEC=4000000",
		}},
		{"quiet, by a hook that knows the hour", "quiet", 8 * time.Second, []string{"1s EXTEND_TIMEOUT_USEC=7000000"}},
		{"quiet, with no hour", "quiet", 0, nil},
		{"running", "running", 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				var kill time.Time
				if test.grace > 0 {
					kill = time.Now().Add(test.grace)
				}
				f.set(test.state, kill, 1)
				d := tell(t, f, 0, func(*datagrams) { time.Sleep(time.Minute) })
				if diff := cmp.Diff(test.want, d.take("EXTEND")); diff != "" {
					t.Errorf("asked for (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A process whose event loop hangs is told of no more: its watchdog bites, and no
// time is asked for on its behalf.
func TestAProcessThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.set("draining", time.Now().Add(time.Hour), 1)
		d := tell(t, f, 7*time.Second, func(*datagrams) {
			time.Sleep(11500 * time.Millisecond)
			f.mu.Lock()
			f.hangs = make(chan struct{})
			f.mu.Unlock()
			time.Sleep(time.Minute)
		})
		want := []string{
			"1s EXTEND_TIMEOUT_USEC=30000000", "3.5s WATCHDOG=1", "7s WATCHDOG=1", "10.5s WATCHDOG=1", "11s EXTEND_TIMEOUT_USEC=30000000",
		}
		if diff := cmp.Diff(want, d.take("EXTEND", "WATCHDOG")); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestTheEndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := tell(t, f, 0, func(*datagrams) {}) // over within its first second
		if diff := cmp.Diff([]string{"0s STOPPING=1"}, d.take("STOPPING")); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// A socket that is away costs a line in the log for each change, and nothing else.
func TestNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		n := &Notifier{to: &datagrams{began: time.Now(), err: io.ErrClosedPipe}, log: slog.New(slog.NewTextHandler(&log, nil))}
		d := n.to.(*datagrams)
		ctx, end := context.WithCancel(t.Context())
		f := newFake()
		done := make(chan struct{})
		go func() { defer close(done); n.Run(ctx, f) }()
		for i := range 5 {
			time.Sleep(1100 * time.Millisecond)
			f.set("running", time.Time{}, i)
		}
		d.fail(nil)
		time.Sleep(2 * time.Second)
		end()
		<-done
		if got := strings.Count(log.String(), "\n"); got != 2 {
			t.Errorf("%d lines, want one for the failure and one for its end:\n%s", got, &log)
		}
	})
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		env      []string
		off      bool
		watchdog time.Duration
		wrong    bool
	}{
		{name: "not below systemd", off: true},
		{name: "a path", env: []string{"NOTIFY_SOCKET", "/run/systemd/notify"}},
		{name: "watched", env: []string{"NOTIFY_SOCKET", "@n", "WATCHDOG_USEC", "3000000", "WATCHDOG_PID", "17"}, watchdog: 3 * time.Second},
		{name: "watched, whoever it is", env: []string{"NOTIFY_SOCKET", "@n", "WATCHDOG_USEC", "3000000"}, watchdog: 3 * time.Second},
		{name: "another one is watched", env: []string{"NOTIFY_SOCKET", "@n", "WATCHDOG_USEC", "3000000", "WATCHDOG_PID", "18"}},
		{name: "no number", env: []string{"NOTIFY_SOCKET", "@n", "WATCHDOG_USEC", "soon"}},
		{name: "a socket of another kind", env: []string{"NOTIFY_SOCKET", "vsock:2:1234"}, wrong: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n, err := New(env(test.env...), 17, slog.New(slog.DiscardHandler))
			if (err != nil) != test.wrong || (n == nil) != (test.off || test.wrong) {
				t.Fatalf("%+v, %v", n, err)
			}
			if n != nil && n.watchdog != test.watchdog {
				t.Errorf("the watchdog is told every %v, want %v", n.watchdog, test.watchdog)
			}
		})
	}
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, address string }{
		{"path", filepath.Join(t.TempDir(), "n")},
		{"abstract", fmt.Sprintf("@ebb-notify-%d", os.Getpid())},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: test.address, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			n, err := New(env("NOTIFY_SOCKET", test.address), 17, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			n.send("STOPPING=1", "STATUS=draining")
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			datagram := make([]byte, 100)
			size, err := conn.Read(datagram)
			if got, want := string(datagram[:size]), "STOPPING=1\nSTATUS=draining"; err != nil || got != want {
				t.Errorf("received %q, %v, want %q", got, err, want)
			}
		})
	}
}
