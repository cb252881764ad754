//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package drain

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK // a pipe in its place would wait for a reader

// lock takes the file for as long as it is open here, unless somebody else has it. A
// file system that knows no locks keeps nobody out.
func lock(f *os.File) bool {
	return !errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

func isOwn(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Getuid()
}
