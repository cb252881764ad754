package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/load"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

func newBench(a *app) *cobra.Command {
	o := load.Options{}
	var report, worker string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a store, and check that kills lose nothing",
		Long: `Measure your store from where you are: enqueueing one by one and in batches, draining
with one process, and how long an idle process takes to begin a job that was just
enqueued. With --kill, worker processes are killed while they drain, beside others that
live: it is measured how long it takes until all jobs that were cut run again, and
every job is counted. The exit code is 1 if one was lost.

All of it happens in a queue of its own, ` + load.Queue + `, which is empty afterwards. It is a load
like any other: think before you aim it at a store that others work with.`,
		Example: example("ebb bench --jobs 500", "ebb bench --jobs 500 --payload 2000 -c 50 -o json", "ebb bench --jobs 500 --kill 2   # on Redis some seconds for each kill, after a quarter of a minute"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if worker != "" {
				return benchWorker(cmd.Context(), a, load.Worker{Dir: worker, Slots: o.Slots, LeaseOnly: o.LeaseOnly})
			}
			for name, n := range map[string]int{"jobs": o.Jobs, "concurrency": o.Slots, "callers": o.Callers} {
				if n < 1 {
					return usage("--%s: %d is not positive", name, n)
				}
			}
			if o.Payload < 0 || o.Kills < 0 {
				return usage("--payload and --kill cannot be negative")
			}
			return bench(cmd.Context(), a, o, report)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Jobs, "jobs", 10_000, "how many jobs")
	f.IntVar(&o.Payload, "payload", 100, "`BYTES` of arguments")
	f.IntVarP(&o.Slots, "concurrency", "c", 20, "slots of the process that drains")
	f.IntVar(&o.Callers, "callers", 16, "goroutines that enqueue one by one")
	f.IntVar(&o.Kills, "kill", 0, "kill a worker process so many `TIMES`")
	f.StringVar(&report, "report", "", "write the answer as JSON to this `FILE`, too")
	f.BoolVar(&o.LeaseOnly, "lease-only", false, "with --kill: measure what it would be if nobody watched connections")
	f.StringVar(&worker, "worker", "", "run as a worker that notes what it does in this folder")
	f.MarkHidden("lease-only")
	f.MarkHidden("worker")
	a.showFlags(cmd)
	return cmd
}

func bench(ctx context.Context, a *app, o load.Options, report string) error {
	if err := a.writable(); err != nil {
		return err
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	url, err := a.storeURL()
	if err != nil {
		return err
	}
	o.Client, o.Log = client, a.errorLog()
	o.Worker = func(dir string, slots int) *exec.Cmd {
		cmd := again(self, "bench", "--worker", dir, "-c", strconv.Itoa(slots), "--lease-only="+strconv.FormatBool(o.LeaseOnly))
		// Not among the arguments, where others see it.
		cmd.Env = append(os.Environ(), "EBB_STORE="+url)
		return cmd
	}
	shown := &parts{term: a.term}
	o.Progress = shown.set
	r, err := load.Run(ctx, o)
	shown.end()
	switch {
	case errors.Is(err, load.ErrBusy):
		return code(exitAgain, store.WithHint(err, "wait for the other one, or clear what a killed one has left: ebb queues clear %s", load.Queue))
	case err != nil:
		return err
	}
	if report != "" {
		if err := writeReport(report, r); err != nil {
			return err
		}
	}
	if err := a.show(r, func(p *page) { benchPage(p, r) }); err != nil {
		return err
	}
	if r.Kill != nil && r.Kill.Lost > 0 {
		return fmt.Errorf("%s lost", prose.Plural(r.Kill.Lost, "job"))
	}
	return nil
}

func writeReport(file string, r load.Report) error {
	b, err := encodeJSON(r)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o666)
}

func benchWorker(ctx context.Context, a *app, w load.Worker) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	w.Log = a.errorLog()
	return load.Work(ctx, client, w, os.Stdin)
}

func benchPage(p *page, r load.Report) {
	p.line("%s %s  %s", r.Store.Driver, strings.TrimSpace(r.Store.Server), r.Store.URL)
	p.line("%s of %d bytes; %s", prose.Plural(r.Jobs, "job"), r.Payload, r.Store.Durability)
	p.line("")
	row := func(what, how, rate, spread string) {
		line := fmt.Sprintf("%-9s %-24s %10s", what, how, rate)
		if spread != "" {
			line += "   " + console.Dim(spread)
		}
		p.line("%s", strings.TrimRight(line, " "))
	}
	rate := func(r load.Rate) string { return prose.Count(int64(r.PerSecond)) + "/s" }
	row("enqueue", fmt.Sprintf("one by one, %d callers", r.Callers), rate(r.Enqueue), spread(*r.Enqueue.Call))
	row("", fmt.Sprintf("in batches of %s", prose.Count(store.MaxBatch)), rate(r.Batches), "")
	row("drain", fmt.Sprintf("one process, %d slots", r.Slots), rate(r.Drain), "")
	row("pick-up", "by an idle process", "", spread(r.PickUp))
	if k := r.Kill; k != nil {
		row("kill", fmt.Sprintf("%s, %s cut", prose.Plural(k.Kills, "time"), prose.Plural(k.Cut, "job")), "", "")
		row("", "until all ran again", "", spread(k.Back))
		row("", "run twice", prose.Count(k.Twice), "")
		lost := console.Good("0")
		if k.Lost > 0 {
			lost = console.Bad(prose.Count(k.Lost))
		}
		p.line("%-9s %-24s %s", "", "lost", strings.Repeat(" ", 9)+lost)
	}
}

func spread(l load.Latency) string {
	span := func(seconds float64) string { return prose.Span(time.Duration(seconds * float64(time.Second))) }
	return fmt.Sprintf("p50 %s · p90 %s · p99 %s · p99.9 %s · max %s", span(l.P50), span(l.P90), span(l.P99), span(l.P999), span(l.Max))
}

// parts shows one line of progress for each part of the measurement.
type parts struct {
	term *console.Terminal

	mu   sync.Mutex
	name string
	line *console.Progress
}

func (p *parts) set(part string, done, total int64) {
	p.mu.Lock()
	if part != p.name {
		if p.line != nil {
			p.line.End()
		}
		p.name, p.line = part, p.term.Progress(part, total)
	}
	line := p.line
	p.mu.Unlock()
	line.Set(done, "")
}

func (p *parts) end() {
	if p.line != nil {
		p.line.End()
	}
}
