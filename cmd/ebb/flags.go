package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// showFlags gives a command the flags of an answer that is one thing.
func (a *app) showFlags(cmd *cobra.Command) {
	a.outputFlag(cmd, formTable, formJSON)
}

// listFlags gives a command the flags of a list.
func (a *app) listFlags(cmd *cobra.Command) {
	a.outputFlag(cmd, formTable, formWide, formJSON, formLines, formName)
	cmd.Flags().StringSliceVar(&a.flags.fields, "fields", nil, "only these `COLUMNS`, in this order")
}

// outputFlag gives a command --output, and refuses forms that it does not have.
func (a *app) outputFlag(cmd *cobra.Command, forms ...string) {
	cmd.Flags().StringVarP(&a.flags.output, "output", "o", "", "`FORM` of the answer: "+strings.Join(forms, ", "))
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if form := a.flags.output; form != "" && !slices.Contains(forms, form) {
			err := fmt.Errorf("there is no output form %q", form)
			return code(exitUsage, meant(err, form, forms, "-o %s", "it is one of "+strings.Join(forms, ", ")))
		}
		if check != nil {
			return check(cmd, args)
		}
		return nil
	}
}

// changeFlags gives a command that changes something its flags.
func (a *app) changeFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&a.flags.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&a.flags.dryRun, "dry-run", false, "say what would happen, and change nothing")
}

// timeoutFlag gives a command that waits --timeout.
func timeoutFlag(cmd *cobra.Command, longest *time.Duration) {
	cmd.Flags().DurationVar(longest, "timeout", 0, "wait no longer than that (default: as long as it takes)")
}

// limitFlag gives a list --limit.
func limitFlag(cmd *cobra.Command, most *int) {
	cmd.Flags().IntVarP(most, "limit", "n", 0, "at most so many (default: all)")
}

// watchFlag gives a command --watch.
func watchFlag(cmd *cobra.Command, every *time.Duration) {
	cmd.Flags().DurationVarP(every, "watch", "w", 0, "look again every so often")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
}

// moment is the value of a flag that names one.
func (a *app) moment(flag, text string) (time.Time, error) {
	t, err := query.ParseMoment(text, a.now())
	if err == nil {
		return t, nil
	}
	return t, code(exitUsage, store.WithHint(fmt.Errorf("--%s: %q is not a moment", flag, text), "%s", store.Hint(err)))
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return code(exitUsage, store.WithHint(fmt.Errorf("%s takes no argument, and got %q", cmd.CommandPath(), args[0]), "%s --help", cmd.CommandPath()))
	}
	return nil
}

// exactly wants that many arguments, which names calls what they are called.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return code(exitUsage, store.WithHint(fmt.Errorf("%s needs %s", cmd.CommandPath(), strings.Join(names[len(args):], " and ")), "%s", cmd.UseLine()))
		case len(args) > len(names):
			return code(exitUsage, store.WithHint(fmt.Errorf("%s: %q is one argument too many", cmd.CommandPath(), args[len(names)]), "%s", cmd.UseLine()))
		}
		return nil
	}
}

// atLeast wants one argument or more.
func atLeast(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return exactly(name)(cmd, args)
		}
		return nil
	}
}

// optional takes at most one argument, which name calls what it is called.
func optional(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return exactly(name)(cmd, args)
		}
		return nil
	}
}
