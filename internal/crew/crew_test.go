package crew

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

const variable = "EBB_CREWTEST"

func TestMain(m *testing.M) {
	how, isMember := os.LookupEnv(variable)
	if !isMember {
		goleak.VerifyTestMain(m)
		return
	}
	ctx, end := Leashed(context.Background(), os.Stdin)
	defer end()
	fmt.Fprintln(os.Stderr, "on the leash")
	<-ctx.Done()
	if how == "fails" {
		os.Exit(3)
	}
}

func start(t *testing.T, how string) *Member {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+how)
	m, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Dismiss(); <-m.Done() })
	return m
}

func TestEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		how  string
		end  func(*Member) error
		exit int
		text string
	}{
		"dismissed":           {"well", func(m *Member) error { m.Dismiss(); m.Dismiss(); return nil }, 0, "exit status 0"},
		"dismissed and fails": {"fails", func(m *Member) error { m.Dismiss(); return nil }, 3, "exit status 3"},
		"killed":              {"well", func(m *Member) error { return m.Signal(os.Kill) }, -1, "signal: killed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := start(t, tt.how)
			if err := tt.end(m); err != nil {
				t.Fatal(err)
			}
			<-m.Done()
			if exit, text := m.How(); exit != tt.exit || text != tt.text {
				t.Errorf("exit %d, %q, want %d, %q", exit, text, tt.exit, tt.text)
			}
			if m.Ended().IsZero() {
				t.Error("nobody knows when")
			}
			if tt.exit >= 0 && !strings.Contains(m.Said(), "on the leash") {
				t.Errorf("it said %q", m.Said())
			}
			if err := m.Signal(syscall.SIGTERM); err != nil {
				t.Errorf("a signal to one that has ended: %v", err)
			}
		})
	}
}

// TestOwnGroup: a ^C of the terminal is not for it.
func TestOwnGroup(t *testing.T) {
	t.Parallel()
	m := start(t, "well")
	group, err := syscall.Getpgid(m.PID())
	if err != nil || group != m.PID() {
		t.Errorf("its process group is %d, %v, and it is %d", group, err, m.PID())
	}
}

func TestNoProgram(t *testing.T) {
	t.Parallel()
	if _, err := Start(exec.Command("/nowhere/at/all")); err == nil {
		t.Error("no error")
	}
}
