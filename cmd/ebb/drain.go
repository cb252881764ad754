package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/drain"
	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/internal/platform"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// draining is one call of ebb drain.
type draining struct {
	*app
	pids     []int
	pidFiles []string
	sockets  []string
	all      bool

	timeout       time.Duration
	workerTimeout time.Duration
	noTerm        bool
	output        string
	http          string
	httpPath      string

	report *drainReport
}

func newDrain(a *app) *cobra.Command {
	d := &draining{app: a, timeout: drain.DefaultTimeout}
	cmd := &cobra.Command{
		Use: "drain", Short: "Let workers finish their jobs, then end them",
		Long: `Let workers finish what they run, then end them: for a preStop hook, a unit's
ExecStop, or by hand. It tells them to fetch nothing new, waits until nothing runs and
sends TERM. When the time of -t is over it sends TERM as well, which makes a worker
give back what it runs. It never sends KILL.

Workers are ebb's own and Ruby's Sidekiq. Named by --pid, --pidfile or --socket, those
alone are drained; a number may also be that of an init or shell that they run below.
Otherwise all that run here are, and where none does, those that the store knows on
this host. Workers of several applications are refused without --all.

EBB_GRACE says how long the platform waits until its KILL, from the start of the hook
on. With it, TERM comes early enough for Ruby to give its jobs back (its own timeout
and 5 s before), and ebb's workers are told the hour.

A second run joins the first and goes by its clock. Exit 0 when they were drained, 2
when the time was over and jobs still ran, 3 when no worker was found, 4 when one
cannot be signalled.`,
		Example: example("ebb drain --pidfile worker.pid -t 3600   # exit 3 when it has ended",
			"ebb drain --socket /run/ebb/ebb-17-3fa9c1.sock --no-term   # exit 3 when it has ended",
			"ebb drain --pidfile worker.pid --dry-run   # exit 3 when it has ended"),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.VarP((*span)(&d.timeout), "timeout", "t", "the `TIME` that jobs may go on: 3600, 90s, 1h")
	f.Lookup("timeout").DefValue = "120"
	f.StringVarP(&d.output, "output", "o", "", "the `FILE` that gets a line for each change too, or stdout")
	f.IntSliceVar(&d.pids, "pid", nil, "drain the worker with this `NUMBER`, or those below it")
	f.StringSliceVar(&d.pidFiles, "pidfile", nil, "the same, with the number in `FILE`")
	f.StringSliceVar(&d.sockets, "socket", nil, "drain the worker whose control socket is `PATH`")
	f.BoolVar(&d.all, "all", false, "drain the workers of all applications")
	f.BoolVar(&d.noTerm, "no-term", false, "leave TERM to the platform")
	f.Var((*span)(&d.workerTimeout), "worker-timeout", "the `TIME` that Sidekiq's own -t says (default: EBB_TIMEOUT, then 25s)")
	f.Lookup("worker-timeout").DefValue = ""
	f.StringVar(&d.http, "http", "", "listen at `ADDRESS`, such as :8099, and drain when asked by GET, as a preStop httpGet does")
	f.StringVar(&d.httpPath, "http-path", "/drain", "the `PATH` at which a GET drains")
	f.BoolVar(&a.flags.dryRun, "dry-run", false, "say who would be drained, and change nothing")
	return cmd
}

// span is the value of a flag that takes a time as hooks write it: with a unit or, as
// seconds, without.
type span time.Duration

func (s *span) String() string { return time.Duration(*s).String() }
func (s *span) Type() string   { return "TIME" }
func (s *span) Set(text string) error {
	d, err := platform.ParseGrace(text)
	if err == nil && d == 0 {
		err = errors.New("a time is missing: write it as 30s, 2m or a number of seconds")
	}
	*s = span(d)
	return err
}

func (d *draining) run(ctx context.Context) error {
	began := time.Now()
	settings, err := d.settings(config.Input{})
	if err != nil {
		return err
	}
	if !d.flags.dryRun {
		if err := d.writable(); err != nil {
			return err
		}
	}
	d.workerTimeout = cmp.Or(d.workerTimeout, settings.Timeout)
	d.report = newDrainReport(d.app, d.output)
	defer d.report.close()
	drainNow := func(ctx context.Context, began time.Time) (drain.Report, error) {
		workers, err := d.find(ctx, settings)
		if err != nil {
			return drain.Report{}, err
		}
		o := drain.Options{
			Workers: workers, Timeout: d.timeout, NoTerm: d.noTerm, Dirs: control.Dirs(d.getenv),
			Note: d.report.note, Watch: d.report.watch,
		}
		if settings.Grace > 0 {
			o.Grace = max(1, settings.Grace-time.Since(began)) // finding them took a part of it
		}
		return drain.Drain(ctx, o)
	}
	switch {
	case d.flags.dryRun:
		return d.pretend(ctx, settings)
	case d.http != "":
		return d.serve(ctx, drainNow)
	}
	report, err := drainNow(ctx, began)
	d.report.rest()
	if err != nil && ctx.Err() != nil {
		d.say("they stay as quiet as they are; a further run goes on with the same clock")
	}
	return d.verdict(report, err)
}

// find looks for the workers.
func (d *draining) find(ctx context.Context, settings *config.Settings) ([]drain.Worker, error) {
	search := drain.Search{
		PIDs: d.pids, Sockets: d.sockets, All: d.all, Root: os.DirFS("/"), Dirs: control.Dirs(d.getenv),
		Host: store.NewIdentity().Host(), Timeout: d.workerTimeout,
	}
	for _, file := range d.pidFiles {
		pid, err := drain.ReadPIDFile(file)
		if err != nil {
			return nil, code(exitUsage, err)
		}
		if pid > 0 {
			search.PIDs = append(search.PIDs, pid)
		}
	}
	if len(d.pidFiles) > 0 && len(search.PIDs)+len(search.Sockets) == 0 {
		return nil, drain.ErrNothing // and not everybody else
	}
	s, storeErr := d.known(ctx, settings)
	if s != nil {
		search.Store = s
	}
	workers, err := search.Find(ctx)
	switch {
	case errors.Is(err, drain.ErrNothing) && storeErr != nil && len(search.PIDs)+len(search.Sockets) == 0:
		return nil, storeErr // there may be workers that only it knows
	case err == nil && storeErr != nil:
		d.say("what runs is not named, since the store does not answer: %v", storeErr)
	}
	return workers, err
}

// storePatience is for a store that is only asked for what makes reports better.
const storePatience = 3 * time.Second

// known opens the store if one was given: a drain does not need it.
func (d *draining) known(ctx context.Context, settings *config.Settings) (store.Store, error) {
	if settings.Source("store") == "default" {
		return nil, nil
	}
	ctx, end := context.WithTimeout(ctx, storePatience)
	defer end()
	return d.openExisting(ctx)
}

// pretend says who would be drained.
func (d *draining) pretend(ctx context.Context, settings *config.Settings) error {
	workers, err := d.find(ctx, settings)
	if err != nil {
		return d.verdict(drain.Report{}, err)
	}
	for _, w := range workers {
		fmt.Fprintln(d.term.Out, prose.Plain(w.Name()))
	}
	d.say("%s would be drained; nothing is changed", prose.Plural(len(workers), "worker"))
	return nil
}

// verdict makes the end of a drain the end of the command.
func (d *draining) verdict(r drain.Report, err error) error {
	switch {
	case errors.Is(err, drain.ErrNothing):
		return code(exitNothing, store.WithHint(errors.New("there is no worker to drain"), "name it by --pid, --pidfile or --socket, or the store that it works on by --store"))
	case errors.Is(err, drain.ErrSeveral):
		return code(exitUsage, store.WithHint(err, "name those that are meant by --pid, --pidfile or --socket, or take --all"))
	case errors.Is(err, drain.ErrPermission):
		return code(exitSignal, store.WithHint(err, "run ebb drain as the user that the worker runs as"))
	case err != nil:
		return err
	}
	var late []string
	var refused []error
	for _, w := range r.Workers {
		switch w.Outcome {
		case drain.Late:
			late = append(late, prose.Plain(w.Name))
		case drain.Refused:
			refused = append(refused, w.Err)
		}
	}
	switch {
	case len(refused) > 0:
		return code(exitSignal, store.WithHint(errors.Join(refused...), "run ebb drain as the user that the worker runs as"))
	case len(late) > 0:
		return code(exitDeadline, store.WithHint(fmt.Errorf("the time was over, and jobs still ran: %s", strings.Join(late, ", ")),
			"what had not ended goes back to its queue; give it more time by -t, and the platform's grace with it"))
	}
	return nil
}
