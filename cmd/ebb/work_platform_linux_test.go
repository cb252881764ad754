package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// elsewhere runs do where it sees a network with nothing in it and an empty /var/run
// of its own. So does what do starts, and what it listens on is reached from there
// alone.
func elsewhere(t *testing.T, do func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		done <- func() error {
			run, err := filepath.EvalSymlinks("/var/run")
			if err != nil {
				return err
			}
			if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
			err = errors.Join(
				unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
				unix.Mount("tmpfs", run, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""))
			if err != nil {
				return fmt.Errorf("mount: %w", err)
			}
			if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
				return fmt.Errorf("ip: %w: %s", err, out)
			}
			return do()
		}()
	}()
	if err := <-done; err != nil {
		t.Fatalf("%v\nhint: run the tests as root, in a container with --cap-add NET_ADMIN --cap-add SYS_ADMIN", err)
	}
}

// platforms are all that a worker may speak with, at once: EC2's metadata service, the
// agent of ECS and the API of Kubernetes. They note what they are told.
type platforms struct {
	mu        sync.Mutex
	goes      time.Time // when EC2 takes the machine back; zero: it does not
	protected []bool
	costs     []string

	kubernetes, ecs string // where they are
}

// metadata is EC2's instance metadata service, version 2.
func (p *platforms) metadata(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r.Method == "PUT" && r.URL.Path == "/latest/api/token":
		io.WriteString(w, "token")
	case r.Header.Get("X-aws-ec2-metadata-token") != "token":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path != "/latest/meta-data/spot/instance-action" || p.goes.IsZero():
		w.WriteHeader(http.StatusNotFound)
	default:
		fmt.Fprintf(w, `{"action":"terminate","time":%q}`, p.goes.UTC().Format(time.RFC3339))
	}
}

// agent is that of ECS, for its task.
func (p *platforms) agent(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	on := strings.Contains(string(body), "true")
	p.protected = append(p.protected, on)
	fmt.Fprintf(w, `{"protection":{"ExpirationDate":null,"ProtectionEnabled":%v,"TaskArn":"t"}}`, on)
}

var costOf = regexp.MustCompile(`"controller.kubernetes.io/pod-deletion-cost":"(\d+)"`)

// api is that of Kubernetes, with the worker's pod alone.
func (p *platforms) api(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	cost := costOf.FindSubmatch(body)
	if r.Method != "PATCH" || r.URL.Path != "/api/v1/namespaces/shop/pods/web-1" || r.Header.Get("Authorization") != "Bearer secret" || cost == nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	p.costs = append(p.costs, string(cost[1]))
	io.WriteString(w, `{"kind":"Pod"}`)
}

// open lets them listen until the test ends, and mounts what the kubelet does.
func (p *platforms) open(t *testing.T) error {
	if out, err := exec.Command("ip", "addr", "add", "169.254.169.254/32", "dev", "lo").CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	link, err := net.Listen("tcp", "169.254.169.254:80")
	if err != nil {
		return err
	}
	metadata := httptest.NewUnstartedServer(http.HandlerFunc(p.metadata))
	metadata.Listener.Close()
	metadata.Listener = link
	metadata.Start()
	agent := httptest.NewServer(http.HandlerFunc(p.agent))
	api := httptest.NewTLSServer(http.HandlerFunc(p.api)) // its certificate is its own authority
	t.Cleanup(func() { metadata.Close(); agent.Close(); api.Close() })
	p.ecs, p.kubernetes = agent.URL, strings.TrimPrefix(api.URL, "https://")
	const mounted = "/var/run/secrets/kubernetes.io/serviceaccount"
	err = os.MkdirAll(mounted, 0o755)
	for name, text := range map[string][]byte{
		"ca.crt":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}),
		"namespace": []byte("shop"), "token": []byte("secret"),
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(mounted, name), text, 0o600))
	}
	return err
}

// environ asks a worker to speak with all of them.
func (p *platforms) environ() []string {
	host, port, _ := net.SplitHostPort(p.kubernetes)
	return []string{
		"EBB_SPOT=ec2",
		"EBB_PROTECT=ecs", "ECS_AGENT_URI=" + p.ecs,
		"EBB_POD_DELETION_COST=true", "EBB_POD_NAME=web-1", "KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port,
	}
}

func (p *platforms) told() (protected []bool, costs []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.protected), slices.Clone(p.costs)
}

// onPlatforms runs a worker with a job until the job is told to end, and with it the
// worker. Meanwhile is the time in between.
func onPlatforms(t *testing.T, meanwhile func(p *platforms, log fmt.Stringer)) {
	t.Helper()
	dir := t.TempDir()
	const handler = "handlers: {Wait: {command: [sh, -c, 'echo > begun; while [ ! -e end ]; do sleep 0.05; done']}}\n"
	if err := os.WriteFile(filepath.Join(dir, "ebb.yml"), []byte(handler), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "sqlite:" + filepath.Join(dir, "ebb.db")
	if out, err := program(t, url, "enqueue", "Wait").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := &platforms{}
	worker := program(t, url, "work")
	var log output
	worker.Dir, worker.Stdout, worker.Stderr = dir, &log, &log
	elsewhere(t, func() error {
		if err := p.open(t); err != nil {
			return err
		}
		worker.Env = append(append(worker.Env, "EBB_GRACE=20s", "EBB_LOG_FORMAT=text", "EBB_SOCKET=none", "GORACE=atexit_sleep_ms=0"), p.environ()...)
		return worker.Start()
	})
	defer func() {
		if t.Failed() {
			t.Logf("the worker logged\n%s", log.String())
		}
	}()
	defer worker.Process.Kill()
	wait(t, func() bool { _, err := os.Stat(filepath.Join(dir, "begun")); return err == nil })
	if protected, _ := p.told(); !slices.Equal(protected, []bool{true}) {
		t.Errorf("when the job had begun, ECS had been asked for protection: %v", protected)
	}
	meanwhile(p, &log)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "end"), nil, 0o600), worker.Process.Signal(syscall.SIGTERM)); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker: %v", err)
	}
	protected, costs := p.told()
	if !slices.Equal(protected, []bool{true, false}) {
		t.Errorf("ECS was asked for protection: %v", protected)
	}
	if len(costs) == 0 || costs[len(costs)-1] != "0" {
		t.Errorf("Kubernetes was told costs of %q, and 0 is the last", costs)
	}
}

var quietFor = regexp.MustCompile(`msg="process quiet".*notice of ec2.* kill_in=(\S+)`)

// A worker of the command speaks with all platforms that it is asked to: it is
// protected by ECS while it has a job, Kubernetes knows it as one, and notice of EC2
// quiets it, with the hour at which the machine goes.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	onPlatforms(t, func(p *platforms, log fmt.Stringer) {
		wait(t, func() bool { _, costs := p.told(); return len(costs) > 0 })
		if quietFor.MatchString(log.String()) {
			t.Error("it is quiet before any notice")
		}
		p.mu.Lock()
		p.goes = time.Now().Add(2 * time.Minute)
		p.mu.Unlock()
		wait(t, func() bool { return quietFor.MatchString(log.String()) })
		left, err := time.ParseDuration(quietFor.FindStringSubmatch(log.String())[1])
		if err != nil || left < time.Minute || left > 2*time.Minute {
			t.Errorf("the KILL comes in %v, %v", left, err)
		}
	})
}
