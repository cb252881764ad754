// Command bench measures ebb on this machine, and other job systems beside it in the
// same run. It writes a table to its output and nothing anywhere else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := compare
	if len(os.Args) > 1 && os.Args[1] == "work" {
		run = workFromArgs
	}
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// compare runs the systems one at a time, so that none disturbs another, and each of
// them once a round, so that a busy minute of the machine does not hit one alone.
func compare(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	jobs := flags.Int("jobs", 100_000, "no-op jobs to drain")
	backlog := flags.Int("backlog", 1_000_000, "the longer backlog, for ebb alone; the shorter one is 1,000")
	probes := flags.Int("probes", 200, "jobs enqueued one by one to an idle worker")
	span := flags.Duration("span", 3*time.Second, "how long each way to enqueue is measured")
	rounds := flags.Int("rounds", 1, "how often all is measured; the medians are shown")
	only := flags.String("only", "", "systems to measure, with commas between; default: all")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	for _, waiting := range slices.Compact([]int{short, max(short, *backlog)}) {
		l := load{backlog: waiting, jobs: *jobs, probes: *probes, span: *span}
		if waiting > short { // peers are compared with the short one
			chosen = slices.DeleteFunc(chosen, func(s system) bool { return !strings.HasPrefix(s.name, "ebb") })
		}
		measured := map[string][]figures{}
		for range *rounds {
			for _, s := range chosen {
				fmt.Fprintf(os.Stderr, "%s: %s jobs wait\n", s.name, grouped(float64(waiting)))
				f, err := measure(ctx, s, l)
				if err != nil {
					return fmt.Errorf("bench: %s: %w", s.name, err)
				}
				measured[s.name] = append(measured[s.name], f)
			}
		}
		tabulate(os.Stdout, waiting, chosen, measured)
	}
	return nil
}

// short is the backlog that all systems are measured with.
const short = 1000

func choose(only string) ([]system, error) {
	if only == "" {
		return slices.Clone(systems), nil
	}
	var chosen []system
	for name := range strings.SplitSeq(only, ",") {
		s, err := find(name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

func find(name string) (system, error) {
	i := slices.IndexFunc(systems, func(s system) bool { return s.name == name })
	if i < 0 {
		var names []string
		for _, s := range systems {
			names = append(names, strconv.Quote(s.name))
		}
		return system{}, fmt.Errorf("bench: no system %q, there are %s", name, strings.Join(names, ", "))
	}
	return systems[i], nil
}

// workFromArgs is the worker's process; startWorker writes the arguments.
func workFromArgs(ctx context.Context, args []string) error {
	if len(args) != 6 {
		return errors.New("bench: work is for the harness itself")
	}
	s, err := find(args[1])
	if err != nil {
		return err
	}
	concurrency, err := strconv.Atoi(args[4])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[5])
	if err != nil {
		return err
	}
	return work(ctx, s, args[2], strings.Split(args[3], ","), concurrency, n)
}
