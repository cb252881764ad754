package drain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

// Titles as the versions write them (launcher.rb, PROCTITLES), and what they are not.
func TestTitles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*title{
		"sidekiq 6.4.1 shop [2 of 5 busy]":                 {6, "6.4.1", "shop", 2, false},
		"sidekiq 6.4.1 shop [0 of 5 busy] stopping":        {6, "6.4.1", "shop", 0, true},
		"sidekiq 6.4.1  [0 of 5 busy]":                     {6, "6.4.1", "", 0, false},
		"sidekiq 6.4.1 [0 of 5 busy]":                      {6, "6.4.1", "", 0, false},
		"sidekiq 4.2.10 shop [1 of 25 busy] stopping":      {4, "4.2.10", "shop", 1, true},
		"sidekiq 7.3.10 my shop [blue] [12 of 25 busy]":    {7, "7.3.10", "my shop [blue]", 12, false},
		"sidekiq 8.1.7 ebb [2 of 10 busy] stopping":        {8, "8.1.7", "ebb", 2, true},
		"sidekiq 8.0.0.beta1 shop [0 of 5 busy] leader":    {8, "8.0.0.beta1", "shop", 0, false},
		"sidekiq 8.1.7 shop [0 of 5 busy] leader stopping": {8, "8.1.7", "shop", 0, true},
		"sidekiq 8.1.7 stopping [0 of 5 busy]":             {8, "8.1.7", "stopping", 0, false},
		"ruby /usr/bin/sidekiq -C config/sidekiq.yml":      nil,
		"grep sidekiq 6.4.1 shop [2 of 5 busy]":            nil,
		"sidekiq 8.1.7 shop":                               nil,
		"sidekiqswarm 8.1.7 shop [2 of 5 busy]":            nil,
		"":                                                 nil,
	} {
		got, ok := parseTitle(text)
		if ok != (want != nil) || want != nil && got != *want {
			t.Errorf("%q is read as %+v, %v", text, got, ok)
		}
	}
}

