package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newCompletion(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion " + strings.Join(shells, "|"),
		Short: "Print the completion script of a shell",
		Long: `Print a script that makes a shell complete commands, flags and, where the store
answers at once, the names of queues. Load it in the shell's start file:

  bash        source <(ebb completion bash)
  zsh         source <(ebb completion zsh)
  fish        ebb completion fish | source
  powershell  ebb completion powershell | Out-String | Invoke-Expression`,
		Example:   example("ebb completion bash", "ebb completion zsh > _ebb       # into a folder of $fpath", "ebb completion fish > ebb.fish  # into ~/.config/fish/completions"),
		Args:      exactly("a shell: " + strings.Join(shells, ", ")),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), a.term.Out
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			err := fmt.Errorf("there is no completion for %q", args[0])
			return code(exitUsage, meant(err, args[0], shells, "ebb completion %s", "there is "+strings.Join(shells, ", ")))
		},
	}
}
