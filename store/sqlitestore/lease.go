package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// missingFor is how long a lease file must be missing before its owner counts as
// gone: a living owner sees that at its next beat and makes another.
const missingFor = 12 * time.Second

// leases are the locks that processes of this Store hold, one file each, and what
// it has seen of the files of others.
type leases struct {
	mu      sync.Mutex
	mine    map[store.Identity]*os.File
	missing map[store.Identity]time.Time // since when by our own clock
}

func (s *Store) leasePath(id store.Identity) string {
	return filepath.Join(s.path+".d", url.PathEscape(string(id)))
}

// hold makes sure that id's lease file is there and locked by us, and reports
// whether it has just been made. It is locked under another name first: under its
// own, a rescuer might find it between its birth and its lock.
func (s *Store) hold(id store.Identity) (born bool, err error) {
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	path := s.leasePath(id)
	if f := l.mine[id]; f != nil {
		if sameFile(f, path) {
			return false, nil
		}
		f.Close() // deleted, or the folder was replaced: nobody finds that lock any more
		delete(l.mine, id)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return false, explainFile(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return false, explainFile(err)
	}
	if err := errors.Join(lockFile(f, exclusive|nonBlocking), os.Rename(f.Name(), path)); err != nil {
		return false, errors.Join(err, os.Remove(f.Name()), f.Close())
	}
	if !sameFile(f, path) {
		return false, errors.Join(fmt.Errorf("lease %s was taken away as it was made", path), f.Close())
	}
	if l.mine == nil {
		l.mine = make(map[store.Identity]*os.File)
	}
	l.mine[id] = f
	return true, nil
}

func sameFile(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(open, named)
}

// drop ends the lease of id, if it is ours. Its file goes first, so that nobody
// finds it free.
func (s *Store) drop(id store.Identity) {
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.mine[id]; f != nil {
		os.Remove(s.leasePath(id))
		f.Close()
		delete(l.mine, id)
	}
}

// release lets go of all leases and leaves their files: whoever finds them free
// rescues what their owners held.
func (l *leases) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for id, f := range l.mine {
		errs = append(errs, f.Close())
		delete(l.mine, id)
	}
	return errors.Join(errs...)
}

// vitality is what a lease file tells of its owner.
type vitality int

const (
	alive   vitality = iota // or frozen: the lock is held
	unknown                 // no file, not yet for long enough
	gone
)

// probe looks whether id lives. The lock is only tried, shared, so that those who
// look at the same moment are not taken for the owner.
func (s *Store) probe(id store.Identity) vitality {
	f, err := os.Open(s.leasePath(id))
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		now := s.opts.Clock()
		since, seen := l.missing[id]
		if !seen {
			if l.missing == nil {
				l.missing = make(map[store.Identity]time.Time)
			}
			l.missing[id] = now
			return unknown
		}
		if now.Sub(since) < missingFor {
			return unknown
		}
		return gone
	}
	delete(l.missing, id)
	if err != nil {
		return unknown
	}
	defer f.Close()
	if lockFile(f, shared|nonBlocking) != nil {
		return alive
	}
	return gone // the close lets go
}

// unlink removes the lease file of a process that was forgotten.
func (s *Store) unlink(id store.Identity) {
	os.Remove(s.leasePath(id))
	s.leases.mu.Lock()
	delete(s.leases.missing, id)
	s.leases.mu.Unlock()
}

// sweepLeases removes the files of processes that died as they were born: nobody
// has them registered, and nobody holds their lock.
func (s *Store) sweepLeases(ctx context.Context) {
	all, err := s.registered(ctx)
	files, dirErr := os.ReadDir(s.path + ".d")
	if err != nil || dirErr != nil {
		return // again in a minute
	}
	known := make(map[string]bool, len(all))
	for i := range all {
		known[s.leasePath(all[i].id)] = true
	}
	for _, e := range files {
		path := filepath.Join(s.path+".d", e.Name())
		// One that is being born has no lock yet, for an instant.
		if info, err := e.Info(); err != nil || known[path] || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if lockFile(f, exclusive|nonBlocking) == nil {
			os.Remove(path)
		}
		f.Close()
	}
}
