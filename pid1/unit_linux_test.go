package pid1

import (
	"encoding/json"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/stopseq"
	"github.com/ebbjobs/ebb/store"
)

// fakeProc is a /proc with these processes: PID, parent, state, the signals that are
// caught and blocked, and the command line.
func fakeProc(lines ...[6]any) *proc {
	files := fstest.MapFS{"self/stat": {Data: []byte("1 (x) S")}, "meminfo": {}, "99/stat": {Data: []byte("cut sh")}}
	for _, l := range lines {
		pid := fmt.Sprint(l[0])
		files[pid+"/stat"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%v (a) S 7 (b) %v %v 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 8%v 0 0\n", l[0], l[2], l[1], l[0])}
		files[pid+"/status"] = &fstest.MapFile{Data: fmt.Appendf(nil, "Name:\ta\nSigBlk:\t%016x\nSigIgn:\tffffffffffffffff\nSigCgt:\t%016x\n", l[4], l[3])}
		files[pid+"/cmdline"] = &fstest.MapFile{Data: []byte(l[5].(string))}
	}
	return &proc{FS: files}
}

const (
	term = 1 << (syscall.SIGTERM - 1)
	usr1 = 1 << (syscall.SIGUSR1 - 1)
)

func TestConcerned(t *testing.T) {
	t.Parallel()
	p := fakeProc(
		[6]any{1, 0, "S", 0, 0, "init"},
		[6]any{2, 1, "S", 0, 0, "sh"},
		[6]any{3, 2, "S", term, 0, "worker"}, // catches TERM
		[6]any{4, 3, "S", 0, 0, "helper"},
		[6]any{5, 2, "S", 0, term, "tini"}, // waits for it in a loop
		[6]any{6, 5, "S", 0, 0, "below tini"},
		[6]any{7, 2, "Z", 0, 0, ""},
		[6]any{8, 1, "T", 0, 0, "orphan"},
	)
	children := p.children()
	roots := children[1]
	slices.SortFunc(roots, func(a, b process) int { return a.pid - b.pid })
	pids := func(all []process) (pids []int) {
		for _, c := range all {
			pids = append(pids, c.pid)
		}
		return pids
	}
	for _, c := range []struct {
		name  string
		roots []process
		s     syscall.Signal
		want  []int
	}{
		{"who catches it looks after those below", roots[:1], syscall.SIGTERM, []int{2, 3, 5}},
		{"another signal goes on", roots[:1], syscall.SIGUSR1, []int{2, 3, 5, 4, 6}},
		{"KILL has no handlers", roots[:1], syscall.SIGKILL, []int{2, 3, 5, 4, 6}},
		{"all", roots, syscall.SIGTERM, []int{2, 8, 3, 5}},
	} {
		got := pids(p.concerned(c.roots, children, c.s))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := pids(below(roots, children)); !slices.Equal(got, []int{2, 8, 3, 5, 4, 6}) {
		t.Errorf("below: %v", got)
	}
	if c, ok := p.process(8); !ok || c != (process{incarnation{8, 88}, 1, false, true}) {
		t.Errorf("process 8: %+v, %v", c, ok)
	}
	if !p.sees(1) || p.sees(2) {
		t.Error("whose /proc it is was not seen")
	}
}

func TestTitle(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*title{
		"sidekiq 6.4.1 shop [1 of 5 busy]":            {1, false, 5 * time.Second},
		"sidekiq 6.4.1 shop [0 of 5 busy] stopping":   {0, true, 5 * time.Second},
		"sidekiq 8.1.7 a [b] [12 of 25 busy]":         {12, false, 10 * time.Second},
		"sidekiq 7.0.0 [0 of 1 busy] stopping":        {0, true, 10 * time.Second},
		"sidekiq 6.4.1 shop":                          nil,
		"sidekiq x [1 of 5 busy]":                     nil,
		"grep sidekiq 6.4.1 shop [1 of 5 busy]":       nil,
		"ruby /usr/bin/sidekiq -c 5":                  nil,
		"sidekiq 6.4.1 shop [many of 5 busy] resting": nil,
	} {
		got, ok := parseTitle(text)
		if ok != (want != nil) || ok && got != *want {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
}

// TestRestful: between a fetch and the next heartbeat a title shows no job.
func TestRestful(t *testing.T) {
	t.Parallel()
	w := &workers{rested: map[incarnation]time.Time{}}
	p := incarnation{7, 1}
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		title title
		want  bool
	}{
		{0, title{0, false, 5 * time.Second}, false},
		{0, title{0, true, 5 * time.Second}, false},
		{4 * time.Second, title{0, true, 5 * time.Second}, false},
		{time.Second / 2, title{1, true, 5 * time.Second}, false}, // there was one after all
		{time.Second, title{0, true, 5 * time.Second}, false},
		{5 * time.Second, title{0, true, 5 * time.Second}, true},
	} {
		now = now.Add(step.after)
		if got := w.restful(p, step.title, now); got != step.want {
			t.Errorf("%+v: %v", step, got)
		}
	}
}

// TestRestOfTitles: all must be idle, and one that has ended is.
func TestRestOfTitles(t *testing.T) {
	t.Parallel()
	p := fakeProc([6]any{1, 0, "S", 0, 0, "init"}, [6]any{1002, 1, "S", 0, 0, "sidekiq 6.4.1 shop [1 of 5 busy] stopping"})
	w := &workers{proc: p, self: 1, pid: 1002, rested: map[incarnation]time.Time{}}
	if w.rest() {
		t.Error("a busy one is taken for idle")
	}
	w.proc = fakeProc([6]any{1, 0, "S", 0, 0, "init"}, [6]any{1002, 1, "Z", 0, 0, ""})
	if !w.rest() {
		t.Error("one that has ended is waited for")
	}
	if (&workers{proc: w.proc, self: 1, pid: 1002}).rest() {
		t.Error("where nobody can tell, it is taken for idle")
	}
}

// TestIdleAnswer reads what package control writes.
func TestIdleAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		s    control.Status
		want bool
	}{
		{"it runs", control.Status{State: "running"}, false},
		{"quiet", control.Status{State: "quiet"}, true},
		{"quiet, an empty list", control.Status{State: "quiet", Busy: []store.Run{}}, true},
		{"draining a job", control.Status{State: "draining", Busy: []store.Run{{JID: "1"}}}, false},
		{"words that look like fields", control.Status{State: "draining", Why: `","busy":[]`, Busy: []store.Run{{Note: `"busy":null`}}}, false},
	} {
		text, err := json.Marshal(map[string]any{"status": &c.s})
		if err != nil {
			t.Fatal(err)
		}
		if got := idleAnswer(string(text)); got != c.want || got != c.s.Idle() {
			t.Errorf("%s: %v: %s", c.name, got, text)
		}
	}
}

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, c := range []struct {
		name string
		fs   fstest.MapFS
		want int
	}{
		{"version 2", fstest.MapFS{"proc/self/cgroup": file("0::/app\n"), "sys/fs/cgroup/app/memory.events": file("low 0\noom 4\noom_kill 3\noom_group_kill 0\n"), "sys/fs/cgroup/memory.events": file("oom_kill 9\n")}, 3},
		{"version 2, a container that sees its own at the top", fstest.MapFS{"proc/self/cgroup": file("0::/../../kubepods/x\n"), "sys/fs/cgroup/memory.events": file("oom_kill 2\n")}, 2},
		{"version 1", fstest.MapFS{"proc/self/cgroup": file("5:cpu,cpuacct:/a\n4:memory:/docker/1\n0::/\n"), "sys/fs/cgroup/memory/memory.oom_control": file("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n")}, 7},
		{"nobody tells", fstest.MapFS{}, 0},
	} {
		if got := memoryEvents(c.fs).kills(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestCause(t *testing.T) {
	t.Parallel()
	killed, exited := syscall.WaitStatus(syscall.SIGKILL), func(code int) syscall.WaitStatus { return syscall.WaitStatus(code << 8) }
	for _, c := range []struct {
		name   string
		status syscall.WaitStatus
		ooms   int
		want   string
	}{
		{"killed", killed, 1, "SIGKILL"},
		{"killed for want of memory", killed, 2, "oom"},
		{"a shell whose child was", exited(137), 2, "oom"},
		{"an exit while another was", exited(1), 2, "exit:1"},
		{"an abort", syscall.WaitStatus(syscall.SIGABRT), 1, "SIGABRT"},
		{"a signal without a name", syscall.WaitStatus(40), 1, "exit:168"},
	} {
		if got := (child{status: c.status, ooms: 1}).cause(c.ooms); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestKillHour(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sequence    string
		grace, want time.Duration
	}{
		{"TSTP;idle<=1h;TERM;25s;KILL", 0, time.Hour + 25*time.Second},
		{"TSTP;idle<=1h;TERM;25s;KILL", 10 * time.Minute, 10*time.Minute - 2*time.Second},
		{"TERM;25s;KILL", 10 * time.Second, 10 * time.Second},
		{"TSTP;10s;TERM", time.Minute, time.Minute},
		{"TSTP;10s;TERM", 0, 0},
	} {
		q, err := stopseq.Parse(c.sequence)
		if err != nil {
			t.Fatal(err)
		}
		if got := killHour(q, c.grace); got != c.want {
			t.Errorf("%s with %v: %v, want %v", c.sequence, c.grace, got, c.want)
		}
	}
}
