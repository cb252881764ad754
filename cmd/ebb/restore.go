package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

func newRestore(a *app) *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use: "restore FILE|-", Short: "Put a backup in place of what the store keeps",
		Long: `Put what ebb backup wrote in place of what the store keeps: all of it, or nothing if
the backup is cut short, damaged, or of another kind of store.

A store that any process works on is refused, and so is one that has jobs, unless
--replace says that they may go. What processes held when the backup was made is
given back as after a power cut: those jobs may run a second time.`,
		Example: example("ebb restore ebb.backup --dry-run", "ebb restore ebb.backup --replace --yes", "ebb restore - --replace --yes < ebb.backup"),
		Args:    exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.writable(); err != nil {
				return err
			}
			return a.restoreFrom(cmd.Context(), cmd.InOrStdin(), args[0], replace)
		},
	}
	a.changeFlags(cmd)
	cmd.Flags().BoolVar(&replace, "replace", false, "let go of the jobs that are there")
	return cmd
}

func (a *app) restoreFrom(ctx context.Context, in io.Reader, name string, replace bool) error {
	size := int64(0)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return store.WithHint(err, "ebb backup %s makes one", name)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
		in = f
	}
	url, err := a.storeURL()
	if err != nil {
		return err
	}
	will := fmt.Sprintf("put the backup %s in place of what is in %s", name, store.Redact(url))
	if a.flags.dryRun { // to open a store may make it
		_, err := a.confirm(ctx, will)
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	archiver, err := archiverOf(s)
	if err != nil {
		return err
	}
	if replace {
		stats, err := s.Stats(ctx)
		if err != nil {
			return err
		}
		will += fmt.Sprintf("; %s that are there are let go", prose.Plural(stats.Ready+stats.Held+stats.Scheduled+stats.Retrying+stats.Dead, "job"))
	}
	if ok, err := a.confirmTyping(ctx, will, "restore"); !ok {
		return err
	}
	c := &counted{Reader: in, bar: a.term.Progress("restoring", size)}
	defer c.bar.End()
	err = archiver.Restore(ctx, c, replace)
	c.bar.End()
	switch {
	case errors.Is(err, store.ErrInUse):
		return code(exitAgain, store.WithHint(err, "%s", a.inUse(ctx, s)))
	case errors.Is(err, store.ErrNotEmpty):
		return code(exitRefused, store.WithHint(err, "--replace lets go of the jobs that are there; ebb backup saves them before"))
	case err != nil:
		return err
	}
	a.say("restored %s", prose.Bytes(c.n))
	return a.noting(ctx, s, store.Change{Verb: "restore", What: "backup " + name}, func() (int64, error) { return 0, nil })
}

// inUse names those that work on the store.
func (a *app) inUse(ctx context.Context, s store.Inspector) string {
	processes, err := s.Processes(ctx)
	if err != nil || len(processes) == 0 {
		return "stop what works on it: ebb processes stop --all"
	}
	var names []string
	for _, p := range processes {
		names = append(names, fleet.Short(p.ID))
	}
	return "stop them first: " + some(names) + " (ebb processes stop --all --wait)"
}
