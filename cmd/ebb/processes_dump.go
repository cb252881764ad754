package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

func newProcessesDump(a *app) *cobra.Command {
	t := &telling{app: a, verb: store.Dump}
	cmd := &cobra.Command{
		Use: "dump [ID…]", Short: "Print the running jobs and goroutines of processes",
		Long: `Print what processes do right now: the jobs that run, and every goroutine.

A process on this machine answers through its control socket, and its answer is
printed here. Others are asked through the store, and write it into their own log.`,
		Example:           example("ebb processes dump --all", "ebb processes dump --host host-1", "ebb processes dump host-1:7"),
		ValidArgsFunction: a.completeProcesses(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			targets, err := t.targets(cmd.Context(), s, args)
			if err != nil {
				return err
			}
			for _, p := range targets {
				if err := a.dump(cmd.Context(), s, p); err != nil {
					return err
				}
			}
			return nil
		},
	}
	t.selectFlags(cmd)
	return cmd
}

func (a *app) dump(ctx context.Context, s store.Store, p store.Process) error {
	if c := dialSocket(ctx, p); c != nil {
		defer c.Close()
		text, err := c.Dump(ctx)
		if err == nil {
			_, err = fmt.Fprintln(a.term.Out, strings.TrimRight(text, "\n"))
		}
		return err
	}
	// An order in the store is a change to it.
	if err := a.writable(); err != nil {
		return err
	}
	if err := s.Command(ctx, p.ID, store.Command{Verb: store.Dump}); err != nil {
		return err
	}
	a.say("%s writes it into its own log with its next beat", fleet.Short(p.ID))
	return nil
}
