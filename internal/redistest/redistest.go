// Package redistest gives a test a Redis server of its own: a real process on a
// free loopback port, with a directory that the test throws away.
//
// The binary is redis-server from PATH; EBB_TEST_REDIS_SERVER names another one,
// such as valkey-server.
package redistest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

const (
	readyWithin = 20 * time.Second
	stopWithin  = 10 * time.Second
)

// Option changes how the server is started.
type Option func(*Server)

// AOF makes the server keep its data over Stop, Kill and Restart, synced at
// every write.
func AOF() Option { return Args("--appendonly", "yes", "--appendfsync", "always") }

// MaxMemory limits the server's memory and lets it refuse writes beyond.
func MaxMemory(bytes int) Option {
	return Args("--maxmemory", strconv.Itoa(bytes), "--maxmemory-policy", "noeviction")
}

// Password makes the server ask for one.
func Password(password string) Option {
	return func(s *Server) {
		s.password = password
		s.args = append(s.args, "--requirepass", password)
	}
}

// UnixSocket makes the server listen on a socket file too; see Server.Socket.
func UnixSocket() Option {
	return func(s *Server) {
		s.Socket = filepath.Join(s.Dir, "redis.sock")
		s.args = append(s.args, "--unixsocket", s.Socket)
	}
}

// Cluster makes the server a cluster of one, which owns every slot. It refuses
// scripts that touch a key they did not declare, or keys of two slots.
func Cluster() Option {
	return func(s *Server) {
		s.cluster = true
		s.args = append(s.args, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
	}
}

// Args passes more arguments to the server.
func Args(args ...string) Option {
	return func(s *Server) { s.args = append(s.args, args...) }
}

// Server is a running server. Its methods end the test when they fail, so they
// belong to the test's own goroutine.
type Server struct {
	Addr   string // host:port on loopback
	Dir    string // its working directory
	Socket string // path of its unix socket, if it has one

	t        testing.TB
	binary   string
	config   []string // a config file comes before all other arguments
	args     []string
	password string
	cluster  bool

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts a server and returns once it answers. It is killed when the test
// ends. Without a server binary the test fails, saying how to install one.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	name := cmp.Or(os.Getenv("EBB_TEST_REDIS_SERVER"), "redis-server")
	binary, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("redistest: %v\nhint: apt-get install redis-server, or set EBB_TEST_REDIS_SERVER to a Redis or Valkey server", err)
	}
	// Not t.TempDir: its long names do not fit into a unix socket's 108 bytes.
	dir, err := os.MkdirTemp("", "ebb-redis-")
	if err != nil {
		t.Fatalf("redistest: make directory: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{t: t, binary: binary, Dir: dir, Addr: freeAddr(t)}
	for _, option := range options {
		option(s)
	}
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	for taken := 0; !s.run(); taken++ {
		if taken == 10 {
			t.Fatalf("redistest: no port that is free stays so:\n%s", s.log())
		}
		s.Addr = freeAddr(t)
	}
	if s.cluster {
		join(s)
	}
	return s
}

// StartCluster starts a cluster of n servers, which own the slots in equal parts.
func StartCluster(t testing.TB, n int, options ...Option) []*Server {
	t.Helper()
	servers := make([]*Server, n)
	for i := range servers {
		// Cluster comes last, and unfinished: join does the rest for all of them.
		servers[i] = Start(t, append(options, Cluster(), func(s *Server) { s.cluster = false })...)
	}
	join(servers...)
	return servers
}

// join makes one cluster of servers.
func join(servers ...*Server) {
	const slots = 16384
	for i, s := range servers {
		s.t.Helper()
		s.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*slots/len(servers)), strconv.Itoa((i+1)*slots/len(servers)-1))
		s.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	for _, s := range servers[1:] {
		host, port, _ := net.SplitHostPort(servers[0].Addr)
		s.Do("CLUSTER", "MEET", host, port)
	}
	for _, s := range servers {
		s.await("cluster", func() bool {
			info := s.Do("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(len(servers))+"\r")
		})
	}
}

// StartReplica starts a server that copies primary.
func StartReplica(t testing.TB, primary *Server, options ...Option) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary.Addr)
	s := Start(t, append(options, Args("--replicaof", host+" "+port))...)
	s.await("replica", func() bool { return strings.Contains(s.Do("INFO", "replication"), "master_link_status:up") })
	return s
}

// StartSentinel starts a sentinel, which alone decides, for primary and its replicas.
func StartSentinel(t testing.TB, name string, primary *Server) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary.Addr)
	s := Start(t, func(s *Server) {
		config := filepath.Join(s.Dir, "sentinel.conf")
		text := "sentinel monitor " + name + " " + host + " " + port + " 1\n" +
			"sentinel down-after-milliseconds " + name + " 500\n" +
			"sentinel failover-timeout " + name + " 3000\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatalf("redistest: write the sentinel's config: %v", err)
		}
		s.config = []string{config, "--sentinel"}
	})
	// It asks every ten seconds, and for half a minute does nothing at all if the
	// machine has kept it waiting for two.
	s.Try("SENTINEL", "DEBUG", "info-period", "500", "tilt-period", "1000")
	_, replicas, _ := strings.Cut(primary.Do("INFO", "replication"), "connected_slaves:")
	replicas, _, _ = strings.Cut(replicas, "\r")
	s.await("sentinel that knows the replicas", func() bool {
		// One that has answered it has a name there.
		named := len(runID.FindAllString(s.Do("SENTINEL", "REPLICAS", name), -1))
		return strconv.Itoa(named) == replicas
	})
	return s
}

