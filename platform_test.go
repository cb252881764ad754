package ebb

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store/memstore"
)

// systemd listens as the service manager does, and finds the next message that begins
// with a word.
func systemd(t *testing.T) (next func(prefix string) string) {
	t.Helper()
	address := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	var lines []string // of the last datagram, as far as they are news
	return func(prefix string) string {
		t.Helper()
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		datagram := make([]byte, 4096)
		for {
			for i, line := range lines {
				if strings.HasPrefix(line, prefix) {
					lines = lines[i+1:]
					return line
				}
			}
			n, err := conn.Read(datagram)
			if err != nil {
				t.Fatalf("systemd was not told %s: %v", prefix, err)
			}
			lines = strings.Split(string(datagram[:n]), "\n")
		}
	}
}

func TestSystemdIsTold(t *testing.T) {
	told := systemd(t)
	process := NewProcess(NewClient(memstore.New(memstore.Options{})), discarding(Config{Socket: NoSocket, Stop: StopConfig{Grace: time.Minute}}))
	begun, finish := make(chan struct{}), make(chan struct{})
	numberJob.Handle(process, func(context.Context, digit) error { close(begun); <-finish; return nil })
	if _, err := numberJob.Enqueue(t.Context(), process.client, digit{1}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- process.Run(ctx) }()
	told("READY=1")
	<-begun
	if got := told("STATUS=running, 1"); got != "STATUS=running, 1 job runs" {
		t.Error(got)
	}
	stop()
	told("STOPPING=1")
	if got := told("EXTEND"); got != "EXTEND_TIMEOUT_USEC=30000000" {
		t.Error(got)
	}
	close(finish)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A task is protected before its first job begins, and not any more after the end.
func TestATaskIsProtected(t *testing.T) {
	protected := make(chan bool, 10)
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		on := strings.Contains(string(body), "true")
		protected <- on
		fmt.Fprintf(w, `{"protection":{"ExpirationDate":null,"ProtectionEnabled":%v,"TaskArn":"t"}}`, on)
	}))
	defer agent.Close()
	t.Setenv("ECS_AGENT_URI", agent.URL)
	process := NewProcess(NewClient(memstore.New(memstore.Options{})), discarding(Config{Platform: PlatformConfig{Protect: ProtectECS}}))
	numberJob.Handle(process, func(context.Context, digit) error {
		select {
		case on := <-protected:
			if !on {
				t.Error("the job has begun without protection")
			}
		default:
			t.Error("the job has begun before the agent was asked")
		}
		return nil
	})
	if _, err := numberJob.Enqueue(t.Context(), process.client, digit{1}); err != nil {
		t.Fatal(err)
	}
	if err := process.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitStats(t, process.client, func(done int64) bool { return done == 1 })
	if _, err := process.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if on := <-protected; on {
		t.Error("the task is protected after the end")
	}
}

func awaitStats(t *testing.T, c *Client, ok func(done int64) bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stats, err := c.store.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ok(stats.Processed) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("stats are %+v", stats)
		}
	}
}

// What is asked of a handler from before the start until after the end.
func TestHandler(t *testing.T) {
	process := NewProcess(NewClient(memstore.New(memstore.Options{})), discarding(Config{Stop: StopConfig{Grace: time.Minute}}))
	server := httptest.NewServer(http.StripPrefix("/ebb", process.Handler()))
	defer server.Close()
	ask := func(path string, want int, text string) {
		t.Helper()
		r, err := server.Client().Get(server.URL + "/ebb" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		if r.StatusCode != want || !strings.Contains(string(body), text) {
			t.Errorf("%s: %s %s, want %d with %q", path, r.Status, body, want, text)
		}
	}
	ask("/live", 200, "not started")
	ask("/ready", 503, "not started")
	ask("/status", 503, "not started")
	ask("/drain", 503, "not started")
	if err := process.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask("/live", 200, "running")
	ask("/ready", 200, "running")
	ask("/status", 200, `"state":"running"`)
	ask("/drain", 200, `"state":"quiet"`)
	ask("/status", 200, `"kill":"2`) // the hour is known
	ask("/ready", 503, "quiet")
	process.Resume()
	for deadline := time.Now().Add(30 * time.Second); process.runner.Status().State != "running" && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	ask("/ready", 200, "running")
	if _, err := process.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask("/live", 200, "stopped")
	ask("/ready", 503, "stopped")
	ask("/drain", 200, `"state":"stopped"`)
}
