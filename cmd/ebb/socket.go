package main

import (
	"context"
	"time"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/store"
)

// socketPatience is for a process that is frozen, or whose machine is overloaded.
const socketPatience = 2 * time.Second

// dialSocket connects to a process on this machine. It returns nil where there is
// none, or if another answers at its path.
func dialSocket(ctx context.Context, p store.Process) *control.Client {
	if p.Socket == "" || p.ID.Host() != store.NewIdentity().Host() {
		return nil
	}
	ctx, end := context.WithTimeout(ctx, socketPatience)
	defer end()
	c, err := control.Dial(ctx, p.Socket)
	if err != nil {
		return nil
	}
	if status, err := c.Status(ctx); err != nil || status.ID != p.ID {
		c.Close()
		return nil
	}
	return c
}
