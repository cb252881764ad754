package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/ebbjobs/ebb"
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
	s, err := storeurl.Open(ctx, url)
	if err != nil {
		return nil, code(exitStore, store.WithHint(err, "%s", hintOr(err, "is the store right? It comes from "+a.storeSource())))
	}
	a.opened = s
	return s, nil
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
	return a.open(ctx)
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

// watch calls show with the store again and again until ctx ends, on a screen of its
// own where a person watches. A zero every calls it once.
func (a *app) watch(ctx context.Context, every time.Duration, show func(context.Context, store.Store) error) error {
	s, err := a.openExisting(ctx)
	if err != nil {
		return err
	}
	if every <= 0 {
		return show(ctx, s)
	}
	for tick := time.Tick(every); ; {
		a.term.Restart()
		if err := show(ctx, s); err != nil {
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
