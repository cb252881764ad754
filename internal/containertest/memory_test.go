//go:build containers

package containertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A job takes more memory than its container has, and the kernel kills the worker. Init
// sees that in the cgroup, and gives all its jobs back at once, without billing them:
// they run where there is more.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.enqueue("Hungry", 1)
	s.enqueue("Patient", 2)
	worker := []string{"/ebb", "init", "--store", s.redis.URL(), "--", "/hungry"}
	environ := []string{"-e", "EBB_STORE=" + s.redis.URL(), "-e", "EBB_GRACE=10s", "-e", "EBB_SOCKET=none"}
	// As much swap as memory is none.
	small := start(t, s.dir, append([]string{"--memory", "128m", "--memory-swap", "128m"}, environ...), worker...)
	s.await("begun", 3)
	s.notice("test", "the job takes 256 MiB of 128; the lease of its worker lasts for 5 minutes")
	s.write("served", "")
	if code := docker(t, "wait", small.id); code != "137" {
		t.Errorf("init exits with %s", code)
	}
	took := time.Since(s.told)
	small.logs = docker(t, "logs", "-t", small.id)
	if !strings.Contains(small.logs, "/hungry died of KILL (oom); its jobs are given back") {
		t.Error("init does not name the cause")
	}
	if s.waiting() != 3 || took > time.Minute {
		t.Errorf("%d of 3 jobs wait, %v after the meal was served", s.waiting(), took)
	}

	s.add("test", "a worker without a limit begins")
	roomy := start(t, s.dir, environ, worker...)
	s.await("ended", 1)
	s.write("over", "")
	s.await("ended", 3)
	_, code := roomy.stop(10 * time.Second)
	s.add("test", "stopped: exit %d", code)
	s.print(small.logs + "\n" + roomy.logs)
	ended, err := filepath.Glob(filepath.Join(s.dir, "notes", "*.ended.attempt-1.interruptions-1"))
	if err != nil || len(ended) != 3 {
		notes, _ := os.ReadDir(filepath.Join(s.dir, "notes"))
		t.Errorf("%d of 3 jobs ended in their first attempt, once interrupted, %v: %v", len(ended), err, notes)
	}
	if failed := s.redis.Do("GET", "stat:failed"); failed != "" && failed != "0" {
		t.Errorf("%s runs were billed", failed)
	}
	if shown := string(s.ebb("stops", "ls")); !strings.Contains(shown, "died for want of memory") {
		t.Errorf("no stop report names the cause:\n%s", shown)
	}
}
