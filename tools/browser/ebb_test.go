//go:build ui

package browser

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is ebb as it is built for people; EBB_TEST_PROGRAM names one that is built
// already.
var program = sync.OnceValues(func() (string, error) {
	if file := os.Getenv("EBB_TEST_PROGRAM"); file != "" {
		return file, nil
	}
	file := filepath.Join(scratch, "ebb")
	cmd := exec.Command("go", "build", "-o", file, "./cmd/ebb")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return file, nil
})

// ebbCommand is a command of it, for a store.
func ebbCommand(t testing.TB, store string, args ...string) *exec.Cmd {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(file, args...)
	cmd.Env = append(os.Environ(), "EBB_STORE="+store, "NO_COLOR=1")
	return cmd
}

// run runs a command to its end and returns what it prints.
func run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args[1:], err, &stderr)
	}
	return string(out)
}

// child is a process that lasts.
type child struct {
	testing.TB
	*exec.Cmd
	stdout io.Reader
	stderr *os.File // all that it has said
	ended  chan struct{}
}

// start starts a command, which ends with the test.
func start(t testing.TB, cmd *exec.Cmd) *child {
	t.Helper()
	stderr, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	stdout, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, stderr
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t, cmd, stdout, stderr, make(chan struct{})}
	go func() {
		cmd.Wait()
		close(c.ended)
	}()
	t.Cleanup(func() {
		c.end(syscall.SIGKILL)
		stdout.Close()
		stderr.Close()
	})
	return c
}

// end ends the process by a signal, and waits.
func (c *child) end(by syscall.Signal) {
	c.Helper()
	c.Process.Signal(by) // one that has ended already has
	select {
	case <-c.ended:
	case <-time.After(time.Minute):
		c.Fatalf("%v has not ended by %v", c.Args, by)
	}
}

// said is what it has printed of itself.
func (c *child) said() string {
	text, err := os.ReadFile(c.stderr.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// site is ebb web, as it answers.
type site struct {
	*child
	root string // without a slash at its end
}

// serve serves the pages of a store at a free port.
func serve(t testing.TB, store string, flags ...string) *site {
	t.Helper()
	return serveAt(t, "127.0.0.1:0", store, flags...)
}

func serveAt(t testing.TB, address, store string, flags ...string) *site {
	t.Helper()
	c := start(t, ebbCommand(t, store, append([]string{"web", "--listen", address}, flags...)...))
	line, err := bufio.NewReader(c.stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("ebb web does not answer: %v\n%s", err, c.said())
	}
	return &site{c, strings.TrimSuffix(strings.TrimSpace(line), "/")}
}

// address is where it answers, for another to take its place.
func (s *site) address() string {
	u, _ := url.Parse(s.root)
	return u.Host
}

// proxy is a server between browsers and a site, which takes prefix away and counts
// the streams that are open.
type proxy struct {
	root string
	mu   sync.Mutex
	open map[*http.Request]bool
	most int
}

func newProxy(t testing.TB, s *site, prefix string) *proxy {
	t.Helper()
	target, err := url.Parse(s.root)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{open: map[*http.Request]bool{}}
	forward := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			if prefix != "" {
				r.Out.Header.Set("X-Forwarded-Prefix", prefix)
			}
		},
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.StripPrefix(prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" && strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			p.count(r, true)
			defer p.count(r, false)
		}
		forward.ServeHTTP(w, r)
	}))}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(socket) })
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	p.root = "http://" + socket.Addr().String() + prefix
	return p
}

func (p *proxy) count(r *http.Request, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delete(p.open, r); open {
		p.open[r] = true
	}
	p.most = max(p.most, len(p.open))
}

// streams are how many are open, and how many were at once.
func (p *proxy) streams() (now, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open), p.most
}

// get asks as a program does, and returns the answer whole.
func get(t testing.TB, address string) (*http.Response, []byte) {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return answer, body
}
