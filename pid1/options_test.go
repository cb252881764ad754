package pid1

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/stopseq"
)

func TestParse(t *testing.T) {
	t.Parallel()
	base := func(change func(*options)) options {
		o := options{
			command: []string{"app"}, verbosity: warnings, on: syscall.SIGTERM, linger: 5 * time.Second,
			success: map[int]bool{}, rewrite: map[syscall.Signal]syscall.Signal{},
		}
		change(&o)
		return o
	}
	for _, c := range []struct {
		name    string
		args    string
		environ []string
		want    options
	}{
		{"nothing", "app", nil, base(func(*options) {})},
		{"flags of the command stay its own", "-g app -g --stop", nil, base(func(o *options) { o.reach, o.command = toGroup, []string{"app", "-g", "--stop"} })},
		{"two dashes", "-- -app --", nil, base(func(o *options) { o.command = []string{"-app", "--"} })},
		{"short ones together", "-sgvvwe143 -e 3 -p SIGKILL app", nil, base(func(o *options) {
			o.reach, o.verbosity, o.warnReaped, o.parentDeath = toGroup, warnings+2, true, syscall.SIGKILL
			o.success = map[int]bool{143: true, 3: true}
		})},
		{"dumb-init's", "-c -r 15:2 --rewrite=TTIN:0 --single-child app", nil, base(func(o *options) {
			o.reach = toChild
			o.rewrite = map[syscall.Signal]syscall.Signal{syscall.SIGTERM: syscall.SIGINT, syscall.SIGTTIN: 0}
		})},
		{"our own", "--stop TERM;5;KILL --on=QUIT --grace 1m --linger 2 --map USR1=TSTP --store redis://x --restart on-crash app", nil, base(func(o *options) {
			o.sequence, _ = stopseq.Parse("TERM;5;KILL")
			o.on, o.grace, o.linger, o.store, o.restart = syscall.SIGQUIT, time.Minute, 2*time.Second, "redis://x", true
			o.rewrite = map[syscall.Signal]syscall.Signal{syscall.SIGUSR1: syscall.SIGTSTP}
		})},
		{"variables", "app", []string{"TINI_SUBREAPER=", "TINI_KILL_PROCESS_GROUP=", "TINI_VERBOSITY=3", "EBB_GRACE=90", "EBB_STORE=sqlite:x"}, base(func(o *options) {
			o.reach, o.verbosity, o.grace, o.store = toGroup, 3, 90*time.Second, "sqlite:x"
		})},
		{"dumb-init's variables", "app", []string{"DUMB_INIT_SETSID=0", "DUMB_INIT_DEBUG=1"}, base(func(o *options) { o.reach, o.verbosity = toChild, signals })},
		{"a flag goes above its variable", "--grace 5s --store b app", []string{"EBB_GRACE=90", "EBB_STORE=a"}, base(func(o *options) { o.grace, o.store = 5*time.Second, "b" })},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(strings.Fields(c.args), c.environ)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(options{})); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, environ, want string }{
		{"", "", "no command to run: say which"},
		{"--", "", "no command"},
		{"--stopp x app", "", "unknown flag --stopp: ebb init -h"},
		{"-gx app", "", "unknown flag -x"},
		{"--grace", "", "--grace needs a value: add TIME"},
		{"-e", "", "-e needs a value: add CODE"},
		{"--group=x app", "", "--group takes no value: leave out =x"},
		{"-e 300 app", "", "-e: say a number from 0 to 255"},
		{"--grace 0 app", "", `--grace: "0" is no time above zero`},
		{"--grace inf app", "", `--grace: "inf" is no time`},
		{"--on FOO app", "", `--on: "FOO" is no signal: say TERM`},
		{"--on KILL app", "", "--on: KILL does not reach an init"},
		{"--map URG=TERM app", "", "--map: URG does not reach an init"},
		{"--map TERM app", "", "--map: say two signals"},
		{"--restart always app", "", "--restart: say on-crash or never"},
		{"--stop TSTP;idle app", "", "--stop: "},
		{"app", "EBB_GRACE=soon", `EBB_GRACE: "soon" is no time`},
	} {
		t.Run(c.args+" "+c.environ, func(t *testing.T) {
			t.Parallel()
			_, err := parse(strings.Fields(c.args), []string{c.environ})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestHelp: each flag is in it, and no name stands for two.
func TestHelp(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range Flags() {
		if !strings.Contains(page(showHelp), "--"+f.Long) || f.Usage == "" {
			t.Errorf("--%s is not explained", f.Long)
		}
		for _, name := range []string{f.Long, f.Short} {
			if name != "" && seen[name] {
				t.Errorf("%s stands for two flags", name)
			}
			seen[name] = true
		}
	}
}
