//go:build !linux

package chaos

import "syscall"

// serverAttributes put the server out of reach of a ^C.
func serverAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
