package pid1

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ebbjobs/ebb/stopseq"
)

// reach is who gets a signal.
type reach int

const (
	toTree  reach = iota // the child, and below it those that are in nobody's care
	toGroup              // the child's process group
	toChild              // the child alone
)

// The unit of verbosity: each message says from which on it is told.
const (
	warnings = 1 + iota
	news
	signals
)

// options are what the command line and the environment ask for.
type options struct {
	command     []string
	show        string // what to print instead of running the command
	reach       reach
	verbosity   int
	warnReaped  bool
	parentDeath syscall.Signal
	success     map[int]bool // codes that count as 0
	rewrite     map[syscall.Signal]syscall.Signal
	sequence    stopseq.Sequence // empty: signals are passed on
	on          syscall.Signal
	grace       time.Duration // zero: not known
	linger      time.Duration
	store       string
	restart     bool
}

// parse reads what stands before the command, and the variables of tini, dumb-init
// and ebb. Unlike tini it ends at the first word that is no flag, with "--" or without.
func parse(args, environ []string) (options, error) {
	o := options{
		verbosity: warnings, on: syscall.SIGTERM, linger: 5 * time.Second,
		success: map[int]bool{}, rewrite: map[syscall.Signal]syscall.Signal{},
	}
	if err := o.fromEnviron(environ); err != nil {
		return o, err
	}
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		var err error
		if strings.HasPrefix(word, "--") {
			args, err = o.long(word[2:], args)
		} else {
			args, err = o.short(word[1:], args)
		}
		if err != nil || o.show != "" {
			return o, err
		}
	}
	if o.command = args; len(args) == 0 {
		return o, fmt.Errorf("no command to run: say which, as in ebb init -- bundle exec sidekiq")
	}
	// tini's comes from the environment for those who cannot change the command line,
	// so that it goes above it.
	if level, err := strconv.Atoi(lookup(environ, "TINI_VERBOSITY")); err == nil {
		o.verbosity = level
	}
	return o, nil
}

func (o *options) fromEnviron(environ []string) error {
	if has(environ, "TINI_KILL_PROCESS_GROUP") {
		o.reach = toGroup
	}
	if lookup(environ, "DUMB_INIT_SETSID") == "0" {
		o.reach = toChild
	}
	if lookup(environ, "DUMB_INIT_DEBUG") == "1" {
		o.verbosity = signals
	}
	o.store = lookup(environ, "EBB_STORE")
	if text := lookup(environ, "EBB_GRACE"); text != "" {
		grace, err := duration(text)
		if err != nil {
			return fmt.Errorf("EBB_GRACE: %w", err)
		}
		o.grace = grace
	}
	return nil
}

// long sets the flag that a word such as "grace=30s" names, without its dashes, and
// returns the words behind it.
func (o *options) long(word string, rest []string) ([]string, error) {
	name, value, given := strings.Cut(word, "=")
	for _, f := range flags {
		if f.Long != name {
			continue
		}
		if f.Value == "" && given {
			return rest, fmt.Errorf("--%s takes no value: leave out =%s", name, value)
		}
		if f.Value != "" && !given {
			if len(rest) == 0 {
				return rest, fmt.Errorf("--%s needs a value: add %s", name, f.Value)
			}
			value, rest = rest[0], rest[1:]
		}
		if err := f.set(o, value); err != nil {
			return rest, fmt.Errorf("--%s: %w", name, err)
		}
		return rest, nil
	}
	return rest, unknown("--" + name)
}

// short sets the flags of a word such as "gvv" or "e143".
func (o *options) short(word string, rest []string) ([]string, error) {
letters:
	for word != "" {
		letter := word[:1]
		word = word[1:]
		for _, f := range flags {
			if f.Short != letter {
				continue
			}
			value := ""
			if f.Value != "" {
				value, word = word, ""
				if value == "" && len(rest) == 0 {
					return rest, fmt.Errorf("-%s needs a value: add %s", letter, f.Value)
				}
				if value == "" {
					value, rest = rest[0], rest[1:]
				}
			}
			if err := f.set(o, value); err != nil {
				return rest, fmt.Errorf("-%s: %w", letter, err)
			}
			continue letters
		}
		return rest, unknown("-" + letter)
	}
	return rest, nil
}

func unknown(flag string) error {
	return fmt.Errorf("unknown flag %s: ebb init -h lists them; put -- before a command that begins with a dash", flag)
}

// lookup returns the last value of a variable, which is the one that counts.
func lookup(environ []string, name string) (value string) {
	for _, line := range environ {
		if v, ok := strings.CutPrefix(line, name+"="); ok {
			value = v
		}
	}
	return value
}

func has(environ []string, name string) bool {
	for _, line := range environ {
		if strings.HasPrefix(line, name+"=") {
			return true
		}
	}
	return false
}

// with returns environ with a variable set, or without it if value is empty.
func with(environ []string, name, value string) []string {
	changed := make([]string, 0, len(environ)+1)
	for _, line := range environ {
		if !strings.HasPrefix(line, name+"=") {
			changed = append(changed, line)
		}
	}
	if value != "" {
		changed = append(changed, name+"="+value)
	}
	return changed
}
