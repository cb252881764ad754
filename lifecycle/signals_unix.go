//go:build unix

package lifecycle

import (
	"os"
	"syscall"
)

var meanings = map[os.Signal]Event{
	syscall.SIGTERM: {Kind: Stop, Why: "SIGTERM"},
	syscall.SIGINT:  {Kind: Interrupt, Why: "SIGINT"},
	syscall.SIGTSTP: {Kind: Quiet, Why: "SIGTSTP"},
	syscall.SIGTTIN: {Kind: Dump, Why: "SIGTTIN"},
}
