//go:build containers

package containertest

import (
	"testing"
	"time"
)

// A worker below ebb init is killed. Init has seen it die, so its jobs go back at once,
// without waiting for any lease.
func TestUndertaker(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		flags []string
		begun int // runs after the kill
	}{
		{"exits", nil, 0},
		{"restarts", []string{"--restart", "on-crash"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := ebbSite(t)
			s.enqueue("Long", 2)
			command := append([]string{"/ebb", "init", "--store", s.redis.URL()}, tt.flags...)
			command = append(command, "--", "/ebb", "work", "-c", "2", "-q", "default")
			c := start(t, s.dir, []string{"--tmpfs", "/tmp", "-e", "EBB_GRACE=10s", "-e", "EBB_LEASE_TTL=5m"}, command...)
			s.await("begun", 2)
			s.notice("test", "kill -KILL of the worker, below init; its lease lasts for 5 minutes")
			docker(t, "exec", c.id, "/bin/sh", "-c", "kill -KILL $(cat /proc/1/task/*/children)")
			if tt.begun > 0 {
				s.await("begun", 2+tt.begun)
				_, code := c.stop(10 * time.Second)
				s.add("test", "stopped: exit %d", code)
			} else {
				code := docker(t, "wait", c.id)
				s.add("test", "init has ended: exit %s", code)
				if code != "137" {
					t.Errorf("exit %s", code)
				}
				c.logs = docker(t, "logs", "-t", c.id)
			}
			s.print(c.logs)
			if s.lost(2) != 0 || s.waiting() != 2 {
				t.Errorf("%d lost, %d wait", s.lost(2), s.waiting())
			}
			if took := s.notes()[len(s.notes())-1].at.Sub(s.told); took > time.Minute {
				t.Errorf("they ran again after %v", took)
			}
		})
	}
}
