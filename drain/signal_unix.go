//go:build unix

package drain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// The signals that are sent.
const (
	sigQuiet    = syscall.SIGTSTP
	sigOldQuiet = syscall.SIGUSR1 // up to Sidekiq 4; it kills later ones
	sigTerm     = syscall.SIGTERM
	sigContinue = syscall.SIGCONT
)

// errGone is for a process that has ended meanwhile.
var errGone = errors.New("drain: it has ended")

// send signals the process that was born then. It holds the process while it makes
// sure that the number has not gone to another.
func send(root fs.FS, pid int, born uint64, s syscall.Signal) error {
	held, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("drain: find process %d: %w", pid, err)
	}
	defer held.Release()
	if now, err := readProcess(root, pid); err != nil || now.born != born {
		return errGone
	}
	switch err := held.Signal(s); {
	case errors.Is(err, os.ErrProcessDone):
		return errGone
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w process %d, which is another user's", ErrPermission, pid)
	case err != nil:
		return fmt.Errorf("drain: signal process %d: %w", pid, err)
	}
	return nil
}
