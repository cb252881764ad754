package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/command"
	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/store"
)

func newWork(a *app) *cobra.Command {
	var flags workFlags
	var once bool
	cmd := &cobra.Command{
		Use:   "work",
		Short: "Run jobs with the programs that ebb.yml names",
		Long: `Run jobs: each by the program that ebb.yml names below handlers as the handler of its
kind, which gets the job as JSON on standard input. Jobs of other kinds are given back.
Programs in Go bring their handlers along, and call Process.Run instead.

The queues are those of ebb.yml or of -q. If ebb.yml has only groups, all of them run,
each with slots of its own; --group picks some.

With --listen it answers over HTTP: /live, /ready, /status, /drain for a preStop hook,
/metrics for Prometheus, and /keda for an autoscaler.

TERM, INT and the end of the terminal begin the stop: nothing new is fetched, and what
runs may go on until the grace period is nearly over, and is then given back. TSTP
quiets. The exit code is 0 once everything is handed over.

Logs are text on a terminal and JSON elsewhere, on standard error. A log that nobody
reads does not stop the work: its lines are dropped.`,
		Example: example("ebb work", "ebb work -c 20 -q critical,3 -q default", "ebb work --group heavy --release v143", "ebb work --once   # until nothing is left to do, as for cron"),
		Args:    noArgs,
		// The process listens for its signals itself.
		Annotations: map[string]string{ownsSignals: "yes"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.work(cmd.Context(), flags.input(), once)
		},
	}
	flags.add(a, cmd)
	cmd.Flags().BoolVar(&once, "once", false, "stop when nothing is ready, running or due any more")
	return cmd
}

// work runs jobs until it is told to stop or, with once, until there are none.
func (a *app) work(ctx context.Context, in config.Input, once bool) error {
	s, err := a.settings(in)
	if err != nil {
		return err
	}
	if err := runnable(s); err != nil {
		return err
	}
	if err := a.writable(); err != nil {
		return err
	}
	st, err := a.open(ctx)
	if err != nil {
		return err
	}
	out := newLines(a.term.Err)
	defer out.close()
	log, printed := a.workLog(s, out)
	for _, w := range s.Warnings {
		log.Warn("settings", "cause", w.String())
	}
	log.Info("settings", "file", s.File, "store_from", s.Source("store"), "grace_from", s.Source("grace"))

	guards := command.NewGuards(log)
	defer guards.Close()
	o := command.Options{Guards: guards, Log: log, Output: printed}
	if leases, ok := st.(interface {
		LeaseFile(store.Identity) (*os.File, error)
	}); ok {
		o.LeaseFile = leases.LeaseFile
	}
	c := s.Process()
	c.Logger, c.Origins = log, s.Origins()
	process := ebb.NewProcess(ebb.NewClient(st, ebb.WithLogger(log)), c)
	for _, h := range s.Handlers {
		command.New(h.Spec, o).Register(process, h.Options()...)
	}
	address, err := s.ListenAddress()
	if err != nil {
		return err
	}
	if address != "" {
		l := &listener{app: a, store: st, process: process, queues: queueSet(c), slots: slotsOf(c)}
		defer l.serve(address, log)()
	}
	ctx, forget := outlive(ctx)
	defer forget()
	if !once {
		return process.Run(ctx)
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	watching.Go(func() {
		awaitNothing(ctx, st, queueSet(c))
		end(errNothingLeft) // which begins the stop
	})
	return process.Run(ctx)
}

var errNothingLeft = errors.New("nothing is left to do")

// runnable says at the start what would come out with the first job otherwise: that
// there are no handlers, and which programs cannot be run.
func runnable(s *config.Settings) error {
	if len(s.Handlers) == 0 {
		where := "and there is no ebb.yml here"
		if s.File != "" {
			where = s.File + " names none"
		}
		return code(exitUsage, store.WithHint(fmt.Errorf("there is no handler to run jobs with, %s", where),
			"name a program for each kind in ebb.yml, as in handlers: {ResizeImage: {command: [./resize]}}; Go programs bring theirs along and call Process.Run"))
	}
	var wrong config.Error
	for _, h := range s.Handlers {
		if err := h.Check(); err != nil {
			wrong.Problems = append(wrong.Problems, config.Problem{Where: s.Source("handlers." + h.Kind + ".command"), Text: err.Error()})
		}
	}
	if len(wrong.Problems) > 0 {
		return code(exitUsage, &wrong)
	}
	if err := command.Ready(); err != nil {
		return store.WithHint(err, "name a folder that can be written to by TMPDIR; in a container whose root is read-only, mount one at /tmp")
	}
	return nil
}

// outlive lets a worker go on when those who read its log are gone, and lets it stop
// as it should when its terminal is, unless nohup or the like says otherwise.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	// Not by ignoring it, which programs that are started here would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, func() {}
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// queueSet has all the queues that a process fetches from.
func queueSet(c ebb.Config) map[string]bool {
	queues := map[string]bool{}
	for _, name := range c.Queues {
		queues[name] = true
	}
	for _, g := range c.Groups {
		for _, name := range g.Queues {
			queues[name] = true
		}
	}
	return queues
}

// slotsOf counts the slots of all groups of a process.
func slotsOf(c ebb.Config) (slots int) {
	const usual = 10 // as the library has it
	if len(c.Queues) > 0 || len(c.Groups) == 0 {
		slots = cmp.Or(c.Concurrency, usual)
	}
	for _, g := range c.Groups {
		slots += cmp.Or(g.Concurrency, usual)
	}
	return slots
}

// awaitNothing waits until nothing is ready, held or due in the queues, twice in a
// row, since a job may move while it looks. What a killed process holds counts: it is
// rescued and runs here. A store that does not answer is asked again.
func awaitNothing(ctx context.Context, s store.Store, queues map[string]bool) {
	const often = 200 * time.Millisecond
	still := 0
	for tick := time.Tick(often); still < 2; {
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
		if busy, err := anything(ctx, s, queues); err != nil || busy {
			still = 0
		} else {
			still++
		}
	}
}

// anything reports whether there is something to do.
func anything(ctx context.Context, s store.Store, queues map[string]bool) (bool, error) {
	// What is due comes first: it moves to the queues, which are looked at last.
	for _, set := range []store.Place{store.Scheduled, store.Retrying} {
		if due, err := anyDue(ctx, s, set, queues); due || err != nil {
			return due, err
		}
	}
	all, err := s.Queues(ctx)
	if err != nil {
		return false, err
	}
	for _, q := range all {
		if queues[q.Name] && (q.Held > 0 || q.Waiting > 0 && !q.Paused) {
			return true, nil
		}
	}
	return false, nil
}

// anyDue reports whether a set has a job for one of the queues whose time has come.
// The first ones of a set are the first to be due.
func anyDue(ctx context.Context, s store.Store, set store.Place, queues map[string]bool) (bool, error) {
	now := time.Now()
	for e, err := range s.Jobs(ctx, store.Query{Place: set, Limit: store.MaxBatch}) {
		if err != nil || e.At.After(now) {
			return false, err
		}
		if queues[e.Queue] {
			return true, nil
		}
	}
	return false, nil
}
