package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// errInterrupted is the cause of a command's context once ^C was pressed or TERM
// came.
var errInterrupted = errors.New("interrupted")

// interruptible ends the context at the first INT or TERM, or when the terminal goes
// away, so that the command can stop where it is safe, and the whole program at the
// second.
func interruptible(ctx context.Context, a *app) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // by nohup or the like
		signal.Notify(signals, syscall.SIGHUP)
	}
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

// ignoreEnd returns err unless it only says that ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// ownsSignals marks, among its annotations, a command that handles them itself.
const ownsSignals = "signals"

// isEnd reports whether an error says no more than that a context has ended.
func isEnd(err error) bool {
	if c, ok := errors.AsType[*coded](err); ok && c.exit != exitStore {
		return false // it has said itself how far it came
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, errInterrupted)
}
