//go:build containers

package containertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A bundle for runc, which is what the engines end in: an ebb worker as nobody, on a
// root file system that is read-only, drained by a command in the same container.
func TestRunc(t *testing.T) {
	t.Parallel()
	s := ebbSite(t)
	s.enqueue("Long", 2)
	if _, err := image(); err != nil {
		t.Fatal(err)
	}
	bundle, state := t.TempDir(), t.TempDir()
	run := func(args ...string) *exec.Cmd {
		cmd := exec.Command("runc", append([]string{"--root", state}, args...)...)
		cmd.Dir = bundle
		return cmd
	}
	must := func(cmd *exec.Cmd) {
		t.Helper()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s\nhint: apt-get install runc", cmd.Args, err, out)
		}
	}
	must(run("spec"))
	configure(t, filepath.Join(bundle, "config.json"), s.dir)
	if err := os.CopyFS(filepath.Join(bundle, "rootfs"), os.DirFS(filepath.Join(host.dir, "image"))); err != nil {
		t.Fatal(err)
	}
	for mounted, mode := range map[string]os.FileMode{"work": 0o755, "tmp": 0o777} { // runc gives a tmpfs the mode of its place
		dir := filepath.Join(bundle, "rootfs", mounted)
		if err := errors.Join(os.Mkdir(dir, mode), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
	}
	worker := run("run", "--bundle", ".", "worker")
	var said bytes.Buffer
	worker.Stdout, worker.Stderr = &said, &said
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		run("delete", "--force", "worker").Run()
		worker.Wait()
		if t.Failed() {
			t.Logf("what the worker said:\n%s", &said)
		}
	})
	s.await("begun", 2)
	s.notice("platform", "runc exec ebb drain -t 5 --no-term")
	drain := run("exec", "worker", "/ebb", "drain", "-t", "5", "--no-term")
	out, _ := drain.CombinedOutput()
	s.add("platform", "it exits with %d", drain.ProcessState.ExitCode())
	if code := drain.ProcessState.ExitCode(); code != 2 {
		t.Errorf("drain exits with %d, want 2 for a deadline that has passed\n%s", code, out)
	}
	s.add("platform", "runc kill TERM")
	must(run("kill", "worker", "TERM"))
	ended := make(chan error, 1)
	go func() { ended <- worker.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the worker: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the worker has not ended")
	}
	s.print("")
	if report := s.stopReport(); report.Fates["checkpointed"] != 2 || report.Lost != 0 || s.lost(2) != 0 {
		t.Errorf("the report says %+v, %d lost", report, s.lost(2))
	}
}

// configure makes of runc's example a container for a worker: it has the host's
// network and the folder of a site, and no terminal.
func configure(t *testing.T, file, work string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	process, linux := spec["process"].(map[string]any), spec["linux"].(map[string]any)
	process["terminal"] = false
	process["user"] = map[string]any{"uid": 65534, "gid": 65534}
	process["args"] = []string{"/ebb", "work", "-c", "2", "-q", "default", "--grace", "20s"}
	process["cwd"] = "/work"
	spec["mounts"] = append(spec["mounts"].([]any),
		map[string]any{"destination": "/work", "type": "bind", "source": work, "options": []string{"rbind", "rw"}},
		map[string]any{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}) // checkpoints are there
	var namespaces []any
	for _, n := range linux["namespaces"].([]any) {
		if n.(map[string]any)["type"] != "network" {
			namespaces = append(namespaces, n)
		}
	}
	linux["namespaces"] = namespaces
	if text, err = json.Marshal(spec); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
