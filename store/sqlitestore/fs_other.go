//go:build !(darwin || freebsd || linux)

package sqlitestore

import (
	"errors"
	"os"
)

func fsType(string) (string, error) { return "a file system that cannot be told here", nil }

func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }

func allocate(*os.File, int64) error { return errors.ErrUnsupported }