func TestIsSidekiq(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"ruby /usr/bin/sidekiq -c 5":                                     true,
		"/usr/local/bin/ruby3.3 -W0 /app/bin/bundle exec sidekiq -q low": true,
		"bundle exec sidekiq":                                            true,
		"sidekiq -C config/sidekiq.yml":                                  true,
		"jruby -J-Xmx1g -S sidekiq":                                      true,
		"ruby /usr/bin/sidekiqmon":                                       false,
		"ruby script.rb sidekiq":                                         false,
		"sh -c bundle exec sidekiq":                                      false,
		"vim sidekiq":                                                    false,
		"puma 6.4 (tcp://0.0.0.0:3000) [sidekiq]":                        false,
		"": false,
	} {
		if got := isSidekiq(strings.Fields(line)); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

const (
	tstp = 1 << (syscall.SIGTSTP - 1)
	term = 1 << (syscall.SIGTERM - 1)
)

// proc is what a test has in /proc.
type proc struct {
	pid, parent int
	name, line  string // the command line, its words between spaces
	state       string // S
	catches     uint64
	cwd, cgroup string
	uid         int
	born        uint64
}

// system makes a root of processes.
func system(all ...proc) fstest.MapFS {
	root := fstest.MapFS{}
	for _, p := range all {
		p.put(root)
	}
	return root
}

func (p proc) put(root fstest.MapFS) {
	dir := fmt.Sprintf("proc/%d/", p.pid)
	state, cwd := "S", "/app"
	if p.state != "" {
		state = p.state
	}
	if p.cwd != "" {
		cwd = p.cwd
	}
	for name, text := range map[string]string{
		"stat":    fmt.Sprintf("%d (%s) %s %d 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 %d 1 1", p.pid, "a (strange) name", state, p.parent, 100+p.born),
		"status":  fmt.Sprintf("Name:\t%s\nUid:\t%d\t0\t0\t0\nSigCgt:\t%016x\n", p.name, p.uid, p.catches),
		"cmdline": strings.ReplaceAll(p.line, " ", "\x00") + "\x00\x00\x00", "cgroup": "0::/" + p.cgroup + "\n",
	} {
		root[dir+name] = &fstest.MapFile{Data: []byte(text)}
	}
	root[dir+"cwd"] = &fstest.MapFile{Data: []byte(cwd), Mode: fs.ModeSymlink}
}

func TestFind(t *testing.T) {
	t.Parallel()
	const title, other = "sidekiq 6.4.1 shop [1 of 5 busy]", "sidekiq 7.3.10 blog [0 of 5 busy] stopping"
	ruby := proc{pid: 7, parent: 1, name: "ruby", line: title, catches: tstp | term}
	blog := proc{pid: 9, parent: 1, name: "ruby", line: other, catches: tstp | term, cwd: "/blog"}
	sh := proc{pid: 1, name: "sh", line: "sh -c bundle exec sidekiq; echo"}
	now := time.Now()
	record := func(id store.Identity, host, lang string, age time.Duration) store.Process {
		return store.Process{Presence: store.Presence{ID: id, Host: host, PID: id.PID(), Tag: "shop", State: "running"}, Lang: lang, Beat: now.Add(-age)}
	}
	cases := []struct {
		name   string
		procs  []proc
		search Search
		store  []store.Process
		want   []string
		err    error
	}{
		{name: "nobody", procs: []proc{sh}, err: ErrNothing},
		{name: "no /proc at all", err: ErrNothing},
		{name: "behind a shell", procs: []proc{sh, ruby}, want: []string{"sidekiq 6.4.1 shop (pid 7)"}},
		{name: "as the first process", procs: []proc{{pid: 1, name: "ruby", line: title}}, want: []string{"sidekiq 6.4.1 shop (pid 1)"}},
		{name: "not titled yet", procs: []proc{{pid: 3, name: "ruby", line: "ruby /usr/bin/sidekiq -c 5"}}, want: []string{"sidekiq (pid 3)"}},
		{name: "ended, and not reaped", procs: []proc{{pid: 3, name: "ruby", line: title, state: "Z"}}, err: ErrNothing},
		{name: "two of one application", procs: []proc{ruby, {pid: 8, name: "ruby", line: title}}, want: []string{"sidekiq 6.4.1 shop (pid 7)", "sidekiq 6.4.1 shop (pid 8)"}},
		{name: "two applications", procs: []proc{ruby, blog}, err: ErrSeveral},
		{name: "two users", procs: []proc{ruby, {pid: 8, name: "ruby", line: title, uid: 33}}, err: ErrSeveral},
		{name: "two containers, or units", procs: []proc{ruby, {pid: 8, name: "ruby", line: title, cgroup: "b.service"}}, err: ErrSeveral},
		{name: "all applications", procs: []proc{ruby, blog}, search: Search{All: true}, want: []string{"sidekiq 6.4.1 shop (pid 7)", "sidekiq 7.3.10 blog (pid 9)"}},
		{name: "one by its number", procs: []proc{ruby, blog}, search: Search{PIDs: []int{9}}, want: []string{"sidekiq 7.3.10 blog (pid 9)"}},
		{name: "one by that of a shell", procs: []proc{sh, ruby}, search: Search{PIDs: []int{1}}, want: []string{"sidekiq 6.4.1 shop (pid 7)"}},
		{name: "one below a wrapper below an init", procs: []proc{{pid: 1, name: "dumb-init", line: "dumb-init sh"}, {pid: 5, parent: 1, name: "sh", line: "sh run.sh"}, {pid: 3, parent: 5, name: "ruby", line: title}},
			search: Search{PIDs: []int{1}}, want: []string{"sidekiq 6.4.1 shop (pid 3)"}},
		{name: "an init with nobody below", procs: []proc{{pid: 1, name: "dumb-init", line: "dumb-init sleep 1"}, {pid: 5, parent: 1, name: "sleep", line: "sleep 1"}}, search: Search{PIDs: []int{1}}, err: ErrNothing},
		{name: "any program by its number", procs: []proc{{pid: 5, name: "celery", line: "celery worker", catches: term}}, search: Search{PIDs: []int{5}}, want: []string{"celery (pid 5)"}},
		{name: "a script by its number", procs: []proc{{pid: 5, name: "bash", line: "bash worker.sh", catches: term}}, search: Search{PIDs: []int{5}}, want: []string{"bash (pid 5)"}},
		{name: "one that has ended", procs: []proc{sh}, search: Search{PIDs: []int{99}}, err: ErrNothing},
		{name: "one twice", procs: []proc{sh, ruby}, search: Search{PIDs: []int{7, 1}}, want: []string{"sidekiq 6.4.1 shop (pid 7)"}},
		{name: "any program below ebb init", procs: []proc{{pid: 1, name: "ebb", line: "/ebb init -- worker", catches: ^uint64(0)}, {pid: 5, parent: 1, name: "worker", line: "worker", catches: tstp | term}, {pid: 6, parent: 1, name: "cron", line: "cron", catches: term}},
			want: []string{"worker (pid 5)"}},
		{name: "the same below another init", procs: []proc{{pid: 1, name: "tini", line: "tini -- worker"}, {pid: 5, parent: 1, name: "worker", line: "worker", catches: tstp | term}}, err: ErrNothing},
		{name: "by the store", procs: []proc{sh}, store: []store.Process{record("web-1:7:abc", "web-1", "ruby", time.Second), record("web-2:7:abc", "web-2", "ruby", 0), record("web-1:8:old", "web-1", "ruby", time.Minute)},
			want: []string{"ruby worker shop (web-1:7, by the store)"}},
		{name: "not by the store while others are seen", procs: []proc{ruby}, store: []store.Process{record("web-1:8:abc", "web-1", "ruby", 0)}, want: []string{"sidekiq 6.4.1 shop (pid 7)"}},
		{name: "a socket that is gone", search: Search{Sockets: []string{"/nonexistent/ebb.sock"}}, err: ErrNothing},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.search.Root, c.search.Host = system(c.procs...), "web-1"
			if c.store != nil {
				c.search.Store = &shop{all: c.store}
			}
			found, err := c.search.Find(t.Context())
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			var names []string
			for _, w := range found {
				names = append(names, w.Name())
			}
			if diff := cmp.Diff(c.want, names); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// shop is a store.
type shop struct {
	all  []store.Process
	err  error
	told []string
}

func (s *shop) Processes(context.Context) ([]store.Process, error) { return s.all, s.err }

func (s *shop) Command(_ context.Context, id store.Identity, c store.Command) error {
	s.told = append(s.told, string(c.Verb)+" "+string(id))
	if id == "web-1:9:gone" {
		return store.ErrUnknownProcess
	}
	return s.err
}

// TSTP freezes who does not handle it, and USR1 kills who does not.
func TestWhichSignal(t *testing.T) {
	t.Parallel()
	const usr1 = 1 << (syscall.SIGUSR1 - 1)
	for _, c := range []struct {
		name    string
		p       proc
		quiet   []syscall.Signal
		stop    []syscall.Signal
		notYet  bool
		allowed error
	}{
		{name: "Sidekiq 6", p: proc{line: "sidekiq 6.4.1 shop [1 of 5 busy]", catches: tstp | term}, quiet: []syscall.Signal{syscall.SIGTSTP}, stop: []syscall.Signal{syscall.SIGTERM}},
		{name: "Sidekiq 8", p: proc{line: "sidekiq 8.1.7 shop [1 of 5 busy]", catches: tstp | term | usr1}, quiet: []syscall.Signal{syscall.SIGTSTP}, stop: []syscall.Signal{syscall.SIGTERM}},
		{name: "Sidekiq 4", p: proc{line: "sidekiq 4.2.10 shop [1 of 5 busy]", catches: usr1 | term}, quiet: []syscall.Signal{syscall.SIGUSR1}, stop: []syscall.Signal{syscall.SIGTERM}},
		{name: "no version is known", p: proc{line: "ruby /usr/bin/sidekiq", catches: usr1 | tstp}, quiet: []syscall.Signal{syscall.SIGTSTP}, stop: []syscall.Signal{syscall.SIGTERM}},
		{name: "starting", p: proc{line: "ruby /usr/bin/sidekiq"}, notYet: true, stop: []syscall.Signal{syscall.SIGTERM}},
		{name: "frozen", p: proc{line: "sidekiq 6.4.1 shop [1 of 5 busy]", catches: tstp, state: "T"}, quiet: []syscall.Signal{syscall.SIGCONT, syscall.SIGTSTP}, stop: []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.p.pid = 7
			root := system(c.p)
			p, err := readProcess(root, 7)
			if err != nil {
				t.Fatal(err)
			}
			s := newSignalled(root, p, nil)
			var sent []syscall.Signal
			s.send = func(sig syscall.Signal) error { sent = append(sent, sig); return nil }
			err = s.Quiet(t.Context(), time.Time{})
			if errors.Is(err, ErrNotYet) != c.notYet || err != nil && !c.notYet {
				t.Errorf("quiet: %v", err)
			}
			if diff := cmp.Diff(c.quiet, sent); diff != "" {
				t.Errorf("quiet sent (-want +got)\n%s", diff)
			}
			sent = nil
			if err := s.Term(t.Context(), time.Time{}); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c.stop, sent); diff != "" {
				t.Errorf("stop sent (-want +got)\n%s", diff)
			}
		})
	}
}

// What a title says counts once for each heartbeat.
func TestBeatsOfATitle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			version string
			beat    time.Duration
		}{{"6.4.1", 5 * seconds}, {"8.1.7", 10 * seconds}} {
			p := proc{pid: 7, line: "sidekiq " + c.version + " shop [1 of 5 busy]"}
			root := system(p)
			found, err := readProcess(root, 7)
			if err != nil {
				t.Fatal(err)
			}
			s := newSignalled(root, found, nil)
			beat := func(line string) string {
				p.line = line
				p.put(root)
				state, err := s.State(t.Context())
				if err != nil || state.Gone || state.Blind {
					t.Fatalf("%+v, %v", state, err)
				}
				return state.Beat
			}
			busy := beat(p.line)
			idle := "sidekiq " + c.version + " shop [0 of 5 busy] stopping"
			first := beat(idle)
			time.Sleep(c.beat)
			same := beat(idle)
			time.Sleep(c.beat/5 + seconds)
			if next := beat(idle); busy == first || first != same || same == next {
				t.Errorf("%s: %q, then %q, %q and %q", c.version, busy, first, same, next)
			}
		}
	})
}

