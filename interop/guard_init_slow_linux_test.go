//go:build slow

package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// An init that has seen its plain Ruby child die waits for no minute.
func TestInitPutsBackWhatItsRubyRan(t *testing.T) {
	t.Parallel()
	file, err := ebbBinary()
	if err != nil {
		t.Fatal(err)
	}
	server, dir := redistest.Start(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.rb"), []byte("class SleepJob\n  include Sidekiq::Worker\n  def perform(s) = sleep(s)\nend\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	init := exec.Command(file, "init", "--store", server.URL(), "--", "sidekiq", "-r", "./app.rb", "-c", "2")
	init.Env = append(os.Environ(), "REDIS_URL="+server.URL(), "RUBYOPT=-W0", "EBB_GUARD=1")
	init.Dir = dir
	said := new(strings.Builder)
	init.Stdout, init.Stderr = said, said
	init.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := init.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { init.Process.Signal(syscall.SIGTERM) }) // a KILL would leave its child behind

	const jid = "aaaaaaaaaaaaaaaaaaaaaaaa"
	server.Do("LPUSH", "queue:default", `{"class":"SleepJob","args":[3600],"jid":"`+jid+`","retry":true}`)
	var id store.Identity
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(server.Do("HVALS", string(id)+":workers"), jid); time.Sleep(50 * time.Millisecond) {
		id = store.Identity(server.Do("SMEMBERS", "processes"))
		if time.Now().After(deadline) {
			t.Fatal("no beat tells of the job")
		}
	}
	signalPID(t, id.PID(), syscall.SIGKILL)
	killed := time.Now()
	for deadline := time.Now().Add(30 * time.Second); server.Do("LLEN", "queue:default") != "1"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the job does not come back")
		}
	}
	measured(t, "KILL of a plain Ruby worker below ebb init with EBB_GUARD=1: its job is back after %.2f s", time.Since(killed).Seconds())
	init.Wait()
	if job := server.Do("LINDEX", "queue:default", "0"); !strings.Contains(job, jid) || !strings.Contains(job, `"put back"`) {
		t.Errorf("back is %s; init said\n%s", job, said)
	}
	if alive := server.Do("SMEMBERS", "processes"); alive != "" {
		t.Errorf("still shown: %s", alive)
	}
}
