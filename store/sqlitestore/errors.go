package sqlitestore

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/ebbjobs/ebb/store"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// code returns SQLite's extended result code of err, or 0.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// explain turns an error of the driver into one of the seam's, with the one thing
// to try. Errors that are not the driver's pass.
func explain(err error) error {
	c := code(err)
	if c == 0 {
		return err
	}
	wrap := func(kind error, hint string, args ...any) error {
		return store.WithHint(fmt.Errorf("%w: %w", kind, err), hint, args...)
	}
	switch {
	case c == sqlite3.SQLITE_READONLY_DBMOVED:
		return wrap(store.ErrReplaced, hintReplaced)
	case noSpace(err):
		return wrap(store.ErrFull, hintFull)
	}
	switch c & 0xff {
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return wrap(store.ErrReadOnly, hintReadOnly)
	case sqlite3.SQLITE_CANTOPEN:
		return wrap(store.ErrUnreachable, "check that this user may write to the folder of the file")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return wrap(store.ErrCorrupt, "if it was an ebb store, run sqlite3 FILE .recover into a new file; else name another file")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return wrap(store.ErrUnreachable, hintBusy)
	}
	return err
}

const (
	hintBusy     = "another program keeps a transaction open in this file; look for a sqlite3 shell, or a transaction of your own that enqueues outside of itself"
	hintReadOnly = "make the file and its folder writable for the user that runs this"
	hintFull     = "free some space; what runs goes on and is recorded, only new jobs are refused meanwhile. If there is room, and no quota, the disk may be failing"
	hintReplaced = "restart the process; jobs that were answered are in the file that was there before"
)

// noSpace reports an I/O error that the disk gave for lack of room. SQLite keeps
// errno to itself, so all that is left to go by is the code; EDQUOT comes as a
// failed write.
func noSpace(err error) bool {
	c := code(err)
	return c&0xff == sqlite3.SQLITE_FULL || c == sqlite3.SQLITE_IOERR_WRITE || c == sqlite3.SQLITE_IOERR_SHMSIZE ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// explainFile does the same for files that are ours.
func explainFile(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return store.WithHint(fmt.Errorf("%w: %w", store.ErrReadOnly, err), hintReadOnly)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return store.WithHint(fmt.Errorf("%w: %w", store.ErrFull, err), hintFull)
	}
	return err
}
