package chaos

import "syscall"

// serverAttributes put the server out of reach of a ^C, and let the kernel kill it
// when we die.
func serverAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
