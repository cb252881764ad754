//go:build unix && !linux

package command

import (
	"os"
	"syscall"
)

func selfPath() (string, error) { return os.Executable() }

// seclude can do nothing here: what leaves its process group gets away.
func seclude() (adopts bool) { return false }

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func signalDescendants(syscall.Signal) int { return 0 }

// killOrphans kills what is left of a program whose guard is gone, and reports
// whether there was anything: what is still in its process group.
func killOrphans(_, group int) (any bool) {
	return group != 0 && syscall.Kill(-group, syscall.SIGKILL) == nil
}
