//go:build !unix

package lifecycle

import (
	"os"
	"syscall"
)

var meanings = map[os.Signal]Event{
	syscall.SIGTERM: {Kind: Stop, Why: "SIGTERM"},
	os.Interrupt:    {Kind: Interrupt, Why: "SIGINT"},
}
