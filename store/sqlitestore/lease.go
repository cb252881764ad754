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
	mine    map[store.Identity]*lease
	missing map[store.Identity]time.Time // since when by our own clock
}

// lease is a locked file. It lives until the last descriptor of it is closed, of
// whichever process.
type lease struct {
	file    *os.File
	guarded bool // there may be descriptors beside ours
	left    bool // ours is closed, and only guards keep it
}

// guardMark in a lease file tells others that it may be held by guards of a
// process that is itself gone.
const guardMark = "guarded\n"

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
	if h := l.mine[id]; h != nil {
		if h.left {
			return false, store.ErrLeft
		}
		if sameFile(h.file, path) {
			return false, nil
		}
		h.file.Close() // deleted, or the folder was replaced: nobody finds that lock any more
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
		l.mine = make(map[store.Identity]*lease)
	}
	l.mine[id] = &lease{file: f}
	return true, nil
}

// LeaseFile returns a new descriptor of the locked file that is the lease of id,
// for another process to inherit; the caller closes his own. Until the last of
// them is closed id counts as alive, though its process be gone, and nobody is
// given its jobs. ErrLeaseLost: this Store holds no lease for id.
func (s *Store) LeaseFile(id store.Identity) (*os.File, error) {
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.mine[id]
	var f *os.File
	err := store.ErrLeaseLost
	if h != nil && !h.left {
		f, err = h.duplicate()
	}
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: lease file of %s: %w", id, err)
	}
	return f, nil
}

func (h *lease) duplicate() (*os.File, error) {
	if !h.guarded {
		if _, err := h.file.WriteAt([]byte(guardMark), 0); err != nil {
			return nil, explainFile(err)
		}
		h.guarded = true
	}
	return duplicate(h.file)
}

// leaveToGuards lets go of the lease of a process that left deaf jobs behind, if
// guards may have it too: from here on the lock tells whether they do. Without
// guards it is kept, so that a KILL before the jobs' time is over is seen.
func (s *Store) leaveToGuards(id store.Identity) {
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.mine[id]; h != nil && h.guarded && !h.left {
		h.file.Close()
		h.left = true
	}
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
	if h := l.mine[id]; h != nil {
		os.Remove(s.leasePath(id))
		h.file.Close()
		delete(l.mine, id)
	}
}

// release lets go of all leases and leaves their files: whoever finds them free
// rescues what their owners held.
func (l *leases) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for id, h := range l.mine {
		if !h.left {
			errs = append(errs, h.file.Close())
		}
		delete(l.mine, id)
	}
	return errors.Join(errs...)
}

// vitality is what a lease file tells of its owner.
type vitality int

const (
	alive   vitality = iota // or frozen: the lock is held
	guarded                 // the lock is held, maybe by guards only
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
	if lockFile(f, shared|nonBlocking) == nil {
		return gone // the close lets go
	}
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		return guarded
	}
	return alive
}

// layDown makes the lease file of a process that lives no more, as its end would
// have left it.
func (s *Store) layDown(id store.Identity) {
	f, err := os.OpenFile(s.leasePath(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err == nil { // else it is there, or will be missing for long enough
		f.Close()
	}
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
