//go:build unix && slow

package mixedtest

import "syscall"

// Each release ends in each way.
func init() {
	ends = []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGTERM}
}
