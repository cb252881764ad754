//go:build !(darwin || freebsd || linux || netbsd || openbsd)

package sqlitestore

import (
	"errors"
	"fmt"
	"os"
)

const shared, exclusive, nonBlocking = 1, 2, 4

var errLocked = errors.New("locked")

// lockFile fails: without locks that the kernel takes back from the dead there is
// no lease.
func lockFile(*os.File, int) error {
	return fmt.Errorf("file locks on this system: %w", errors.ErrUnsupported)
}

func unlockFile(*os.File) {}

func duplicate(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

func identify(path string) (fileID, error) {
	_, err := os.Stat(path)
	return fileID{}, err
}

func identityOf(os.FileInfo) fileID { return fileID{} }
