//go:build !unix

package stopseq

import "syscall"

// signals are Linux's, where sequences run that are read on such a system.
var signals = []named{
	{"HUP", 1}, {"INT", 2}, {"QUIT", 3}, {"ILL", 4}, {"TRAP", 5}, {"ABRT", 6}, {"BUS", 7}, {"FPE", 8}, {"KILL", 9},
	{"USR1", sigUSR1}, {"SEGV", 11}, {"USR2", 12}, {"PIPE", 13}, {"ALRM", 14}, {"TERM", 15}, {"CHLD", 17},
	{"CONT", sigCONT}, {"STOP", sigSTOP}, {"TSTP", sigTSTP}, {"TTIN", sigTTIN}, {"TTOU", sigTTOU}, {"URG", 23},
	{"XCPU", 24}, {"XFSZ", 25}, {"VTALRM", 26}, {"PROF", 27}, {"WINCH", 28}, {"IO", 29}, {"PWR", 30}, {"SYS", 31},
}

// The others that sequences speak of.
const (
	sigUSR1 syscall.Signal = 10
	sigCONT syscall.Signal = 18
	sigSTOP syscall.Signal = 19
	sigTSTP syscall.Signal = 20
	sigTTIN syscall.Signal = 21
	sigTTOU syscall.Signal = 22
)
