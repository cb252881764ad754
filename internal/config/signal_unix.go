//go:build unix

package config

import "syscall"

// signals are those that may tell a program of a stop. TERM and KILL have their own
// hour, and what stops or continues a process tells it nothing.
var signals = map[string]syscall.Signal{
	"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "ALRM": syscall.SIGALRM,
	"WINCH": syscall.SIGWINCH, "TSTP": syscall.SIGTSTP, "TTIN": syscall.SIGTTIN, "URG": syscall.SIGURG,
}
