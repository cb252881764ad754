package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/demo"
)

func newDemo(a *app) *cobra.Command {
	const watched = 45 * time.Second
	o := demo.Options{Term: a.term}
	var worker demo.Settings
	cmd := &cobra.Command{
		Use:   "demo [DIR]",
		Short: "See jobs survive kill -9",
		Long: `Run two workers on the files below DIR, this folder by default, and let yourself be
invited to kill one. Each file is a job that computes its SHA-256 and its size under gzip,
and one long job walks through all of them and saves its position after each.

On a terminal it takes its time, so that there is something to kill. Elsewhere it goes as
fast as it can and ends by itself. It ends with a ledger: what was accepted, done, run
twice and lost, with every result checked against its file.

The jobs are kept in an SQLite file of the demo's own, outside DIR. Stopped or killed
itself, it goes on where it was when it is started again, and cleans up at the end.`,
		Example: example("ebb demo", "ebb demo --kill 2 --for 5s .   # it kills its workers itself", "ebb demo --for 0s .            # as fast as it can"),
		Args:    optional("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if worker.State != "" {
				return demo.Work(cmd.Context(), worker, os.Stdin, a.errorLog())
			}
			o.Dir = "."
			if len(args) > 0 {
				o.Dir = args[0]
			}
			if !cmd.Flags().Changed("for") && a.term.OutWatched {
				o.Pace = watched
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			o.Worker = func(s demo.Settings) *exec.Cmd {
				return again(self, "demo", "--worker", s.State, "--step", s.Step.String(), "--each", s.Each.String())
			}
			if err := demo.Run(cmd.Context(), o); err != nil {
				return err
			}
			if errors.Is(context.Cause(cmd.Context()), errInterrupted) {
				return quietly(exitInterrupted)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.Pace, "for", 0, "take at least so `LONG` (default 45s on a terminal, else no pause)")
	f.IntVar(&o.Kills, "kill", 0, "kill a worker so many `TIMES`, evenly over the course")
	f.StringVar(&worker.State, "worker", "", "run as a worker on the jobs in this folder")
	f.DurationVar(&worker.Step, "step", 0, "pause of the walk after each file")
	f.DurationVar(&worker.Each, "each", 0, "pause of each file's job")
	for _, hidden := range []string{"worker", "step", "each"} {
		f.MarkHidden(hidden)
	}
	return cmd
}
