package main

import "github.com/spf13/cobra"

func newStops(a *app) *cobra.Command {
	cmd := noun("stops", "See how processes ended, and what became of their jobs", newStopsLs(a), newStopsShow(a))
	cmd.Aliases = []string{"stop"}
	cmd.Example = example("ebb stops ls", "ebb stops ls --since -1d", "ebb stops show host-1:7")
	return cmd
}
