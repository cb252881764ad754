package pid1

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUndertaker: who crashed, and of what, is told to ebb rescue when nothing of it
// is left; what comes of that changes no exit code.
func TestUndertaker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, line string
		args       []string
		rescue     string // what ebb rescue does
		stop       bool
		cause      string // empty: nobody asks
		exit       int
		says       string
	}{
		{"an exit code", "exit 3", nil, "", false, "exit:3", 3, "exited with code 3"},
		{"a signal", "kill -SEGV $$", nil, "", false, "SIGSEGV", 139, "died of SEGV"},
		{"a signal that nobody asks for", "kill -USR1 $$", nil, "", false, "exit:138", 138, "died of USR1"},
		{"all is well", "exit 0", nil, "", false, "", 0, ""},
		{"all is well, they say", "exit 3", []string{"-e", "3"}, "", false, "", 0, ""},
		{"killed by a stop", "trap '' USR2; echo ready; exec sleep 60", []string{"--stop", "USR2;10ms;KILL"}, "", true, "SIGKILL", 137, ""},
		{"nothing was held", "exit 3", nil, "exit 3", false, "exit:3", 3, ""},
		{"the store is gone", "exit 3", nil, "exit 69", false, "exit:3", 3, "wait for their lease to end: ebb rescue exited with code 69"},
		{"it hangs, and the grace ends", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done", []string{"--grace", "1"}, "exec sleep 60", true, "exit:3", 3, "ebb rescue was not done after"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			log := filepath.Join(dir, "log")
			write(t, filepath.Join(dir, "ebb"), "#!/bin/sh\necho \"$EBB_STORE|$EBB_BOOT|$*\" >> "+log+"\n"+c.rescue+"\n", 0o755)
			args := append([]string{"--store", "redis://:secret@cache/1"}, c.args...)
			r := start(t, self(t, append(args, "--", "sh", "-c", "echo boot $EBB_BOOT; "+c.line)...), func(cmd *exec.Cmd) {
				cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"), "EBB_BOOT=outer")
			})
			if c.stop {
				r.sees("ready", 1)
				r.signal(syscall.SIGTERM)
			}
			if got := r.exit(); got != c.exit {
				t.Errorf("exit %d, want %d", got, c.exit)
			}
			r.until("the end", r.isClosed)
			boot, _ := strings.CutPrefix(r.output()[0], "boot ")
			want := ""
			if c.cause != "" {
				want = "redis://:secret@cache/1||rescue --boot " + boot + " --died-of " + c.cause + " --yes\n"
			}
			if got, _ := os.ReadFile(log); string(got) != want {
				t.Errorf("ebb was asked %q, want %q", got, want)
			}
			if len(boot) < 12 || boot == "outer" {
				t.Errorf("EBB_BOOT is %q", boot)
			}
			if strings.Contains(r.errors(), "not done after 10") {
				t.Error("it took its whole time, past the grace")
			}
			if !strings.Contains(r.errors(), c.says) || strings.Contains(r.errors(), "secret") {
				t.Errorf("it says %q, want %q", r.errors(), c.says)
			}
		})
	}
}

// TestRestart: a child that crashes is started again, under another name, until it
// ends well or there is a stop.
func TestRestart(t *testing.T) {
	t.Parallel()
	t.Run("until it ends well", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "was here")
		r := start(t, self(t, "--restart", "on-crash", "sh", "-c", "echo $EBB_BOOT; [ -e '"+file+"' ] && exit 0; touch '"+file+"'; exit 9"))
		if got := r.exit(); got != 0 {
			t.Errorf("exit %d", got)
		}
		r.until("the end", r.isClosed)
		if boots := r.output(); len(boots) != 2 || boots[0] == boots[1] {
			t.Errorf("boots %q", boots)
		}
	})
	t.Run("until a stop", func(t *testing.T) {
		t.Parallel()
		r := start(t, self(t, "--restart", "on-crash", "sh", "-c", "echo here; exit 9"))
		r.until("the pause", func() bool { return strings.Contains(r.errors(), "started again in 1s") })
		r.signal(syscall.SIGTERM)
		if got := r.exit(); got != 9 {
			t.Errorf("exit %d", got)
		}
	})
}

func TestPause(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	for d := pause(0); len(all) < 8; d = pause(d) {
		all = append(all, d/time.Second)
	}
	if !slices.Equal(all, []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}) {
		t.Errorf("pauses %d", all)
	}
}