var runID = regexp.MustCompile(`runid\W[0-9a-f]{40}`)

// URL returns the URL of database 0, with the password if there is one.
func (s *Server) URL() string {
	if s.password != "" {
		return "redis://:" + s.password + "@" + s.Addr + "/0"
	}
	return "redis://" + s.Addr + "/0"
}

// Stop ends the server with a TERM, so that it writes what it is set to write.
func (s *Server) Stop() {
	s.t.Helper()
	if !s.end(syscall.SIGTERM) {
		s.t.Fatalf("redistest: server on %s did not stop within %v", s.Addr, stopWithin)
	}
}

// Kill ends the server as a power cut of the process would.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Restart starts the server again on the same address and directory, after
// stopping it if it runs.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	if !s.run() {
		s.t.Fatalf("redistest: %s was taken meanwhile:\n%s", s.Addr, s.log())
	}
}

// Pause freezes the server: connections stay, nothing answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Do runs a command over a connection of its own and returns the reply as
// redis-cli would print it.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	out, err := s.Try(args...)
	if err != nil {
		s.t.Fatalf("redistest: %v: %v", args, err)
	}
	return out
}

// Try is Do for a command that may fail.
func (s *Server) Try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{s.Addr}, Password: s.password,
		ForceSingleClient: true, DisableCache: true, DisableRetry: true, PipelineMultiplex: -1,
		// One command needs none of the megabyte that a connection has by default, and
		// tests ask thousands of times.
		RingScaleEachConn: 1, ReadBufferEachConn: 4 << 10, WriteBufferEachConn: 4 << 10,
	})
	if err != nil {
		return "", err
	}
	defer client.Close()
	reply, err := client.Do(ctx, client.B().Arbitrary(args...).Build()).ToMessage()
	switch {
	case rueidis.IsRedisNil(err):
		return "", nil
	case err != nil:
		return "", err
	}
	return text(reply), nil
}

func text(m rueidis.RedisMessage) string {
	if s, err := m.ToString(); err == nil {
		return s
	}
	if n, err := m.ToInt64(); err == nil {
		return strconv.FormatInt(n, 10)
	}
	if elements, err := m.ToArray(); err == nil {
		var b bytes.Buffer
		for i, e := range elements {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(text(e))
		}
		return b.String()
	}
	if f, err := m.AsFloat64(); err == nil {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(m.ToAny())
}

// run starts the process and waits until it answers. It reports false if somebody
// else has its port.
func (s *Server) run() (mine bool) {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(s.Addr)
	args := append(s.config, "--bind", host, "--port", port, "--dir", s.Dir, "--daemonize", "no")
	if s.config == nil {
		args = append(args, "--save", "", "--appendonly", "no")
	}
	args = append(args, s.args...)
	s.mu.Lock()
	output, err := os.Create(s.logFile())
	if err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
	defer output.Close()
	cmd := exec.Command(s.binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, output, output
	// A test binary that is killed takes its servers along.
	cmd.SysProcAttr = dieWithParent()
	exited := make(chan struct{})
	err = cmd.Start()
	if err == nil {
		go func() { cmd.Wait(); close(exited) }()
	}
	s.cmd, s.exited = cmd, exited
	s.mu.Unlock()
	if err != nil {
		s.t.Fatalf("redistest: start %s: %v", s.binary, err)
	}
	mine = true
	s.await("answer on "+s.Addr, func() bool {
		select {
		case <-exited:
			if mine = !strings.Contains(s.log(), "Address already in use"); mine {
				s.t.Fatalf("redistest: %s ended at once:\n%s", s.binary, s.log())
			}
			return true
		default:
		}
		info, _ := s.Try("INFO", "server") // of whoever has the port
		return strings.Contains(info, fmt.Sprintf("\nprocess_id:%d\r\n", cmd.Process.Pid))
	})
	return mine
}

// end signals the process and waits; it reports whether the process is gone.
func (s *Server) end(sig syscall.Signal) bool {
	s.mu.Lock()
	cmd, exited := s.cmd, s.exited
	s.mu.Unlock()
	if cmd == nil || cmd.Process == nil {
		return true
	}
	if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false
	}
	cmd.Process.Signal(syscall.SIGCONT) // a paused one could not obey
	select {
	case <-exited:
		return true
	case <-time.After(stopWithin):
		return false
	}
}

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("redistest: signal %v: %v", sig, err)
	}
}

func (s *Server) await(what string, ready func() bool) {
	s.t.Helper()
	pause := time.Millisecond
	for deadline := time.Now().Add(readyWithin); !ready(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("redistest: no %s within %v\n%s", what, readyWithin, s.log())
		}
		time.Sleep(pause)
	}
}

func (s *Server) logFile() string { return filepath.Join(s.Dir, "server.log") }

// log is the last that the server printed.
func (s *Server) log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// freeAddr asks the kernel for a free port. Another process may take it before the
// server does, and so may a connection that goes out from it.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("redistest: find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}
