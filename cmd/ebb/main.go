// Command ebb is what operators see of ebb: it runs jobs in any language, puts and
// moves them, and shows what is there. The files of a command begin with its name;
// the others hold what commands share.
package main

import (
	"context"
	"os"

	"github.com/ebbjobs/ebb/internal/command"
	"github.com/ebbjobs/ebb/pid1"
)

func main() {
	if isInit(os.Args) {
		os.Exit(pid1.Main(os.Args[2:], os.Environ()))
	}
	if command.IsGuard(os.Args) {
		command.GuardMain()
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
