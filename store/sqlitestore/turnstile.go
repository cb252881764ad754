package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// turnstile is the lock that writers of all processes take before BEGIN. SQLite
// itself only sleeps and tries again, which starves a process for seconds where
// others are busy; the kernel wakes those who wait in their order, and lets go of
// the lock of one who dies.
type turnstile struct {
	file *os.File
}

func openTurnstile(path string) (*turnstile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	return &turnstile{file: f}, nil
}

// lock waits for as long as it takes.
func (g *turnstile) lock() error {
	if err := lockFile(g.file, exclusive); err != nil {
		return err
	}
	g.sign()
	return nil
}

func (g *turnstile) tryLock() (bool, error) {
	err := lockFile(g.file, exclusive|nonBlocking)
	if errors.Is(err, errLocked) {
		return false, nil
	}
	if err == nil {
		g.sign()
	}
	return err == nil, err
}

// lockWithin gives up after d, or when ctx ends; a lock that arrives later is let
// go of.
func (g *turnstile) lockWithin(ctx context.Context, d time.Duration) error {
	if ok, err := g.tryLock(); ok || err != nil {
		return err
	}
	began, got := time.Now(), make(chan error, 1)
	go func() { got <- g.lock() }()
	patience := time.NewTimer(d)
	defer patience.Stop()
	why := store.ErrUnreachable
	select {
	case err := <-got:
		return err
	case <-patience.C:
	case <-ctx.Done():
		why = ctx.Err()
	}
	go func() {
		if <-got == nil {
			g.unlock()
		}
	}()
	return g.late(why, time.Since(began))
}

func (g *turnstile) unlock() { unlockFile(g.file) }

// close lets go too.
func (g *turnstile) close() error { return g.file.Close() }

// signSize is what a signature is padded to, so that one write replaces another.
const signSize = 256

// sign leaves our name for those who wait. The file is read first and mostly
// left as it is: a write would dirty its inode at every commit.
func (g *turnstile) sign() {
	if g.read() == whoami() {
		return
	}
	padded := make([]byte, signSize)
	copy(padded, whoami())
	g.file.WriteAt(padded, 0) // only for people
}

func (g *turnstile) read() string {
	var b [signSize]byte
	n, _ := g.file.ReadAt(b[:], 0)
	return strings.TrimRight(string(b[:n]), "\x00")
}

// late is the error of those who waited in vain, and why they wait no longer. Who
// called it off himself need not be told.
func (g *turnstile) late(why error, waited time.Duration) error {
	if why == context.Canceled {
		return why
	}
	return store.WithHint(fmt.Errorf("%w: locked for writing for %v by %s", why, waited.Round(time.Millisecond), g.read()),
		"if that process hangs or is stopped, end it; the lock goes with it")
}
