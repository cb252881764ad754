//go:build containers

package containertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// engine is a Docker daemon that nobody else uses.
type engine struct {
	dir    string
	daemon *exec.Cmd
	ended  chan struct{}
	log    bytes.Buffer
}

func TestMain(m *testing.M) {
	e, err := startEngine()
	if err != nil {
		fmt.Fprintln(os.Stderr, "containertest:", err)
		os.Exit(1)
	}
	host = e
	code := m.Run()
	if err := e.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "containertest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

var host *engine

// startEngine starts the daemon without a network of its own: containers have the
// host's, and reach its loopback.
func startEngine() (*engine, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("a Docker daemon is started, which only root may")
	}
	// Short, since a socket's path may have 107 bytes.
	dir, err := os.MkdirTemp("", "ebb-d")
	if err != nil {
		return nil, err
	}
	e := &engine{dir: dir, ended: make(chan struct{})}
	e.daemon = exec.Command("dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none",
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "-H", e.address())
	e.daemon.Stdout, e.daemon.Stderr = &e.log, &e.log
	// Of no process group that a ^C reaches: it is stopped in order, with all containers.
	e.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.daemon.Start(); err != nil {
		return nil, fmt.Errorf("%w\nhint: apt-get install docker.io runc", err)
	}
	go func() { e.daemon.Wait(); close(e.ended) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := e.docker(context.Background(), "version"); err == nil {
			return e, nil
		}
		select {
		case <-e.ended:
			return nil, fmt.Errorf("dockerd has ended:\n%s", &e.log)
		default:
		}
		if time.Now().After(deadline) {
			e.stop()
			return nil, fmt.Errorf("dockerd does not answer:\n%s", &e.log)
		}
	}
}

func (e *engine) address() string { return "unix://" + filepath.Join(e.dir, "d.sock") }

func (e *engine) stop() error {
	e.daemon.Process.Signal(syscall.SIGTERM)
	<-e.ended
	// What the daemon has mounted for networks outlasts it.
	if mounted, err := filepath.Glob(filepath.Join(e.dir, "exec", "netns", "*")); err == nil {
		for _, path := range mounted {
			syscall.Unmount(path, syscall.MNT_DETACH)
		}
	}
	return os.RemoveAll(e.dir)
}

// docker runs the client and returns what it says.
func (e *engine) docker(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", append([]string{"-H", e.address()}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0", "DOCKER_CONFIG="+e.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	// Not the test's context, which has ended when it cleans up.
	out, err := host.docker(context.Background(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// image returns the one image of all tests, built FROM scratch: ebb, a worker and a shell.
var image = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(host.dir, "image")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	for name, program := range map[string]string{
		"ebb": "./cmd/ebb", "ebb-init": "./cmd/ebb-init", "hungry": "./internal/containertest/testdata/hungry",
	} {
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, name), program)
		build.Dir = filepath.Join("..", "..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	shell, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return "", fmt.Errorf("%w\nhint: apt-get install busybox-static", err)
	}
	bin := filepath.Join(dir, "bin")
	err = errors.Join(os.Mkdir(bin, 0o755), os.WriteFile(filepath.Join(bin, "busybox"), shell, 0o755))
	for _, applet := range []string{"sh", "sleep", "cat", "mv"} {
		err = errors.Join(err, os.Symlink("busybox", filepath.Join(bin, applet)))
	}
	const dockerfile = "FROM scratch\nCOPY ebb ebb-init hungry /\nCOPY bin /bin\n"
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644)); err != nil {
		return "", err
	}
	const name = "ebb-containertest"
	_, err = host.docker(context.Background(), "build", "--network=none", "-q", "-t", name, dir)
	return name, err
})

// container is one that runs.
type container struct {
	t    *testing.T
	id   string
	logs string // once it has been stopped
}

// start runs a command in a container whose folder /work is dir. Options are those of
// docker run.
func start(t *testing.T, dir string, options []string, command ...string) *container {
	t.Helper()
	name, err := image()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"run", "-d", "--network", "host", "-v", dir + ":/work", "-w", "/work"}, options...)
	c := &container{t: t, id: docker(t, append(append(args, name), command...)...)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the container said:\n%s", docker(t, "logs", c.id))
		}
		docker(t, "rm", "-f", c.id)
	})
	return c
}

// stop is docker stop with a grace: TERM, and KILL when the grace is over. It returns
// how long that took, and the exit code.
func (c *container) stop(grace time.Duration) (took time.Duration, code int) {
	c.t.Helper()
	began := time.Now()
	docker(c.t, "stop", "-t", strconv.Itoa(int(grace.Seconds())), c.id)
	took = time.Since(began)
	code, err := strconv.Atoi(docker(c.t, "inspect", "-f", "{{.State.ExitCode}}", c.id))
	if err != nil {
		c.t.Fatal(err)
	}
	c.logs = docker(c.t, "logs", "-t", c.id)
	return took, code
}

// hook runs a preStop hook as a kubelet does: a command in the container, which is cut
// off when its time is over. It returns its exit code, and -1 if it was cut.
func (c *container) hook(most time.Duration, command ...string) (said string, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", append([]string{"-H", host.address(), "exec", c.id}, command...)...)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}
