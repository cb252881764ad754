package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

// app is what every command is given: its streams and environment, the flags that
// all share, and the store, which is opened when it is first asked for.
type app struct {
	term    *console.Terminal
	environ []string
	flags   globals
	now     func() time.Time

	opened store.Store
	owned  *ebb.Client
}

// globals are the flags of all commands.
type globals struct {
	store, config string
	yes, dryRun   bool
	debug         bool
	output        string // table, wide, json, jsonl, name
	fields        []string
}

// getenv returns a variable of the environment, the last of its name.
func (a *app) getenv(name string) (value string) {
	for _, v := range a.environ {
		if key, val, ok := strings.Cut(v, "="); ok && key == name {
			value = val
		}
	}
	return value
}

// open opens the store that the flags, the environment or ebb.yml name, once.
func (a *app) open(ctx context.Context) (store.Store, error) {
	if a.opened != nil {
		return a.opened, nil
	}
	url, err := a.storeURL()
	if err != nil {
		return nil, err
	}
	return a.openURL(ctx, url)
}

// openExisting is open for commands that look at a store and have no use for a new
// one: a file that is not there is told, and not made.
func (a *app) openExisting(ctx context.Context) (store.Store, error) {
	if a.opened != nil {
		return a.opened, nil
	}
	url, err := a.storeURL()
	if err != nil {
		return nil, err
	}
	if file, ok := strings.CutPrefix(url, "sqlite:"); ok {
		file, _, _ = strings.Cut(strings.TrimPrefix(file, "//"), "?")
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, code(exitStore, store.WithHint(fmt.Errorf("there is no store at %s", store.Redact(url)),
				"name yours by --store or EBB_STORE; ebb enqueue and ebb work make a new one"))
		}
	}
	return a.openURL(ctx, url)
}

func (a *app) openURL(ctx context.Context, url string) (store.Store, error) {
	s, err := storeurl.Open(ctx, url)
	if err != nil {
		if store.Hint(err) == "" {
			err = store.WithHint(err, "is the store right? It comes from %s", a.storeSource())
		}
		return nil, code(exitStore, err)
	}
	a.opened = s
	return s, nil
}

// client returns a client of the store.
func (a *app) client(ctx context.Context) (*ebb.Client, error) {
	if a.owned != nil {
		return a.owned, nil
	}
	s, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	a.owned = ebb.NewClient(s, ebb.WithLogger(a.log()))
	return a.owned, nil
}

// close lets go of what was opened.
func (a *app) close() error {
	if a.opened == nil {
		return nil
	}
	return a.opened.Close()
}

// log is for what libraries have to say while a command runs.
func (a *app) log() *slog.Logger { return a.logFrom(slog.LevelWarn) }

// errorLog is log for processes that a command runs for a while: how they would be
// stopped by a platform is no news there.
func (a *app) errorLog() *slog.Logger { return a.logFrom(slog.LevelError) }

func (a *app) logFrom(level slog.Level) *slog.Logger {
	if a.flags.debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.term.Err, &slog.HandlerOptions{Level: level}))
}

// say tells a person something that is no answer.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.term.Err, format+"\n", args...)
}

// writable refuses if somebody has said that nothing is to be changed.
func (a *app) writable() error {
	s, err := a.settings(config.Input{})
	if err != nil || !s.ReadOnly {
		return err
	}
	what := s.Source("readonly")
	if what != "EBB_READONLY" {
		what = "readonly in " + what
	}
	return code(exitRefused, store.WithHint(fmt.Errorf("refused: %s is set, so nothing is changed", what), "unset %s", what))
}

// confirm settles whether a change is made. What says what would happen, in a
// sentence. It asks a person, wants --yes where there is none to ask, and reports
// false without an error when the answer is no or --dry-run was given.
func (a *app) confirm(what string) (bool, error) { return a.confirmTyping(what, "") }

// confirmTyping is confirm for changes so large that a y is too easily typed: the
// answer must be word.
func (a *app) confirmTyping(what, word string) (bool, error) {
	switch {
	case a.flags.dryRun:
		a.say("%s (nothing is changed: --dry-run)", what)
		return false, nil
	case a.flags.yes:
		return true, nil
	}
	a.say("%s", what)
	question := "Go on? [y/N]"
	if word != "" {
		question = "Type " + word + " to go on:"
	}
	answer, err := a.term.Ask(question)
	if errors.Is(err, console.ErrNobody) {
		return false, code(exitUsage, store.WithHint(errors.New("nobody is there to confirm this"), "add --yes, or --dry-run to see what would happen"))
	}
	if err != nil {
		return false, errInterrupted
	}
	answer = strings.ToLower(answer)
	if word != "" && answer == strings.ToLower(word) || word == "" && (answer == "y" || answer == "yes") {
		return true, nil
	}
	a.say("nothing was changed")
	return false, nil
}

// watch calls show again and again until ctx ends, on a screen of its own where a
// person watches. A zero every calls it once.
func (a *app) watch(ctx context.Context, every time.Duration, show func(context.Context) error) error {
	if every <= 0 {
		return show(ctx)
	}
	for tick := time.Tick(every); ; {
		a.term.Restart()
		if err := show(ctx); err != nil {
			return ignoreEnd(ctx, err)
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return nil // a viewer just ends
		}
	}
}

// again makes a command of this very program, whose file is self, under the name by
// which it was called: one file may be several programs.
func again(self string, args ...string) *exec.Cmd {
	return &exec.Cmd{Path: self, Args: append([]string{os.Args[0]}, args...)}
}

// ignoreEnd returns err unless it only says that ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// errInterrupted is the cause of a command's context once ^C was pressed or TERM
// came.
var errInterrupted = errors.New("interrupted")

// interruptible ends the context at the first INT or TERM, so that the command can
// stop where it is safe, and the whole program at the second.
func interruptible(ctx context.Context, a *app) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			end(errInterrupted)
		case <-ctx.Done():
			return
		}
		if _, again := <-signals; again {
			a.say("ebb: interrupted twice: what was under way may be done or not; running the command again is safe")
			os.Exit(exitInterrupted)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		end(nil)
		close(signals)
	}
}
