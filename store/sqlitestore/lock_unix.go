//go:build darwin || freebsd || linux || netbsd || openbsd

package sqlitestore

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	shared      = unix.LOCK_SH
	exclusive   = unix.LOCK_EX
	nonBlocking = unix.LOCK_NB
)

// errLocked is what lockFile returns for a lock that another holds.
const errLocked = unix.EWOULDBLOCK

// lockFile takes the kernel's lock on an open file. It belongs to this descriptor
// and ends with it, or with the process.
func lockFile(f *os.File, how int) error { return flock(f, how) }

func unlockFile(f *os.File) { flock(f, unix.LOCK_UN) }

// flock goes through the descriptor's own guard, so that a Close meanwhile cannot
// make it act on another file that got the same number.
func flock(f *os.File, how int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = conn.Control(func(fd uintptr) {
		for {
			if lockErr = unix.Flock(int(fd), how); lockErr != unix.EINTR {
				return
			}
		}
	})
	if err == nil && lockErr != nil {
		if lockErr == unix.EWOULDBLOCK {
			return errLocked
		}
		err = os.NewSyscallError("flock", lockErr)
	}
	return err
}

// duplicate returns another descriptor of f, which shares its lock. Programs that are
// started do not inherit it unless they are given it.
func duplicate(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, dupErr := -1, error(nil)
	if err := conn.Control(func(from uintptr) { fd, dupErr = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// identify returns which file path names.
func identify(path string) (fileID, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileID{}, err
	}
	return identityOf(info), nil
}

func identityOf(info os.FileInfo) fileID {
	st := info.Sys().(*syscall.Stat_t)
	return fileID{uint64(st.Dev), uint64(st.Ino)}
}
