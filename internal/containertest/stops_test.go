//go:build containers

package containertest

import (
	"testing"
	"time"
)

// kubelet stops a container as the node does in Kubernetes: the preStop hook, cut off
// at the end of the grace, then TERM with what is left, but two seconds at least.
// It is a replay of what is documented and was measured over CRI, not a kubelet.
func (s *site) kubelet(c *container, grace time.Duration, hook ...string) (exit int) {
	s.t.Helper()
	s.notice("platform", "preStop hook begins; KILL in "+grace.String())
	if said, code := c.hook(grace, hook...); code == 0 {
		s.add("platform", "preStop hook is done")
	} else {
		s.add("platform", "preStop hook: exit %d: %s", code, short(said))
	}
	left := max(grace-time.Since(s.told), 2*time.Second).Round(time.Second)
	s.add("platform", "TERM to PID 1; KILL in %v", left)
	_, exit = c.stop(left)
	s.add("platform", "over: exit %d", exit)
	s.print(c.logs)
	return exit
}

// Ruby's Sidekiq in Kubernetes, with ebb drain as its preStop hook.
func TestKubernetesDrainsSidekiq(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		seconds int // the job takes
		ended   int
	}{
		{"a job that ends in time", 8, 1},
		{"a job that does not", 600, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := rubySite(t)
			s.push("job", tt.seconds)
			options := append(s.userland(), "-e", "EBB_GRACE=40s", "-e", "EBB_TIMEOUT=5s")
			c := start(t, s.dir, options, "/ebb", "init", "--", "sh", "-c", sidekiq(5)+"; echo over")
			s.await("begun", 1)
			s.kubelet(c, 40*time.Second, "/ebb", "drain", "-t", "25")
			if ended := s.count("ended"); ended != tt.ended || s.lost(1) != 0 {
				t.Errorf("%d ended, %d lost", ended, s.lost(1))
			}
		})
	}
}

// An ebb worker whose preStop hook uses up its whole time: TERM comes with five
// seconds left, and by then everything is handed back, since the hook has told when
// the KILL comes.
func TestKubernetesHookUsesItsWholeTime(t *testing.T) {
	t.Parallel()
	s := ebbSite(t)
	s.enqueue("Long", 3)
	c := start(t, s.dir, []string{"--tmpfs", "/tmp", "-e", "EBB_GRACE=65s"}, "/ebb", "work", "-c", "3", "-q", "default")
	s.await("begun", 3)
	s.kubelet(c, 65*time.Second, "/ebb", "drain", "-t", "60")
	report := s.stopReport()
	if report.Fates["checkpointed"] != 3 || report.Lost != 0 || s.lost(3) != 0 {
		t.Errorf("the report says %+v, %d lost", report, s.lost(3))
	}
}

// docker stop of an ebb worker with its ten seconds, and in Kubernetes with a hook.
func TestEbbIsStopped(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		grace string
		stop  func(*site, *container)
		ended int
	}{
		{"docker stop", "10s", func(s *site, c *container) {
			s.notice("platform", "docker stop: TERM to PID 1, KILL in 10 s")
			took, code := c.stop(10 * time.Second)
			s.add("platform", "over: exit %d", code)
			s.print(c.logs)
			if code != 0 || took >= 10*time.Second {
				s.t.Errorf("exit %d after %v", code, took)
			}
		}, 0},
		{"Kubernetes, with a hook", "30s", func(s *site, c *container) {
			if exit := s.kubelet(c, 30*time.Second, "/ebb", "drain", "-t", "20"); exit != 0 {
				s.t.Errorf("exit %d", exit)
			}
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := ebbSite(t)
			s.enqueue("Long", 1)
			s.enqueue("Short", 1)
			c := start(t, s.dir, []string{"--tmpfs", "/tmp", "-e", "EBB_GRACE=" + tt.grace}, "/ebb", "work", "-c", "2", "-q", "default")
			s.await("begun", 2)
			tt.stop(s, c)
			report := s.stopReport()
			if report.Lost != 0 || s.lost(2) != 0 || s.count("ended") != tt.ended || report.Fates["checkpointed"] != 2-tt.ended {
				t.Errorf("the report says %+v, %d ended, %d lost", report, s.count("ended"), s.lost(2))
			}
		})
	}
}

// ECS gives 120 s. A stop sequence waits for Ruby's Sidekiq to be idle, and no longer.
func TestECSBehindASequence(t *testing.T) {
	t.Parallel()
	s := rubySite(t)
	s.push("job", 15)
	command := []string{"/ebb-init", "--grace", "120s", "--stop", "TSTP;idle<=1h;TERM;25s;KILL", "--", "sh", "-c", "exec " + sidekiq(5)}
	c := start(t, s.dir, s.userland(), command...)
	s.await("begun", 1)
	s.push("next", 1) // must not begin any more
	s.notice("platform", "StopTask: TERM to PID 1, KILL in 120 s")
	took, code := c.stop(120 * time.Second)
	s.add("platform", "over: exit %d", code)
	s.print(c.logs)
	if code != 0 || s.lost(2) != 0 || s.count("ended") < 1 {
		t.Errorf("exit %d after %v, %d ended, %d lost", code, took, s.count("ended"), s.lost(2))
	}
	if took > 60*time.Second {
		t.Errorf("it was idle long before: %v", took)
	}
}
