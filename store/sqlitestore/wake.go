package sqlitestore

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// lookEvery is how often a waiting Fetch looks unasked: a process that dies
// between its commit and the touch of the wake file wakes nobody.
const lookEvery = time.Second

// wake tells who waits that a job may have become ready: those of this process
// directly, others by a byte written to a file that they watch. It is written
// after the commit; whoever watches the WAL instead looks before the commit can
// be seen.
type wake struct {
	s    *Store
	path string

	mu       sync.Mutex
	file     *os.File
	id       fileID
	bell     chan struct{} // closed by the next ring
	closed   bool
	watching bool
	watcher  *fsnotify.Watcher
	polled   bool // no watcher was to be had
	expected expectation
}

func newWake(path string, s *Store) (*wake, error) {
	w := &wake{s: s, path: path, bell: make(chan struct{})}
	return w, w.open()
}

func (w *wake) open() (err error) {
	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	w.file = f
	w.id, err = identify(w.path)
	return err
}

// ring is called after a commit that made something ready.
func (w *wake) ring() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakeOurs()
	if w.s.opts.NoWatch || w.closed {
		return
	}
	w.ensure()
	w.file.WriteAt([]byte{'.'}, 0) // if it fails they find the job within lookEvery
}

// ensure makes the file anew if it was deleted: those who begin to watch find
// another by that name, or none. Until it succeeds, waiting Fetches find their
// jobs by looking.
func (w *wake) ensure() {
	if id, err := identify(w.path); err == nil && id == w.id {
		return
	}
	w.file.Close()
	if w.open() == nil && w.watcher != nil {
		w.watcher.Add(w.path)
	}
}

func (w *wake) wakeOursLocked() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakeOurs()
}

func (w *wake) wakeOurs() {
	close(w.bell)
	w.bell = make(chan struct{})
}

// wait returns a channel that is closed once something may have become ready
// after this call. The first call begins to watch.
func (w *wake) wait() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.watching && !w.s.opts.NoWatch {
		w.watching = true
		watcher, err := w.newWatcher()
		if err == nil {
			w.watcher = watcher
			w.s.spawn(func() { w.watch(watcher) })
		} else { // a user may have 128 watchers
			w.polled = true
			w.s.spawn(func() { w.poll(pollFirst, pollLast, w.wakeOursLocked, func() bool { return true }) })
		}
	}
	return w.bell
}

func (w *wake) newWatcher() (*fsnotify.Watcher, error) {
	if w.s.opts.noWatcher {
		return nil, errors.ErrUnsupported
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := watcher.Add(w.path); err != nil {
		return nil, errors.Join(err, watcher.Close())
	}
	return watcher, nil
}

// watch rings for what other processes wrote.
func (w *wake) watch(watcher *fsnotify.Watcher) {
	for {
		select {
		case e, ok := <-watcher.Events:
			if !ok {
				return
			}
			w.mu.Lock()
			// The deletion of a file that is open shows as a change of its attributes.
			if !e.Has(fsnotify.Write) && !w.closed {
				w.ensure()
			}
			w.wakeOurs()
			w.mu.Unlock()
		case _, ok := <-watcher.Errors: // an overflow: something may have been missed
			if !ok {
				return
			}
			w.mu.Lock()
			w.wakeOurs()
			w.mu.Unlock()
		}
	}
}

// How often to look for commits of others by PRAGMA data_version; a look takes
// some 50 µs. The less happens, the less often.
const (
	pollFirst = 20 * time.Millisecond
	pollLast  = 500 * time.Millisecond
)

// poll calls changed whenever another connection has committed, and pauses
// between looks for first at least, last at most; it ends with the store or when
// goOn returns false.
func (w *wake) poll(first, last time.Duration, changed func(), goOn func() bool) {
	ctx := context.Background()
	conn, err := w.s.reads.Conn(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	seen, pause := int64(-1), first
	timer := time.NewTimer(0)
	defer timer.Stop()
	for goOn() {
		select {
		case <-w.s.closed:
			return
		case <-timer.C:
		}
		var version int64
		if err := conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
			return
		}
		if version == seen {
			pause = min(pause*2, last)
		} else {
			pause = first
			if seen >= 0 {
				changed()
			}
		}
		seen = version
		timer.Reset(pause)
	}
}

// describe says how waiting works here.
func (w *wake) describe() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.s.opts.NoWatch:
		return "pushed within this process, else polled every second"
	case w.polled:
		return "polled: no file watcher was left"
	}
	return "pushed: the wake file is watched"
}

func (w *wake) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	if w.watcher != nil {
		err = w.watcher.Close()
	}
	w.wakeOurs()
	w.closed = true
	w.file.Close() // closed already, if it could not be made anew
	return err
}
