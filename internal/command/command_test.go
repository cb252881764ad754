//go:build unix

package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/verdict"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, tt := range map[string]struct {
		script string
		want   error
	}{
		"done":                   {"exit 0", nil},
		"failed":                 {"exit 3", &ExitError{Code: 3}},
		"failed, with a reason":  {"echo no such user >&2; exit 1", &ExitError{Code: 1, Stderr: "no such user"}},
		"output is no reason":    {"echo hello; exit 255", &ExitError{Code: 255}},
		"later":                  {"exit 75", ebb.Snooze(defaultSnooze)},
		"killed by itself":       {"echo bye >&2; kill -KILL $$", &SignalError{Signal: "SIGKILL", Stderr: "bye"}},
		"a signal of its own":    {"kill -USR1 $$", &SignalError{Signal: "SIGUSR1"}},
		"TERM that nobody sent":  {"kill -TERM $$", &SignalError{Signal: "SIGTERM"}},
		"143 that nobody sent":   {"exit 143", &ExitError{Code: 143}},
		"closes its input":       {"exec <&-; exit 0", nil},
		"never reads":            {"exec sleep 0.01", nil},
		"only closes its output": {"exec >&- 2>&-; sleep 0.05; exit 4", &ExitError{Code: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, s.run(t.Context(), s.shell(tt.script))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrorsReadWell(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"exit status 3":                                                 &ExitError{Code: 3},
		"two (exit status 3)\none\ntwo":                                 &ExitError{Code: 3, Stderr: "one\ntwo"},
		"late (ended by SIGTERM)":                                       &SignalError{Signal: "SIGTERM", Ours: true, Stderr: "late"},
		"killed by SIGSEGV, which ebb has not sent":                     &SignalError{Signal: "SIGSEGV"},
		"killed by SIGKILL, which ebb has not sent (was memory short?)": &SignalError{Signal: "SIGKILL"},
		"the guard of the program was killed, and the program with it":  &GuardError{},
		"program was not started: x: no such file or directory":         &StartError{fmt.Errorf("x: %w", syscall.ENOENT)},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestInput: the program finds the bytes of the payload, as often as it reads them.
func TestInput(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	payload := `{"class":"Test", "args":["$(touch harm)", "'; touch harm", "ü\u0000"],"jid":"a","unknown":1e400}`
	spec := s.shell(`cat > first; exec < /dev/stdin; cat > second; (echo x >&0) 2> /dev/null && exit 1; ls -ld "$(dirname "$EBB_CHECKPOINT")" | cut -c1-10 > mode`)
	if err := New(spec, s.options()).Run(t.Context(), job(t, payload)); err != nil {
		t.Fatal(err, s.output)
	}
	if diff := cmp.Diff(payload, s.read("first")); diff != "" {
		t.Errorf("first read (-want +got):\n%s", diff)
	}
	if runtime.GOOS == "linux" { // elsewhere a descriptor opened anew goes on where it was
		if diff := cmp.Diff(payload, s.read("second")); diff != "" {
			t.Errorf("second read (-want +got):\n%s", diff)
		}
	}
	if got := strings.TrimSpace(s.read("mode")); got != "drwx------" {
		t.Errorf("the job's folder is %s", got)
	}
	if s.read("harm") != "" {
		t.Error("something of a payload was executed")
	}
}

// TestOddNames: what is in a payload does no harm in the environment or the output.
func TestOddNames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, jid := range map[string]string{
		"NUL": `a\u0000b`, "line": `a\nEBB_KIND=x`, "equals": `=a=b`, "escape": `\u001b[2Jab`, "huge": strings.Repeat("x", 1<<20), "none": "",
	} {
		spec := s.shell(`printf %s "$EBB_JID" > "$1"; printf %s "$EBB_KIND" >> "$1"; echo hello; exit 0`)
		spec.Argv = append(spec.Argv, "sh", name)
		if err := New(spec, s.options()).Run(t.Context(), job(t, `{"class":"Test","args":[],"jid":"`+jid+`"}`)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := map[string]string{
		"NUL": "a\uFFFDbTest", "line": "a\nEBB_KIND=xTest", "equals": "=a=bTest", "escape": "\x1b[2JabTest",
		"huge": strings.Repeat("x", maxValue) + "Test", "none": "Test",
	}
	for name, text := range want {
		if diff := cmp.Diff(text, s.read(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if strings.ContainsAny(s.output.String(), "\x1b\x00") || strings.Count(s.output.String(), "\n") != len(want) {
		t.Errorf("odd output:\n%q", s.output)
	}
}

func TestCannotStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(s.path(name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("text", "no program\n", 0o700)
	write("secret", "#!/bin/sh\n", 0o600)
	write("stray", "#!/nonexistent/interpreter\n", 0o700)
	write("deleted", "#!/bin/sh\n", 0o700)
	at := func(name string) string { return s.path(name) + ": " }
	for name, tt := range map[string]struct {
		atStart string // what Check says; "": nothing
		atJob   string
	}{
		"./text":          {"", at("text") + "exec format error (a script's first line names its interpreter, as in #!/bin/sh)"},
		"./stray":         {at("stray") + "no such file or directory: the interpreter in its first line", at("stray") + "no such file or directory: the interpreter in its first line"},
		"./secret":        {at("secret") + "permission denied", at("secret") + "permission denied"},
		"./missing":       {at("missing") + "no such file or directory", at("missing") + "no such file or directory"},
		".":               {".: ", ".: "},
		"no-such-program": {"no-such-program: executable file not found in $PATH", "no-such-program: executable file not found in $PATH"},
		"./deleted":       {"", at("deleted") + "no such file or directory"},
	} {
		spec := Spec{Kind: "Test", Argv: []string{name}, Dir: s.dir}
		switch err := spec.Check(); {
		case tt.atStart == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.atStart != "" && (err == nil || !strings.Contains(err.Error(), "handler for Test: "+tt.atStart)):
			t.Errorf("%s: at start %q, want %q", name, err, tt.atStart)
		}
		if name == "./deleted" {
			if err := os.Remove(s.path("deleted")); err != nil {
				t.Fatal(err)
			}
		}
		err := s.run(t.Context(), spec)
		if _, ok := errors.AsType[*StartError](err); !ok || !strings.Contains(err.Error(), tt.atJob) {
			t.Errorf("%s: at the job %v, want %q", name, err, tt.atJob)
		}
	}
	if err := s.run(t.Context(), s.shell("exit 0")); err != nil {
		t.Errorf("the next program: %v", err)
	}
}

func TestSpecCheck(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spec Spec
		want []string // none: it is right
	}{
		"right":       {Spec{Argv: []string{"sh", "-c", "exit"}, Env: []string{"A=b=c"}, Notice: syscall.SIGUSR1, Timeout: time.Second}, nil},
		"nothing":     {Spec{}, []string{"there is no command"}},
		"no name":     {Spec{Argv: []string{""}}, []string{"there is no command"}},
		"NUL":         {Spec{Argv: []string{"sh", "a\x00b"}}, []string{`"a\x00b" has a NUL byte in it`}},
		"environment": {Spec{Argv: []string{"sh"}, Env: []string{"A", "=b"}}, []string{`"A" is not name=value`, `"=b" is not name=value`}},
		"times":       {Spec{Argv: []string{"sh"}, Snooze: -1}, []string{"a time is negative"}},
		"notice":      {Spec{Argv: []string{"sh"}, Notice: syscall.SIGKILL}, []string{"SIGKILL is no notice"}},
		"folder":      {Spec{Argv: []string{"sh"}, Dir: "/nonexistent"}, []string{"/nonexistent: no such file or directory"}},
		"no folder":   {Spec{Argv: []string{"sh"}, Dir: "/dev/null"}, []string{"/dev/null is not a folder"}},
		"several":     {Spec{Argv: []string{"./x"}, Dir: "/nonexistent"}, []string{"stat /nonexistent", "/nonexistent/x: no such file"}},
	} {
		tt.spec.Kind = "ResizeImage"
		err := tt.spec.Check()
		if (err == nil) != (len(tt.want) == 0) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range append(tt.want, "command: handler for ResizeImage: ") {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
	}
}

// TestNowhereToWrite: nothing is started, and the next try may find a better place.
func TestNowhereToWrite(t *testing.T) {
	s := newSite(t)
	t.Setenv("TMPDIR", "/nonexistent")
	err := s.run(t.Context(), s.shell("touch started"))
	if _, ok := errors.AsType[*StartError](err); !ok || !strings.Contains(err.Error(), "make a folder for a job") {
		t.Errorf("got %v", err)
	}
	t.Setenv("TMPDIR", s.dir)
	if err := s.run(t.Context(), s.shell("ls -d ebb-job-* > during")); err != nil {
		t.Error(err)
	}
	if s.read("during") == "" || exec.Command("sh", "-c", "ls -d "+s.dir+"/ebb-job-*").Run() == nil {
		t.Error("the job's folder was not where it should be, or is still there")
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	j := job(t, `{"class":"Test","args":[],"jid":"a"}`)
	info := ebb.JobInfo{Queue: "q", Attempt: 2, Interruptions: 3}
	base := []string{"PATH=/bin", "A=1", "EBB_DEADLINE=7", "EBB_JID=outer", "A=2", "odd"}
	want := []string{"PATH=/bin", "A=3", "EBB_JID=a", "EBB_KIND=Test", "EBB_QUEUE=q", "EBB_ATTEMPT=2", "EBB_INTERRUPTIONS=3", "EBB_CHECKPOINT=/c"}
	if diff := cmp.Diff(want, environment(base, []string{"A=3"}, j, info, time.Time{}, "/c")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = append(want, "EBB_DEADLINE=12")
	if diff := cmp.Diff(want, environment(base, []string{"A=3"}, j, info, time.Unix(12, 0), "/c")); diff != "" {
		t.Errorf("with a deadline (-want +got):\n%s", diff)
	}
}

func TestContextHasEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ebb.ErrCanceled)
	if err := s.run(ctx, s.shell("touch started")); !errors.Is(err, ebb.ErrCanceled) || s.read("started") != "" {
		t.Errorf("got %v", err)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	exited := func(code int) syscall.WaitStatus { return syscall.WaitStatus(code << 8) }
	died := func(s syscall.Signal) syscall.WaitStatus { return syscall.WaitStatus(s) }
	for name, tt := range map[string]struct {
		e    ending
		want error
	}{
		"done though it was to end":  {ending{status: exited(0), cause: ebb.ErrDraining}, nil},
		"later":                      {ending{status: exited(75), snooze: 3}, &verdict.Snooze{D: 3}},
		"later, in a stop":           {ending{status: exited(75), stopping: true}, ebb.ErrYield},
		"later, at a timeout":        {ending{status: exited(75), cause: ebb.ErrTimeout, snooze: 3}, &verdict.Snooze{D: 3}},
		"later, but canceled":        {ending{status: exited(75), cause: ebb.ErrCanceled}, ebb.ErrCanceled},
		"drained by TERM":            {ending{status: died(syscall.SIGTERM), cause: ebb.ErrDraining}, ebb.ErrDraining},
		"drained, and says so":       {ending{status: exited(143), cause: ebb.ErrDraining}, ebb.ErrDraining},
		"drained by KILL":            {ending{status: died(syscall.SIGKILL), cause: ebb.ErrDraining}, ebb.ErrDraining},
		"rescued":                    {ending{status: died(syscall.SIGTERM), cause: ebb.ErrLeaseLost}, ebb.ErrLeaseLost},
		"failed while it was to end": {ending{status: exited(1), cause: ebb.ErrDraining}, &ExitError{Code: 1}},
		"timeout":                    {ending{status: died(syscall.SIGTERM), cause: ebb.ErrTimeout, stderr: "x"}, &SignalError{Signal: "SIGTERM", Ours: true, Stderr: "x"}},
		"timeout, and says so":       {ending{status: exited(143), cause: ebb.ErrTimeout}, &ExitError{Code: 143}},
		"died of the notice":         {ending{status: died(syscall.SIGUSR1), notice: syscall.SIGUSR1, stopping: true}, ebb.ErrYield},
		"ended at the notice":        {ending{status: exited(128 + int(syscall.SIGUSR1)), notice: syscall.SIGUSR1, stopping: true}, ebb.ErrYield},
		"143 at the notice":          {ending{status: exited(143), notice: syscall.SIGUSR1, stopping: true}, ebb.ErrYield},
		"another signal":             {ending{status: died(syscall.SIGUSR2), notice: syscall.SIGUSR1, stopping: true}, &SignalError{Signal: "SIGUSR2"}},
		"KILL at the notice":         {ending{status: died(syscall.SIGKILL), notice: syscall.SIGUSR1, stopping: true}, &SignalError{Signal: "SIGKILL"}},
		"TERM from the platform":     {ending{status: died(syscall.SIGTERM), stopping: true}, ebb.ErrYield},
		"TERM from somebody":         {ending{status: died(syscall.SIGTERM)}, &SignalError{Signal: "SIGTERM"}},
		"crash in a stop":            {ending{status: died(syscall.SIGSEGV), stopping: true}, &SignalError{Signal: "SIGSEGV"}},
	} {
		if diff := cmp.Diff(tt.want, tt.e.verdict(), cmp.Comparer(func(a, b error) bool {
			return fmt.Sprintf("%T %v", a, a) == fmt.Sprintf("%T %v", b, b)
		})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestKillAt(t *testing.T) {
	t.Parallel()
	over := time.Unix(1000, 0)
	in := func(d time.Duration) time.Time { return over.Add(d) }
	for name, tt := range map[string]struct {
		cause error
		hour  time.Time
		want  time.Duration
	}{
		"timeout":                      {ebb.ErrTimeout, time.Time{}, patience},
		"canceled, a stop is far":      {ebb.ErrCanceled, in(time.Hour), patience},
		"timeout, a stop is near":      {ebb.ErrTimeout, in(5 * time.Second), 2500 * time.Millisecond},
		"rescued by another":           {ebb.ErrLeaseLost, time.Time{}, rescued},
		"draining, a reserve of 2 s":   {ebb.ErrDraining, in(2 * time.Second), time.Second},
		"draining, a reserve of 10 s":  {ebb.ErrDraining, in(10 * time.Second), 5 * time.Second},
		"draining, -t is long before":  {ebb.ErrDraining, in(100 * time.Second), 50 * time.Second},
		"draining, nobody knows until": {ebb.ErrDraining, time.Time{}, patience},
		"draining, it is too late":     {ebb.ErrDraining, in(-time.Second), -time.Second},
	} {
		if got := killAt(over, tt.cause, tt.hour).Sub(over); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
