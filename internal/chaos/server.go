package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Server is a Redis of chaos' own on a free loopback port. It syncs its log at every
// write, so that a KILL costs nothing that was acknowledged.
type Server struct {
	binary, dir, addr string

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	deeds  []*deed
	now    *deed
}

const serverWithin = 20 * time.Second

// StartServer starts one that keeps its data in dir, and returns once it answers.
func StartServer(ctx context.Context, dir string) (*Server, error) {
	s := &Server{dir: dir}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			s.binary = path
			break
		}
	}
	if s.binary == "" {
		return nil, store.WithHint(errors.New("chaos: there is no redis-server in PATH"), "install one, or leave --redis out for an SQLite file")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("chaos: find a free port: %w", err)
	}
	s.addr = free.Addr().String()
	free.Close()
	return s, s.start(ctx)
}

// URL is that of its store.
func (s *Server) URL() string { return "redis://" + s.addr + "/0" }

// start starts the process and waits until it has loaded its data.
func (s *Server) start(ctx context.Context) error {
	_, port, _ := net.SplitHostPort(s.addr)
	log, err := os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(s.binary, "--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--daemonize", "no",
		"--save", "", "--appendonly", "yes", "--appendfsync", "always")
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, serverAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("chaos: start %s: %w", s.binary, err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	s.mu.Lock()
	s.cmd, s.exited = cmd, exited
	s.mu.Unlock()
	for deadline := time.Now().Add(serverWithin); !s.answers(); {
		select {
		case <-exited:
			return fmt.Errorf("chaos: %s ended at once; its log is in %s", s.binary, s.dir)
		default:
		}
		if time.Now().After(deadline) || !sleep(ctx, 10*time.Millisecond) {
			return fmt.Errorf("chaos: %s does not answer; its log is in %s", s.binary, s.dir)
		}
	}
	return nil
}

// answers asks the server; one that loads its data answers something else.
func (s *Server) answers() bool {
	c, err := net.DialTimeout("tcp", s.addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "+PONG")
}

// suffer does a step to the server, and returns when it runs again. Whatever lasts
// ends early if ctx does, and the server is up all the same.
func (s *Server) suffer(ctx context.Context, step Step, told func(pid int)) error {
	d := &deed{fault: step.Fault, at: time.Now(), lasts: step.For}
	s.mu.Lock()
	s.deeds, s.now = append(s.deeds, d), d
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		d.over, s.now = time.Now(), nil
	}()
	told(s.pid())
	if step.Fault == StoreFreeze {
		if err := s.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		sleep(ctx, step.For)
		return s.signal(syscall.SIGCONT)
	}
	how := syscall.SIGTERM
	if step.Fault == StoreKill {
		how = syscall.SIGKILL
	}
	if err := s.end(how); err != nil {
		return err
	}
	sleep(ctx, step.For)
	return s.start(context.WithoutCancel(ctx))
}

// history is all that was done to the server, as of now.
func (s *Server) history() (deeds []*deed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deeds {
		deeds = append(deeds, new(*d))
	}
	return deeds
}

func (s *Server) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

func (s *Server) signal(how syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("chaos: %v to the server: %w", how, err)
	}
	return nil
}

// end ends the process and waits for that.
func (s *Server) end(how syscall.Signal) error {
	if err := s.signal(how); err != nil {
		return err
	}
	s.mu.Lock()
	exited := s.exited
	s.mu.Unlock()
	select {
	case <-exited:
		return nil
	case <-time.After(serverWithin):
		return fmt.Errorf("chaos: the server has not ended %v after %v", serverWithin, how)
	}
}

// Close kills the server. A second call does nothing.
func (s *Server) Close() error { return s.end(syscall.SIGKILL) }