// A number that was given away is another process.
func TestAnotherProcess(t *testing.T) {
	t.Parallel()
	p := proc{pid: 7, line: "sidekiq 6.4.1 shop [1 of 5 busy]", catches: tstp}
	root := system(p)
	found, err := readProcess(root, 7)
	if err != nil {
		t.Fatal(err)
	}
	s := newSignalled(root, found, nil)
	p.born = 5
	p.put(root)
	s.send = func(sig syscall.Signal) error { t.Errorf("%v was sent to another", sig); return nil }
	if err := s.Quiet(t.Context(), time.Time{}); err != nil {
		t.Error(err)
	}
	if state, err := s.State(t.Context()); err != nil || !state.Gone {
		t.Errorf("%+v, %v", state, err)
	}
	// And so does send itself, between a look and the signal.
	own, err := readProcess(os.DirFS("/"), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := send(os.DirFS("/"), os.Getpid(), own.born+1, syscall.Signal(0)); !errors.Is(err, errGone) {
		t.Errorf("%v", err)
	}
}

// What both a title and the store say is of one heartbeat, that of the store.
func TestTitleAndStore(t *testing.T) {
	t.Parallel()
	p := proc{pid: 7, line: "sidekiq 6.4.1 shop [0 of 5 busy] stopping"}
	root := system(p)
	found, err := readProcess(root, 7)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	run := store.Run{JID: "abc", Kind: "HardJob", Since: now}
	known := store.Process{Presence: store.Presence{ID: "web-1:7:abc", Host: "web-1", PID: 7, State: "running", Busy: []store.Run{run}}, Beat: now}
	look := func(processes ...store.Process) State {
		s := newSignalled(root, found, &fleet{inspector: &shop{all: processes}, host: "web-1"})
		state, err := s.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	if s := look(known); s.Quiet || s.Busy != 1 || len(s.Runs) != 1 || s.Beat != now.String() {
		t.Errorf("the store is one heartbeat behind, and it is %+v", s)
	}
	known.State, known.Busy = "quiet", nil
	if s := look(known); !s.Quiet || s.Busy != 0 || s.Beat != now.String() {
		t.Errorf("both say idle, and it is %+v", s)
	}
	if s := look(known, known); s.Beat == now.String() {
		t.Error("two processes have that number on this host, and one of them was believed")
	}
	known.Beat = now.Add(-time.Minute)
	if s := look(known); !s.Quiet || s.Beat == now.String() {
		t.Error("a process that is gone was believed")
	}
}

func TestRecorded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := store.Process{Presence: store.Presence{ID: "web-1:7:abc", Host: "web-1", PID: 7, State: "quiet"}, Lang: "ruby", Beat: time.Now()}
	s := &shop{all: []store.Process{p}}
	target := func(id store.Identity) *recorded {
		return &recorded{id: id, lang: "ruby", fleet: &fleet{inspector: s, host: "web-1"}}
	}
	r := target(p.ID)
	if state, err := r.State(ctx); err != nil || !state.Quiet || state.Gone || state.Beat != p.Beat.String() {
		t.Errorf("%+v, %v", state, err)
	}
	if err := errors.Join(r.Quiet(ctx, time.Time{}), r.Term(ctx, time.Time{}), target("web-1:9:gone").Term(ctx, time.Time{})); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"quiet web-1:7:abc", "stop web-1:7:abc", "stop web-1:9:gone"}, s.told); diff != "" {
		t.Errorf("told (-want +got)\n%s", diff)
	}
	if state, err := target("web-1:9:gone").State(ctx); err != nil || !state.Gone {
		t.Errorf("%+v, %v", state, err)
	}
	s.err = store.ErrUnreachable
	if _, err := target(p.ID).State(ctx); !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("%v", err)
	}
}

func TestPIDFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	for text, want := range map[string]int{"17\n": 17, " 4 ": 4, "x": -1, "-1": -1, "": -1} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadPIDFile(path); err == nil && got != want || err != nil && want != -1 {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	if got, err := ReadPIDFile(path + ".not"); got != 0 || err != nil {
		t.Errorf("no file: %d, %v", got, err)
	}
}
