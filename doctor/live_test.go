package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/platform"
)

// Masks as /proc writes them: of TERM and TSTP, and of TERM alone.
const (
	both     = "0000000000084000"
	onlyTSTP = "0000000000080000"
	onlyTERM = "0000000000004000"
)

// proc is the /proc of processes, each "pid parent state caught ignored blocked name
// command line…".
func proc(files map[string]string, processes ...string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for _, p := range processes {
		f := strings.Fields(p)
		dir := "proc/" + f[0] + "/"
		root[dir+"status"] = &fstest.MapFile{Data: fmt.Appendf(nil, "Name:\t%s\nState:\t%s (x)\nPPid:\t%s\nSigBlk:\t%s\nSigIgn:\t%s\nSigCgt:\t%s\n", f[6], f[2], f[1], f[5], f[4], f[3])}
		root[dir+"stat"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%s (%s) %s %s 1 1 0 -1 4194304\n", f[0], f[6], f[2], f[1])}
		root[dir+"cmdline"] = &fstest.MapFile{Data: []byte(strings.Join(f[7:], "\x00") + "\x00")}
	}
	return root
}

func TestLive(t *testing.T) {
	t.Parallel()
	docker := map[string]string{".dockerenv": ""}
	with := func(pairs ...string) map[string]string {
		files := map[string]string{".dockerenv": ""}
		for i := 0; i < len(pairs); i += 2 {
			files[pairs[i]] = pairs[i+1]
		}
		return files
	}
	const fine = "1 0 S " + both + " 0 0 ruby sidekiq 7.3.0 shop [0 of 5 busy]"
	cases := []struct {
		name    string
		environ string // "" for EBB_GRACE and EBB_STORE
		root    fstest.MapFS
		store   []string
		want    []string // rule, severity, place, a part of the effect
	}{
		{"nothing wrong", "", proc(docker, fine), nil, nil},
		{"PID 1 is a shell", "", proc(docker, "1 0 S 0 0 0 sh sh -c sidekiq;true", "7 1 S "+both+" 0 0 ruby bundle exec sidekiq"), nil,
			[]string{"L01 error /proc/7/status PID 1 is sh, which ignores TERM"}},
		{"an init that waits", "", proc(docker, "1 0 S "+both+" 0 0 ebb ebb init -- sh -c sidekiq", "6 1 S 0 0 0 sh sh -c sidekiq", "7 6 S "+both+" 0 0 ruby ruby /bin/sidekiq"), nil, nil},
		{"the lower one of two", "", proc(docker, "1 0 S "+both+" 0 0 tini tini -- bundle exec sidekiq", "6 1 S 0 0 0 bundle bundle exec sidekiq", "7 6 S "+both+" 0 0 ruby sidekiq 7.3.0 shop [1 of 5 busy]"), nil,
			[]string{"L01 error /proc/7/status only if bundle (PID 6) passes it on"}},
		{"TERM ignored", "", proc(docker, "1 0 S "+onlyTSTP+" "+onlyTERM+" 0 ruby ruby sidekiq"), nil, []string{"L02 error /proc/1/status ignores TERM"}},
		{"TERM blocked", "", proc(docker, "1 0 S "+onlyTSTP+" 0 "+onlyTERM+" ruby ruby sidekiq"), nil, []string{"L02 error /proc/1/status blocks TERM"}},
		{"TERM blocked in one thread", "", proc(docker, "1 0 S "+both+" 0 "+onlyTERM+" ruby ruby sidekiq"), nil, nil},
		{"no handler as PID 1", "", proc(docker, "1 0 S "+onlyTSTP+" 0 0 ruby ruby sidekiq"), nil, []string{"L03 error /proc/1/status the kernel drops it"}},
		{"no handler below one", "", proc(nil, "9 1 S 0 0 0 python3 python3 -m celery worker"), nil, []string{"L03 error /proc/9/status it dies at once"}},
		{"TSTP freezes", "", proc(docker, "1 0 S "+onlyTERM+" 0 0 ruby ruby sidekiq"), nil, []string{"L04 warn /proc/1/status TSTP freezes"}},
		{"TSTP is nothing to Celery", "", proc(docker, "1 0 S "+onlyTERM+" 0 0 python3 python3 -m celery worker"), nil, nil},
		{"frozen", "", proc(docker, "1 0 T "+both+" 0 0 ruby ruby sidekiq"), nil, []string{"L04 warn /proc/1/status is frozen"}},
		{"a promise that is too long", "DYNO=worker.1 EBB_GRACE=60 EBB_STORE=x", proc(nil, fine), nil, []string{"L05 warn EBB_GRACE 60 s, and Heroku may KILL after 30 s"}},
		{"nothing told", "X=y", proc(docker, fine), nil, []string{"L06 info EBB_GRACE workers here count on 10 s"}},
		{"killed for memory, version 2", "", proc(with("proc/1/cgroup", "0::/pods/a\n", "sys/fs/cgroup/pods/memory.max", "1073741824\n", "sys/fs/cgroup/pods/memory.current", "5\n",
			"sys/fs/cgroup/pods/memory.events", "low 0\noom 3\noom_kill 2\n", "sys/fs/cgroup/pods/a/memory.max", "max\n"), fine), nil,
			[]string{"L07 warn /sys/fs/cgroup/pods/memory.max KILLed 2 here"}},
		{"killed for memory, version 1", "", proc(with("proc/1/cgroup", "4:memory:/docker/abc\n2:cpu,cpuacct:/x\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n",
			"sys/fs/cgroup/memory/memory.oom_control", "under_oom 0\noom_kill 1\n"), fine), nil,
			[]string{"L07 warn /sys/fs/cgroup/memory/memory.limit_in_bytes KILLed 1 here"}},
		{"no limit, version 1", "", proc(with("proc/1/cgroup", "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.oom_control", "oom_kill 1\n"), fine), nil, nil},
		{"few processes left", "", proc(with("proc/1/cgroup", "0::/../outside\n", "sys/fs/cgroup/pids.max", "100\n", "sys/fs/cgroup/pids.current", "90\n"), fine), nil,
			[]string{"L08 warn /sys/fs/cgroup/pids.max 90 of 100"}},
		{"enough left", "", proc(with("proc/1/cgroup", "0::/\n", "sys/fs/cgroup/pids.max", "100\n", "sys/fs/cgroup/pids.current", "89\n"), fine), nil, nil},
		{"a store that evicts", "", proc(docker, fine), []string{"maxmemory-policy is allkeys-lru: the server may throw jobs away; set it to noeviction"},
			[]string{"L09 warn the store maxmemory-policy is allkeys-lru"}},
		{"a search for workers is none", "", proc(docker, fine, "8 1 S 0 0 0 grep grep sidekiq", "9 1 Z 0 0 0 ruby ruby sidekiq", "10 1 S 0 0 0 redis-server redis-server"), nil, nil},
		{"no worker: what would become of one", "", proc(docker, "1 0 S 0 0 0 sh sh -c ebb", "77 1 S 0 0 0 ebb ebb doctor --live"), nil, []string{"L01 info /proc/77/status PID 1 is sh"}},
		{"no /proc", "", fstest.MapFS{}, nil, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			environ := strings.Fields(c.environ)
			if c.environ == "" {
				environ = []string{"EBB_GRACE=10s", "EBB_STORE=redis://:secret@cache/0"}
			}
			getenv := func(name string) string {
				i := slices.IndexFunc(environ, func(e string) bool { return strings.HasPrefix(e, name+"=") })
				if i < 0 {
					return ""
				}
				return strings.TrimPrefix(environ[i], name+"=")
			}
			m, r, err := Live(Here{Input: platform.Input{Getenv: getenv, Root: c.root, PID: 77}, Environ: environ, StoreWarnings: c.store})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(fmt.Sprintf("%+v %+v", m, r), "secret") {
				t.Error("a password is shown")
			}
			var got []string
			for i, f := range r.Findings {
				line := fmt.Sprintf("%s %s %s %s", f.Rule, f.Severity, f.At.File, f.Effect)
				if i < len(c.want) {
					place := fmt.Sprintf("%s %s %s ", f.Rule, f.Severity, f.At.File)
					if effect, ok := strings.CutPrefix(c.want[i], place); ok && strings.Contains(f.Effect, effect) {
						line = c.want[i]
					}
				}
				if got = append(got, line); f.Fix == "" {
					t.Errorf("%s says nothing of a fix", f.Rule)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLiveTellsWhatItSaw(t *testing.T) {
	t.Parallel()
	root := proc(map[string]string{"proc/7/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n", "sys/fs/cgroup/memory.current": "1048576\n"},
		"1 0 S "+both+" 0 0 tini tini -- sidekiq", "7 1 S "+both+" 0 0 ruby ruby sidekiq")
	getenv := func(name string) string { return map[string]string{"DYNO": "x", "EBB_GRACE": "20"}[name] }
	m, _, err := Live(Here{Input: platform.Input{Getenv: getenv, Root: root, PID: 99}, Environ: []string{"EBB_GRACE=20", "EBB_URL=", "PATH=/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	m.Workers[0].process = platform.Process{}
	want := &Machine{
		Platform: "Heroku", Grace: 20 * time.Second, Source: "EBB_GRACE", Limit: 30 * time.Second, First: "tini -- sidekiq",
		Workers: []Running{{PID: 7, Command: "ruby sidekiq", Above: []string{"tini (1)"}, kind: sidekiqWorker}},
		Limits:  Limits{Memory: Limit{File: "/sys/fs/cgroup/memory.max", Most: 1 << 30, Used: 1 << 20}},
		Told:    []string{"EBB_GRACE"}, Missing: []string{"EBB_STORE"},
	}
	if diff := cmp.Diff(want, m, cmp.AllowUnexported(Running{}, platform.Process{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	getenv = func(name string) string { return map[string]string{"EBB_GRACE": "soon"}[name] }
	if _, _, err := Live(Here{Input: platform.Input{Getenv: getenv, Root: root, PID: 99}}); err == nil {
		t.Error("a grace that is no time is no error")
	}
}
