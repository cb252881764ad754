// Package demo shows ebb's promise on real input, to be watched and to be killed.
// Every regular file below a folder becomes a job that computes its SHA-256 and its
// size under gzip, and one long job walks through all of them and saves its position
// after each. Two worker processes run them; whoever watches is invited to kill one.
// At the end every result is checked against its file.
package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	_ "github.com/ebbjobs/ebb/store/sqlitestore"
)

// Options says what is shown and to whom.
type Options struct {
	Dir  string
	Term *console.Terminal
	// Worker makes the command of a worker process, which must call Work with these
	// settings and end when its standard input does.
	Worker func(Settings) *exec.Cmd
	// Pace is how long the walk takes at least; 0: as fast as it goes.
	Pace time.Duration
	// Kills is how often the demo kills a worker by itself.
	Kills int
}

// Settings are what a worker process is told.
type Settings struct {
	State string        // the folder that keeps the jobs
	Step  time.Duration // pause of the walk after each file
	Each  time.Duration // pause of each file's job
}

// Two workers, so that one is left when the other is killed.
const (
	workers = 2
	slots   = 4 // of each, beside the one for the walk
)

// demo is one run.
type demo struct {
	Options
	Settings
	client *ebb.Client
	ledger *ledger
	live   *console.Live
	crew   *workforce
	began  time.Time
}

// Run shows the demo until all jobs are done and checked, or ctx ends. It goes on
// with what an earlier run on the same folder has left, be it stopped or killed.
func Run(ctx context.Context, o Options) error {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	o.Dir = dir
	state := stateDir(dir)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	over, err := runIn(ctx, o, state)
	if over { // the next run begins afresh
		err = errors.Join(err, os.RemoveAll(state))
	}
	return err
}

// stateDir is where the jobs on dir are kept: always the same folder, so that a run
// after a kill finds it.
func stateDir(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(os.TempDir(), "ebb-demo-"+hex.EncodeToString(sum[:6]))
}

func storeFile(state string) string { return filepath.Join(state, "ebb.db") }

// runIn reports over if there is nothing that a later run could go on with.
func runIn(ctx context.Context, o Options, state string) (over bool, err error) {
	client, err := ebb.Open(ctx, "sqlite:"+storeFile(state))
	if err != nil {
		return false, err
	}
	defer client.Close()
	ledger, err := openLedger(ctx, storeFile(state))
	if err != nil {
		return false, err
	}
	defer ledger.Close()

	d := &demo{Options: o, client: client, ledger: ledger, live: o.Term.Live(), began: time.Now()}
	d.State = state
	c, err := ledger.counts(ctx)
	if err != nil {
		return false, err
	}
	if c.files > 0 {
		d.live.Say("going on with %s: %s of %s files are done", o.Dir, prose.Count(c.done), prose.Count(c.files))
	} else {
		paths, err := d.list()
		if err != nil {
			return true, err
		}
		if err := ledger.plan(ctx, client, paths); err != nil {
			return false, err
		}
		c.files = len(paths)
		d.live.Say("%s below %s: a job for each, and one long job through all of them", prose.Plural(len(paths), "file"), o.Dir)
	}
	d.Step = o.Pace / time.Duration(c.files)
	d.Each = workers * slots * d.Step
	finished, err := d.work(ctx)
	if err != nil || !finished {
		return false, err
	}
	if err := d.audit(ctx); err != nil {
		return false, err
	}
	return true, nil
}

// list finds the regular files below the folder. Links are not followed, and what
// cannot be read is left out with a note. To find none is an error.
func (d *demo) list() (paths []string, err error) {
	err = filepath.WalkDir(d.Dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == d.Dir:
			return err
		case err != nil:
			d.live.Say("left out: %v", err)
			return nil
		case entry.IsDir() && path == d.State:
			return fs.SkipDir // it grows while we look
		case !entry.Type().IsRegular():
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			d.live.Say("left out: %v", err)
			return nil
		}
		paths = append(paths, path)
		return f.Close()
	})
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("no regular file below %s", d.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return paths, nil
}

// work keeps the workers at work and shows what happens, until all jobs are done or
// ctx ends.
func (d *demo) work(ctx context.Context) (finished bool, err error) {
	d.crew = &workforce{command: func() *exec.Cmd { return d.Worker(d.Settings) }}
	defer d.crew.stop()
	for range workers {
		if err := d.crew.start(); err != nil {
			return false, fmt.Errorf("demo: start a worker: %w", err)
		}
	}
	v := &view{demo: d}
	if err := v.follow(ctx); err != nil && ctx.Err() == nil {
		return false, err
	}
	d.live.Set()
	d.crew.stop()
	c, err := d.ledger.counts(context.WithoutCancel(ctx))
	if err != nil {
		return false, err
	}
	if !c.finished() {
		d.live.Say("stopped: %s of %s files are done; the same command goes on", prose.Count(c.done), prose.Count(c.files))
	}
	return c.finished(), nil
}
