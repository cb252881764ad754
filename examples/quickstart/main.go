// Command quickstart shows ebb's promise on real input, to be watched and to be
// killed:
//
//	go run ./examples/quickstart [DIR]
//
// Every regular file below DIR (default: the current folder) becomes a job that
// computes its SHA-256 and its size under gzip, and one long job walks through all
// of them and saves its position after each. Kill it at any moment, with KILL too;
// started again it goes on where it was. It ends by itself, and checks every result
// against its file.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		if hint := store.Hint(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	state := stateDir(dir)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	over, err := runIn(ctx, state, dir)
	if over { // the next run begins afresh
		err = errors.Join(err, os.RemoveAll(state))
	}
	return err
}

// stateDir is where the jobs on dir are kept: always the same folder, so that a run
// after a kill finds it.
func stateDir(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(os.TempDir(), "ebb-quickstart-"+hex.EncodeToString(sum[:6]))
}

// runIn reports over if there is nothing that a later run could go on with.
func runIn(ctx context.Context, state, dir string) (over bool, err error) {
	file := filepath.Join(state, "ebb.db")
	client, err := ebb.Open(ctx, "sqlite:"+file)
	if err != nil {
		return false, err
	}
	defer client.Close()
	ledger, err := openLedger(ctx, file)
	if err != nil {
		return false, err
	}
	defer ledger.Close()

	out := &display{w: os.Stdout, terminal: isTerminal(os.Stdout)}
	before, err := ledger.counts(ctx)
	if err != nil {
		return false, err
	}
	if before.files > 0 {
		out.say("going on in %s: %d of %d files are done", state, before.done, before.files)
	} else {
		paths, err := list(dir, state, out)
		if err != nil {
			return true, err
		}
		if err := ledger.plan(ctx, client, paths); err != nil {
			return false, err
		}
		out.say("accepted %d files below %s, and one walk through all of them; jobs are kept in %s", len(paths), dir, state)
		out.say("now kill me: kill -9 %d", os.Getpid())
	}
	finished, err := work(ctx, client, ledger, out)
	if err != nil || !finished {
		return false, err
	}
	if err := audit(ctx, client, ledger, out); err != nil {
		return false, err
	}
	return true, nil
}

// list finds the regular files below dir. Links are not followed, and what cannot
// be read is left out with a note. To find none is an error.
func list(dir, state string, out *display) (paths []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == dir:
			return err
		case err != nil:
			out.say("left out: %v", err)
			return nil
		case d.IsDir() && path == state:
			return fs.SkipDir // it grows while we look
		case !d.Type().IsRegular():
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			out.say("left out: %v", err)
			return nil
		}
		paths = append(paths, path)
		return f.Close()
	})
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("no regular file below %s", dir)
	}
	return paths, err
}

// work runs a process until all jobs are done, or it is told to stop.
func work(ctx context.Context, client *ebb.Client, ledger *ledger, out *display) (finished bool, err error) {
	until, stop := context.WithCancel(ctx)
	defer stop()
	process := ebb.NewProcess(client, ebb.Config{
		Queues: []string{"default"},
		Groups: []ebb.Group{{Queues: []string{"walk"}, Concurrency: 1}}, // so that it need not wait for the files
		Socket: ebb.NoSocket,                                            // those of killed processes would stay behind
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	h := &handlers{ledger: ledger, say: out.say}
	measureFile.Handle(process, h.measure)
	walkFiles.Handle(process, h.walk)

	watched := make(chan error, 1)
	go func() {
		defer stop()
		watched <- watch(until, client, ledger, h, out)
	}()
	err = process.Run(until)
	stop()
	err = errors.Join(err, <-watched)
	if err != nil {
		return false, err
	}
	c, err := ledger.counts(ctx)
	if err != nil {
		return false, err
	}
	finished = c.walked && c.done == c.files
	if !finished {
		out.say("stopped: %d of %d files are done; start me again and I go on", c.done, c.files)
	}
	return finished, nil
}

// watch shows what happens until all jobs are done.
func watch(ctx context.Context, client *ebb.Client, ledger *ledger, h *handlers, out *display) error {
	began := time.Now()
	told := map[store.Identity]bool{}
	for tick := time.Tick(200 * time.Millisecond); ; {
		if err := tellRescues(ctx, client.Store(), began, told, out); err != nil {
			return ignoreEnd(ctx, err)
		}
		c, err := ledger.counts(ctx)
		if err != nil {
			return ignoreEnd(ctx, err)
		}
		walk := fmt.Sprintf("at %d", h.walked.Load())
		if c.walked {
			walk = "done"
		}
		out.progress("%d of %d files, the walk is %s", c.done, c.files, walk)
		if c.walked && c.done == c.files {
			return nil
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return nil
		}
	}
}

// tellRescues says whose jobs were given back since this process began.
func tellRescues(ctx context.Context, s store.Store, since time.Time, told map[store.Identity]bool, out *display) error {
	for stop, err := range s.Stops(ctx) {
		if err != nil {
			return err
		}
		if stop.Ended.Before(since) {
			return nil // newest first
		}
		rescued := 0
		for _, job := range stop.Jobs {
			if job.Fate == "rescued" {
				rescued++
			}
		}
		if rescued > 0 && !told[stop.ID] {
			told[stop.ID] = true
			out.say("rescued: %d jobs of process %d, which is gone without a word", rescued, stop.ID.PID())
		}
	}
	return nil
}

// ignoreEnd returns err unless it only says that ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
