package faulttest

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stall stops the one thread of the server that syncs its file, as a disk does that
// takes its time. The rest of the server goes on; nothing but its end follows.
func (s *site) stall() {
	s.Helper()
	info := s.server.Do("INFO", "server")
	_, pid, _ := strings.Cut(info, "process_id:")
	pid, _, _ = strings.Cut(pid, "\r")
	names, err := filepath.Glob(filepath.Join("/proc", pid, "task", "*", "comm"))
	s.must(err)
	for _, name := range names {
		if comm, err := os.ReadFile(name); err != nil || strings.TrimSpace(string(comm)) != "bio_aof_fsync" {
			continue
		}
		tid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		s.must(err)
		stopped := make(chan error)
		go func() {
			runtime.LockOSThread() // a tracer is a thread
			err := unix.PtraceAttach(tid)
			if err == nil {
				_, err = unix.Wait4(tid, nil, unix.WALL, nil)
			}
			if stopped <- err; err == nil {
				unix.Wait4(tid, nil, unix.WALL, nil) // its end, which nobody else would hear of
			}
		}()
		s.must(<-stopped)
		return
	}
	s.Fatalf("the server %s has no thread that syncs", pid)
}

// A server that syncs every second answers without writing while a sync is under way,
// for two seconds at most. Its process takes that along.
func TestRedisIsKilledWhileItSyncs(t *testing.T) {
	t.Parallel()
	const postponed = 3 * time.Second // as it counts whole seconds
	f := onRedis(t, kept("everysec")).traffic()
	f.hire(f.url)
	f.hire(f.url)
	f.produce(f.url)
	f.flow(50)
	f.stall()
	f.sampled("sync", func(now sample) bool { return now.syncing > 0 })
	f.flow(100)
	f.server.Kill()
	killed := time.Now()
	f.server.Restart()
	f.flow(50)
	l := f.settle()
	for _, j := range l.lost {
		if ago := killed.Sub(j.answered); ago > postponed {
			t.Errorf("lost, and accepted %v before the kill", ago)
		}
	}
	if len(l.lost)+l.again[byVerdict] == 0 {
		t.Error("nothing was forgotten; was anything postponed?")
	}
	if l.rescued > 0 || l.again[byRescue] > 0 {
		t.Errorf("%d jobs of the living were rescued", l.rescued)
	}
}
