package store

import (
	"context"
	"errors"
	"io"
)

// Archiver is a store that can be copied as a whole. Stores that live in a
// process's memory are not.
type Archiver interface {
	// Backup writes all that the store keeps to w, as of one moment, while others go
	// on. What was written before an error is no backup, and Restore refuses it.
	Backup(ctx context.Context, w io.Writer) error
	// Restore puts in place of what the store keeps what Backup wrote. It is all or
	// nothing: a backup that is cut short or damaged, of another kind of store or of a
	// newer layout changes nothing. A store in which any process has a lease, or a
	// Ruby process is alive, is ErrInUse; one that has jobs is ErrNotEmpty, unless
	// replace is set. What processes held when the backup was made is rescued as
	// after a power cut.
	Restore(ctx context.Context, r io.Reader, replace bool) error
}

var (
	// ErrInUse: a process works on the store.
	ErrInUse = errors.New("a process works on this store")
	// ErrNotEmpty: there are jobs that would be lost.
	ErrNotEmpty = errors.New("the store is not empty")
)
