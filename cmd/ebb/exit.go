package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// Exit codes, the same for all commands.
const (
	exitOK          = 0
	exitFailed      = 1
	exitDeadline    = 2
	exitNothing     = 3
	exitSignal      = 4
	exitFindings    = 5
	exitUsage       = 64
	exitStore       = 69
	exitAgain       = 75
	exitRefused     = 77
	exitInterrupted = 130
)

// exitMeanings is what help and the docs say of each.
var exitMeanings = []struct {
	Code    int
	Meaning string
}{
	{exitOK, "done, or the condition is true; work: all is handed over, deaf jobs included"},
	{exitFailed, "failed"},
	{exitDeadline, "the time given was over before the condition was true"},
	{exitNothing, "nothing matched"},
	{exitSignal, "a process could not be signalled"},
	{exitFindings, "findings at or above the level asked for"},
	{exitUsage, "usage: an unknown flag or command, a mistake in ebb.yml, a bad query"},
	{exitStore, "the store cannot be reached or read"},
	{exitAgain, "try again: somebody else is at it"},
	{exitRefused, "refused: read-only, or not allowed"},
	{exitInterrupted, "interrupted; how far it came was said"},
}

// coded is an error that knows the exit code of the command that returns it. One
// without an err has been told already.
type coded struct {
	exit int
	err  error
}

func (c *coded) Error() string {
	if c.err == nil {
		return fmt.Sprintf("exit %d", c.exit)
	}
	return c.err.Error()
}

func (c *coded) Unwrap() error { return c.err }

// code makes err end the command with exit. Nil stays nil.
func code(exit int, err error) error {
	if err == nil {
		return nil
	}
	return &coded{exit, err}
}

// quietly ends the command with exit and without a word, where all has been said.
func quietly(exit int) error { return &coded{exit, nil} }

// usage is a mistake of the one who typed.
func usage(format string, args ...any) error { return code(exitUsage, fmt.Errorf(format, args...)) }

// exitOf finds the exit code for what a command returned.
func exitOf(err error) int {
	if c, ok := errors.AsType[*coded](err); ok {
		return c.exit
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.Is(err, store.ErrInUse):
		return exitAgain
	case errors.Is(err, store.ErrReadOnly):
		return exitRefused
	case errors.Is(err, store.ErrUnreachable), errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrTooNew), errors.Is(err, store.ErrReplaced):
		return exitStore
	case errors.Is(err, context.DeadlineExceeded):
		return exitDeadline
	}
	return exitFailed
}

// tell prints an error as people see it: what happened to what, and the one thing
// to try.
func tell(w io.Writer, err error) {
	if c, ok := errors.AsType[*coded](err); ok && c.err == nil {
		return
	}
	if errors.Is(err, syscall.EPIPE) {
		return // whoever read us has read enough
	}
	fmt.Fprintln(w, console.Bad("ebb:"), harmless(strings.TrimPrefix(err.Error(), "ebb: "))) // the library's begin so too
	if hint := store.Hint(err); hint != "" {
		fmt.Fprintln(w, console.Dim("hint:"), harmless(hint))
	}
}

// harmless is a text of several lines in which others may have had a word.
func harmless(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = prose.Plain(line)
	}
	return strings.Join(lines, "\n")
}
