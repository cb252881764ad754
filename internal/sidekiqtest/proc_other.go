//go:build !linux

package sidekiqtest

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
