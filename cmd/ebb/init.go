package main

import (
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/pid1"
)

// isInit reports whether this process is to be an init, which must not wait until the
// rest of the command has been set up.
func isInit(args []string) bool { return len(args) > 1 && args[1] == "init" }

// newInit is for help and completion, and for those who put a flag of all commands in
// front: main knows ebb init before it makes any command.
func newInit() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init [FLAGS] [--] COMMAND [ARGS]", Short: "Be process 1 of a container",
		Long: `Run a command as process 1 of a container: pass signals on, reap, wait for all
that it leaves behind, and exit with its code.

A signal goes to the child and, below it, only to those processes that nobody above
them cares for: a worker that handles TERM decides itself what its helpers get. When
the child has ended, what is left gets TERM and is waited for: until the grace ends in
a stop, for --linger outside of one. Other inits exit at once, and the kernel kills it.

With --stop a TERM begins a stop sequence instead, once. With a store, the jobs of a
child that crashes are given back at once. The flags of tini and dumb-init mean what
they mean there, so that it takes their place; ebb-init is the same in 3 MB.`,
		Example: example("ebb init -- echo hello", "ebb init --stop 'TSTP;idle<=1h;TERM;25s;KILL' --grace 3700s -- true",
			"ebb init --map USR1=TSTP --restart on-crash -- true", "ebb init -- sh -c 'exit 7'   # exit 7"),
		Annotations:           map[string]string{ownsSignals: "yes"},
		DisableFlagParsing:    true,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
				return cmd.Help()
			}
			// An init takes its whole process for itself, and all that it has started. It
			// begins as one that has done nothing else.
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return syscall.Exec(self, append([]string{"ebb", "init"}, args...), os.Environ())
		},
	}
	for _, f := range pid1.Flags() {
		switch {
		case f.Long == "help": // which every command has
		case f.Value == "":
			cmd.Flags().BoolP(f.Long, f.Short, false, f.Usage)
		default:
			cmd.Flags().StringP(f.Long, f.Short, "", "`"+f.Value+"` "+f.Usage)
		}
	}
	return cmd
}
