// Package config finds out how the command is to run: from flags, variables of the
// environment, a settings file, what the platform says, and defaults, in this order.
// It knows of each value where it comes from, and of all mistakes where they stand.
package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/command"
	"github.com/ebbjobs/ebb/store"
)

// Input is what settings are made from.
type Input struct {
	// Getenv reads the environment. A variable that is empty counts as not set.
	Getenv func(string) string
	// Dir is the folder in which ebb.yml is looked for; "" is the working folder.
	Dir string
	// File is the settings file that a flag names. "" leaves it to EBB_CONFIG, and
	// then to ebb.yml or ebb.yaml in Dir, which may be missing.
	File string
	// Environment is Sidekiq's -e: the section of a sidekiq.yml that counts. "" leaves
	// it to APP_ENV, RAILS_ENV and RACK_ENV, and then to development.
	Environment string
	// Groups are the only ones to run. None leaves it to the file.
	Groups []string
	// Flags are those that were given, a repeated one with all its values.
	Flags []Flag
}

// Flag is a setting on the command line.
type Flag struct {
	Key    string // a name of Keys
	Name   string // as people write it: -c
	Values []string
}

// Settings are how the command is to run. What nobody has said is zero, which
// stands for the default, except for Store.
type Settings struct {
	Store       string
	Queues      []Queue
	Concurrency int
	Groups      []Group
	Handlers    []Handler
	// Grace is zero if there is only a guess.
	Grace, Timeout time.Duration
	Release, Tag   string
	Labels         []string
	Lease          struct {
		TTL, Beat, Poll time.Duration
		CutOff          string
	}
	Dead struct {
		Max int
		Age time.Duration
	}
	Poison   Poison
	Log      struct{ Format, Level string }
	Socket   string
	Listen   string // see ListenAddress
	Protect  string
	Spot     string
	ReadOnly bool
	// PodDeletionCost asks for the annotation of that name.
	PodDeletionCost bool

	// File is the settings file that was read, "" if there is none.
	File string
	// Warnings are what a file says that has no meaning here and does no harm.
	Warnings []Problem

	running []Group // the groups that run, see choose
	own     bool    // Queues run
	from    map[string]origin
	guess   platformGrace
	section string // of a sidekiq.yml
}

// Group is a set of queues with slots of its own.
type Group struct {
	Name        string
	Queues      []Queue
	Concurrency int
	Grace       time.Duration
}

// Handler is a program that runs the jobs of one kind.
type Handler struct {
	command.Spec
	Retry *int // nil: as usual; 0: never
}

// Options are what the library is told beside the program.
func (h Handler) Options() []ebb.Option {
	switch {
	case h.Retry == nil:
		return nil
	case *h.Retry == 0:
		return []ebb.Option{ebb.NoRetry()}
	}
	return []ebb.Option{ebb.Retry(*h.Retry)}
}

// origin is where a value comes from.
type origin struct {
	rank   int
	source string // as ebb config says it: "ebb.yml:12"
	where  string // as a mistake says it: "ebb.yml:12:3"
}

// Ranks of origins: the higher one counts.
const (
	fromDefault = iota
	fromPlatform
	fromFile
	fromEnv
	fromFlag
)

// loader gathers settings, from the lowest rank up.
type loader struct {
	in       Input
	s        *Settings
	problems []Problem
}

// Load finds the settings. Its error is an *Error that names every mistake, those in
// values that others outrank included.
func Load(in Input) (*Settings, error) {
	l := &loader{in: in, s: &Settings{from: map[string]origin{}}}
	l.platform()
	l.file()
	l.environment()
	l.flags()
	l.choose()
	l.judge()
	if len(l.problems) > 0 {
		return nil, &Error{l.problems}
	}
	return l.s, nil
}

// tell keeps a mistake. It may quote what was written, which may be a URL.
func (l *loader) tell(where, format string, args ...any) {
	l.problems = append(l.problems, Problem{where, store.Redact(fmt.Sprintf(format, args...))})
}

// give sets a plain value in place of what lower ranks have said.
func (l *loader) give(k *Key, from origin, texts ...string) {
	if err := l.set(k, from, texts...); err != nil {
		l.tell(from.where, "%v", err)
	}
}

func (l *loader) set(k *Key, from origin, texts ...string) error {
	field := k.field(l.s)
	if list, ok := field.(*[]string); ok {
		*list = nil
	}
	for _, text := range texts {
		if err := assign(field, k.choices, text); err != nil {
			return fmt.Errorf("%s: %w", k.Name, err)
		}
	}
	l.s.from[k.Name] = from
	return nil
}

// giveQueues does the same for the queues.
func (l *loader) giveQueues(from origin, texts ...string) {
	var queues []Queue
	for _, text := range texts {
		q, err := parseQueue(text)
		if err == nil && twice(queues, q) {
			err = fmt.Errorf("%s is there twice", q.Name)
		}
		if err != nil {
			l.tell(from.where, "queues: %v", err)
			return
		}
		queues = append(queues, q)
	}
	l.s.Queues = queues
	l.s.from["queues"] = from
}

func twice(queues []Queue, q Queue) bool {
	for _, other := range queues {
		if other.Name == q.Name {
			return true
		}
	}
	return false
}

// environment reads ebb's own variables. Lists have their words between spaces.
func (l *loader) environment() {
	for i := range keys {
		k := &keys[i]
		if k.Env == "" {
			continue
		}
		text := strings.TrimSpace(l.in.Getenv(k.Env))
		if text == "" {
			continue
		}
		from := origin{fromEnv, k.Env, k.Env}
		switch {
		case k.Name == "queues":
			l.giveQueues(from, strings.Fields(text)...)
		case k.Name == "labels":
			l.give(k, from, strings.Fields(text)...)
		default:
			l.give(k, from, text)
		}
	}
}

func (l *loader) flags() {
	for _, f := range l.in.Flags {
		from := origin{fromFlag, "flag " + f.Name, "flag " + f.Name}
		if f.Key == "queues" {
			l.giveQueues(from, f.Values...)
		} else if k := plain(f.Key); k != nil {
			l.give(k, from, f.Values...)
		}
	}
}
