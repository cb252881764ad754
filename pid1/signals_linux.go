package pid1

import (
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deaf are signals that are heard and not passed on, as with tini: what a kernel
// sends to a program that went wrong, and what it sends to one that uses a terminal
// from the background. They must be heard, for Go crashes on the first kind and
// stops on the second. STKFLT is none of them: no kernel sends it.
var deaf = map[syscall.Signal]bool{
	syscall.SIGILL: true, syscall.SIGTRAP: true, syscall.SIGABRT: true, syscall.SIGBUS: true, syscall.SIGFPE: true,
	syscall.SIGSEGV: true, syscall.SIGSYS: true, syscall.SIGTTIN: true, syscall.SIGTTOU: true,
}

// listen asks for every signal that can be heard, by name: who asks for all of them
// hears Go's own scheduler. The channel is roomy since os/signal drops what does not
// fit.
func listen() (heard, ended chan os.Signal) {
	heard, ended = make(chan os.Signal, 128), make(chan os.Signal, 1)
	for s := syscall.Signal(1); s <= 64; s++ {
		if !unheard[s] {
			signal.Notify(heard, s)
		}
	}
	signal.Notify(ended, syscall.SIGCHLD)
	return heard, ended
}

// cleanSignals gives what is started from this thread an empty mask and no ignored
// signal, whatever this program was started with. What Go handles is reset by exec;
// 32 and 34 it does not. The caller is locked to its thread.
func cleanSignals() {
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
	var byDefault [32]byte // struct sigaction, all zero: SIG_DFL
	for _, s := range []uintptr{32, 34} {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, s, uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0)
	}
}

// holding calls f with a signal blocked on this thread, to which the caller is locked.
func holding(s syscall.Signal, f func()) {
	var set, before unix.Sigset_t
	set.Val[(s-1)/64] = 1 << ((s - 1) % 64)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &set, &before) == nil {
		defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	}
	f()
}
