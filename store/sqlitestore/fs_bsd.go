//go:build darwin || freebsd

package sqlitestore

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func fsType(dir string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", os.NewSyscallError("statfs", err)
	}
	return unix.ByteSliceToString(st.Fstypename[:]), nil
}

// freeSpace is the room for ordinary users on the disk that path lies on.
func freeSpace(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &st); err != nil {
		return 0, os.NewSyscallError("statfs", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

func allocate(*os.File, int64) error { return errors.ErrUnsupported }
