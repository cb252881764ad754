package redistest

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		options []Option
		run     func(t *testing.T, s *Server)
	}{
		{"answers", nil, func(t *testing.T, s *Server) {
			if got := s.Do("PING"); got != "PONG" {
				t.Errorf("PING gave %q", got)
			}
		}},
		{"forgets without AOF", nil, func(t *testing.T, s *Server) {
			s.Do("SET", "k", "v")
			s.Restart()
			if got := s.Do("GET", "k"); got != "" {
				t.Errorf("k = %q after a restart without persistence", got)
			}
		}},
		{"keeps with AOF over a kill", []Option{AOF()}, func(t *testing.T, s *Server) {
			s.Do("SET", "k", "v")
			s.Kill()
			s.Restart()
			if got := s.Do("GET", "k"); got != "v" {
				t.Errorf("k = %q after a kill", got)
			}
		}},
		{"asks for the password", []Option{Password("s3cret")}, func(t *testing.T, s *Server) {
			if !strings.Contains(s.URL(), ":s3cret@") {
				t.Errorf("URL %q lacks the password", s.URL())
			}
			if got := s.Do("PING"); got != "PONG" {
				t.Errorf("PING gave %q", got)
			}
		}},
		{"listens on a unix socket", []Option{UnixSocket()}, func(t *testing.T, s *Server) {
			if _, err := os.Stat(s.Socket); err != nil {
				t.Error(err)
			}
		}},
		{"is a cluster of one", []Option{Cluster()}, func(t *testing.T, s *Server) {
			if got := s.Do("CLUSTER", "KEYSLOT", "queue:default"); got != "6705" {
				t.Errorf("slot of queue:default = %s", got)
			}
		}},
		{"refuses writes when full", []Option{MaxMemory(1)}, func(t *testing.T, s *Server) {
			if _, err := s.Try("SET", "k", "v"); err == nil || !strings.HasPrefix(err.Error(), "OOM") {
				t.Errorf("SET gave %v, want OOM", err)
			}
		}},
		{"freezes and thaws", nil, func(t *testing.T, s *Server) {
			s.Pause()
			done := make(chan string, 1)
			go func() { out, _ := s.Try("PING"); done <- out }()
			select {
			case out := <-done:
				t.Errorf("a frozen server answered %q", out)
			case <-time.After(50 * time.Millisecond):
			}
			s.Resume()
			if got := <-done; got != "PONG" {
				t.Errorf("PING gave %q after Resume", got)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, Start(t, tt.options...))
		})
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	servers := StartCluster(t, 3)
	for _, s := range servers {
		if got := s.Do("CLUSTER", "INFO"); !strings.Contains(got, "cluster_size:3") {
			t.Errorf("%s: %s", s.Addr, got)
		}
	}
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	primary := Start(t)
	replica := StartReplica(t, primary)
	sentinel := StartSentinel(t, "main", primary)
	primary.Kill()
	primary.await("failover", func() bool {
		role, err := replica.Try("ROLE") // the sentinel ends its connections on the way
		return err == nil && strings.Contains(role, "master")
	})
	_, port, _ := strings.Cut(replica.Addr, ":")
	primary.await("announcement", func() bool {
		return strings.Contains(sentinel.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"), port)
	})
}

// A port that somebody else has taken is no server of ours, be it a server as well.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	theirs := Start(t)
	ours := Start(t)
	ours.Stop()
	ours.Addr = theirs.Addr
	if ours.run() {
		t.Error("it takes another server for its own")
	}
}
