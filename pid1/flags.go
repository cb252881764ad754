package pid1

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ebbjobs/ebb/stopseq"
)

// Flag is one that Main takes, for help and completion.
type Flag struct {
	Short string // one letter, or none
	Long  string
	Value string // what its value is called; empty: it takes none
	Usage string

	set func(*options, string) error
}

// Flags lists them in the order of help: ours, then tini's, then dumb-init's.
func Flags() []Flag { return append([]Flag(nil), flags...) }

// The values of options.show.
const (
	showHelp    = "help"
	showVersion = "version"
	showLicense = "license"
)

var flags = []Flag{
	{"", "stop", "SEQUENCE", "end the child so, for example 'TSTP;idle<=1h;TERM;25s;KILL'; default: pass the signal on", (*options).setStop},
	{"", "on", "SIGNAL", "the signal that begins a stop; default TERM", func(o *options, v string) (err error) {
		o.on, err = catchable(v)
		return err
	}},
	{"", "grace", "TIME", "what the platform leaves between that signal and KILL; default EBB_GRACE", func(o *options, v string) (err error) {
		o.grace, err = duration(v)
		return err
	}},
	{"", "linger", "TIME", "how long to wait for what the child leaves behind, outside of a stop; default 5s", func(o *options, v string) (err error) {
		o.linger, err = duration(v)
		return err
	}},
	{"", "map", "FROM=TO", "pass one signal on as another, or as 0: not at all; repeat it for more", (*options).setRewrite},
	{"", "store", "URL", "when the child crashes, give back the jobs it held there; default EBB_STORE, or what ebb.yml says", func(o *options, v string) error {
		o.store = v
		return nil
	}},
	{"", "restart", "WHEN", "on-crash: start the child again when it dies, ever more slowly; default never", func(o *options, v string) error {
		if v != "on-crash" && v != "never" {
			return errors.New("say on-crash or never")
		}
		o.restart = v == "on-crash"
		return nil
	}},
	{"s", "subreaper", "", "take in orphans where it is not process 1; always done", func(*options, string) error { return nil }},
	{"g", "group", "", "send signals to the child's process group, to no others", func(o *options, _ string) error {
		o.reach = toGroup
		return nil
	}},
	{"v", "verbose", "", "say more; twice for each signal", func(o *options, _ string) error {
		o.verbosity++
		return nil
	}},
	{"w", "warn", "", "tell of each process reaped that is not the child", func(o *options, _ string) error {
		o.warnReaped = true
		return nil
	}},
	{"p", "parent-death", "SIGNAL", "get SIGNAL when the parent process ends", func(o *options, v string) (err error) {
		o.parentDeath, err = signalOf(v)
		return err
	}},
	{"e", "success", "CODE", "exit with 0 where the child exits with CODE; repeat it for more", func(o *options, v string) error {
		code, err := strconv.Atoi(v)
		if err != nil || code < 0 || code > 255 {
			return errors.New("say a number from 0 to 255")
		}
		o.success[code] = true
		return nil
	}},
	{"c", "single-child", "", "send signals to the child alone", func(o *options, _ string) error {
		o.reach = toChild
		return nil
	}},
	{"r", "rewrite", "FROM:TO", "as --map, by number or name", (*options).setRewrite},
	{"h", "help", "", "print this and exit", show(showHelp)},
	{"V", "version", "", "print the version and exit", show(showVersion)},
	{"l", "license", "", "print the license and exit", show(showLicense)},
}

func show(what string) func(*options, string) error {
	return func(o *options, _ string) error {
		o.show = what
		return nil
	}
}

func (o *options) setStop(v string) (err error) {
	o.sequence, err = stopseq.Parse(v)
	return err
}

func (o *options) setRewrite(v string) error {
	from, to, ok := strings.Cut(strings.Replace(v, ":", "=", 1), "=")
	if !ok {
		return errors.New("say two signals, such as USR1=TSTP")
	}
	heard, err := catchable(from)
	if err != nil {
		return err
	}
	var sent syscall.Signal
	if to != "0" {
		if sent, err = signalOf(to); err != nil {
			return err
		}
	}
	o.rewrite[heard] = sent
	return nil
}

func signalOf(text string) (syscall.Signal, error) {
	s, ok := stopseq.ParseSignal(text)
	if !ok {
		return 0, errors.New(strconv.Quote(text) + " is no signal: say TERM, SIGTERM or 15")
	}
	return s, nil
}

// catchable reads a signal that this program can get to hear.
func catchable(text string) (syscall.Signal, error) {
	s, err := signalOf(text)
	if err == nil && unheard[s] {
		err = errors.New(stopseq.SignalName(s) + " does not reach an init: choose another")
	}
	return s, err
}

// unheard are the signals that no init gets to hear, and those that Go's runtime
// keeps to itself: 23 (URG) wakes its scheduler, 27 (PROF) is its profiler's, and 32
// to 34 are left to C libraries (package os/signal; go.dev/issue/39343). 17 is CHLD.
var unheard = map[syscall.Signal]bool{9: true, 17: true, 19: true, 23: true, 27: true, 32: true, 33: true, 34: true}

// duration reads a Go duration or a number of seconds.
func duration(text string) (time.Duration, error) {
	spelled := text
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		spelled += "s"
	}
	d, err := time.ParseDuration(spelled)
	if err != nil || d <= 0 {
		return 0, errors.New(strconv.Quote(text) + " is no time above zero: say 30s, 5m or a number of seconds")
	}
	return d, nil
}
