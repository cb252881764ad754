//go:build !unix

package drain

import (
	"errors"
	"io/fs"
	"syscall"
)

// Numbers of signals that this system does not have, and that are never sent.
const (
	sigQuiet    = syscall.Signal(0x14)
	sigOldQuiet = syscall.Signal(0xa)
	sigTerm     = syscall.SIGTERM
	sigContinue = syscall.Signal(0x12)
)

var errGone = errors.New("drain: it has ended")

func send(fs.FS, int, uint64, syscall.Signal) error {
	return errors.New("drain: this system has no such signals")
}
