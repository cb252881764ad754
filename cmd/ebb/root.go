package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
)

// Groups of commands, in the order of help.
const (
	groupRun   = "run"
	groupLook  = "look"
	groupStore = "store"
)

// newRoot makes the whole command.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "ebb",
		Short: "Background jobs that survive deploys",
		Long: `ebb runs background jobs that no deploy and no kill can lose, in Go, Ruby or any
other language, and shows what becomes of them.`,
		Example: `  ebb demo                          # see a job survive kill -9
  ebb enqueue ResizeImage cat.jpg   # put a job
  ebb jobs ls                       # what waits, runs, failed`,
		Args:              cobra.ArbitraryArgs,
		SilenceErrors:     true, // main tells them
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			if found, err := a.lookUp(cmd.Context(), cmd, args[0]); found || err != nil {
				return err
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.AddGroup(&cobra.Group{ID: groupRun, Title: "Run jobs:"},
		&cobra.Group{ID: groupLook, Title: "Look and act:"},
		&cobra.Group{ID: groupStore, Title: "Stores and settings:"})
	f := root.PersistentFlags()
	f.StringVar(&a.flags.store, "store", "", "`URL` of the store (default: EBB_STORE, ebb.yml, REDIS_URL, then sqlite:ebb.db)")
	f.StringVar(&a.flags.config, "config", "", "settings `FILE` (default: EBB_CONFIG, then ebb.yml)")
	f.BoolVar(&a.flags.debug, "debug", false, "say more about what goes wrong")
	root.SetFlagErrorFunc(flagError)

	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
		}
		root.AddCommand(commands...)
	}
	add(groupRun, newWork(a), newInit(), newEnqueue(a), newDemo(a))
	add(groupLook, newJobs(a), newQueues(a), newProcesses(a), newTop(a), newStops(a), newRollout(a), newStats(a), newBooks(a), newWait(a), newRescue(a), newGuard(a), newDrain(a), newUndo(a), newAudit(a), newWeb(a))
	add(groupStore, newBackup(a), newRestore(a), newBench(a), newChaos(a), newConfig(a), newImport(a), newDoctor(a), newVet(a), newSequence(a), newSchema(a), newCompletion(a), newVersion(a))
	addHelp(root)
	for _, c := range root.Commands() {
		refuseUnknown(c)
	}
	return root
}

// noun makes a command that only has others below it, which a bare call lists.
func noun(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(below...)
	return c
}

// refuseUnknown makes a noun say that it does not know a verb, rather than print
// its help.
func refuseUnknown(c *cobra.Command) {
	if c.HasSubCommands() && !c.Runnable() {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		}
	}
	for _, below := range c.Commands() {
		refuseUnknown(below)
	}
}

// commandNames are what may follow a command.
func commandNames(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			names = append(append(names, c.Name()), c.Aliases...)
		}
	}
	return names
}

func unknownCommand(cmd *cobra.Command, name string) error {
	err := fmt.Errorf("unknown command %q for %q", name, cmd.CommandPath())
	return code(exitUsage, meant(err, name, commandNames(cmd), cmd.CommandPath()+" %s", cmd.CommandPath()+" --help lists what there is"))
}

// flagError adds what was probably meant to what pflag says.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var name string
	var known []string
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name = unknown.GetSpecifiedName()
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, f.Name)
			}
		})
	}
	return code(exitUsage, meant(err, name, known, "--%s", cmd.CommandPath()+" --help lists its flags"))
}

// run is the program without its process: it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, environ []string) (exit int) {
	a := &app{term: console.New(in, out, errOut, environ), environ: environ, now: time.Now}
	defer func() {
		if bug := recover(); bug != nil {
			tell(a.term.Err, store.WithHint(fmt.Errorf("this is a bug: %v", bug), "add --debug and report what it prints"))
			if a.flags.debug {
				a.term.Err.Write(debug.Stack())
			}
			exit = exitFailed
		}
	}()
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(a.term.Out)
	root.SetErr(a.term.Err)
	var end func()
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		if cmd.Annotations[ownsSignals] != "" {
			return
		}
		ctx, stop := interruptible(cmd.Context(), a)
		cmd.SetContext(ctx)
		end = stop
	}
	cmd, err := root.ExecuteContextC(ctx)
	if end != nil {
		if err != nil && errors.Is(context.Cause(cmd.Context()), errInterrupted) && isEnd(err) {
			err = errInterrupted
		}
		end()
	}
	if err = errors.Join(err, a.close()); err == nil {
		err = a.term.Lost()
	}
	if err != nil {
		tell(a.term.Err, err)
	}
	return exitOf(err)
}

// example joins the lines of a command's examples as help prints them.
func example(lines ...string) string { return "  " + strings.Join(lines, "\n  ") }
