//go:build unix

package command

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// workerVariable makes this test binary a worker that can be killed: it holds what
// tells it what to be.
const workerVariable = "EBB_COMMAND_TEST_WORKER"

// worker is a process that runs a program over and over, several at once, while it
// holds the lock on a file.
type worker struct {
	Dir, Script, Lease string
	Slots              int // how many
}

func workerMain() int {
	var w worker
	if err := json.Unmarshal([]byte(os.Getenv(workerVariable)), &w); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := w.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (w worker) run() error {
	lease, err := os.OpenFile(w.Lease, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lease.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	h := New(Spec{Kind: "Test", Argv: []string{"sh", "-c", w.Script}, Dir: w.Dir}, Options{
		Guards: NewGuards(nil), Log: slog.New(slog.DiscardHandler),
		LeaseFile: func(store.Identity) (*os.File, error) {
			syscall.ForkLock.RLock()
			defer syscall.ForkLock.RUnlock()
			fd, err := syscall.Dup(int(lease.Fd()))
			if err != nil {
				return nil, err
			}
			syscall.CloseOnExec(fd)
			return os.NewFile(uintptr(fd), "lease"), nil
		},
	})
	job, err := wire.Parse([]byte(`{"class":"Test","args":[]}`))
	if err != nil {
		return err
	}
	var slots sync.WaitGroup
	for range w.Slots {
		slots.Go(func() {
			for err == nil {
				if failed := h.Run(context.Background(), job); failed != nil {
					fmt.Fprintln(os.Stderr, failed)
					return
				}
			}
		})
	}
	slots.Wait()
	return nil
}
