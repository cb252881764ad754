package sidekiqtest

import "syscall"

// dieWithParent lets the kernel kill the worker when the test binary dies.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
