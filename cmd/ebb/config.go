package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/config"
)

func newConfig(a *app) *cobra.Command {
	var flags workFlags
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the settings, and where each comes from",
		Long: `Show every setting with its value and its source: a flag, a variable of the environment,
a line of ebb.yml, what the platform says, or the default, in this order. Credentials are
masked.

All mistakes in the settings are told at once, and end with exit code 64, so that a
pipeline can check an ebb.yml. The flags are those of ebb work: ebb config shows what
ebb work would run with.`,
		Example: example("ebb config", "ebb config -C deploy/ebb.yml   # is this one right?", "ebb config --group heavy -o json", "ebb config keys                # what each setting means"),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			s, err := a.settings(flags.input())
			if err != nil {
				return err
			}
			for _, w := range s.Warnings {
				a.say("ebb: %s", w)
			}
			return settingsList.printAll(a, slices.Collect(s.Entries()))
		},
	}
	flags.add(a, cmd)
	a.listFlags(cmd)
	cmd.AddCommand(newConfigKeys(a))
	return cmd
}

// settingRow is one setting as it is.
type settingRow = config.Entry

var settingsList = list[settingRow]{
	columns: []column[settingRow]{
		{"key", func(r settingRow) any { return r.Key }, asIs},
		{"value", func(r settingRow) any { return r.Value }, flex},
		{"source", func(r settingRow) any { return r.Source }, asIs},
	},
	name: func(r settingRow) string { return r.Key },
}

// keyRow is what can be set.
type keyRow struct {
	Key     string `json:"key"`
	Env     string `json:"env,omitempty"`
	Default string `json:"default,omitempty"`
	Meaning string `json:"meaning"`
}

var keysList = list[keyRow]{
	columns: []column[keyRow]{
		{"key", func(r keyRow) any { return r.Key }, asIs},
		{"env", func(r keyRow) any { return r.Env }, wide},
		{"default", func(r keyRow) any { return r.Default }, flex},
		{"meaning", func(r keyRow) any { return r.Meaning }, flex},
	},
	name: func(r keyRow) string { return r.Key },
}

func newConfigKeys(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "keys",
		Short:   "Explain what can be set",
		Example: example("ebb config keys", "ebb config keys -o wide   # with the variables of the environment", "ebb config keys -o jsonl"),
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			var rows []keyRow
			for k := range config.Keys() {
				rows = append(rows, keyRow{k.Name, k.Env, k.Default, k.Meaning})
			}
			return keysList.printAll(a, rows)
		},
	}
	a.listFlags(cmd)
	return cmd
}
