//go:build !unix

package config

import "syscall"

var signals = map[string]syscall.Signal{}
