//go:build containers

package containertest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemd does not run here, but it speaks by datagrams: the test plays its side for a
// unit of Type=notify and KillMode=mixed, whose worker runs programs.
func TestSystemd(t *testing.T) {
	t.Parallel()
	s := ebbSite(t)
	s.enqueue("Long", 1)
	s.enqueue("Short", 1)
	path := filepath.Join(host.dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan []row, 1)
	go func() {
		var rows []row
		for datagram := make([]byte, 4096); ; {
			n, err := socket.Read(datagram)
			if err != nil {
				heard <- rows
				return
			}
			rows = append(rows, row{time.Now(), "datagram", strings.Join(strings.Fields(string(datagram[:n])), " ")})
		}
	}()

	worker := exec.Command(filepath.Join(host.dir, "image", "ebb"), "work", "-c", "2", "-q", "default", "--grace", "20s")
	worker.Dir = s.dir
	worker.Env = append(os.Environ(), "NOTIFY_SOCKET="+path, "TMPDIR="+t.TempDir())
	worker.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said bytes.Buffer
	worker.Stdout, worker.Stderr = &said, &said
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Wait() }()
	t.Cleanup(func() { worker.Process.Kill() })
	s.await("begun", 2)
	s.notice("systemd", "systemctl stop: TERM to the main process, then CONT; KILL in 20 s, unless that is extended")
	worker.Process.Signal(syscall.SIGTERM)
	worker.Process.Signal(syscall.SIGCONT)
	select {
	case err := <-ended:
		s.add("systemd", "the main process has ended: %s", worker.ProcessState)
		if err != nil {
			t.Errorf("%v\n%s", err, &said)
		}
	case <-time.After(time.Minute):
		t.Fatalf("the worker has not ended:\n%s", &said)
	}
	socket.Close()
	datagrams := <-heard
	s.rows = append(s.rows, datagrams...)
	s.print("")
	first := func(what string) int {
		return slices.IndexFunc(datagrams, func(r row) bool { return strings.Contains(r.what, what) })
	}
	ready, stopping := first("READY=1"), first("STOPPING=1")
	if ready < 0 || stopping < ready || first("EXTEND_TIMEOUT_USEC=") < stopping {
		t.Errorf("of %d datagrams READY is %d and STOPPING is %d", len(datagrams), ready, stopping)
	}
	if report := s.stopReport(); report.Fates["checkpointed"] != 1 || report.Fates["finished"] != 1 || report.Lost != 0 || s.lost(2) != 0 {
		t.Errorf("the report says %+v, %d lost", report, s.lost(2))
	}
}
