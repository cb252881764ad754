package main

import (
	"cmp"
	"context"
	"os/user"
	"time"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/store"
)

// noting makes a change by hand and keeps in the audit trail that it was begun, by
// whom, and that it ended. One that failed or was cut off stays without an end.
func (a *app) noting(ctx context.Context, s store.Inspector, c store.Change, change func() (done int64, err error)) error {
	id, err := bulk.NewID(ctx, s)
	if err != nil {
		return err
	}
	c.ID, c.By, c.Began = id, a.who(), a.now().UTC()
	if err := s.Record(ctx, c); err != nil {
		return err
	}
	done, err := change()
	c.Done = done
	if err != nil {
		return err
	}
	c.Ended = a.now().UTC()
	// It is done: an interruption now must not hide that.
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer end()
	return s.Record(ctx, c)
}

// who is the one who makes changes, as the audit trail names people.
func (a *app) who() string {
	name := cmp.Or(a.getenv("USER"), a.getenv("LOGNAME"))
	if u, err := user.Current(); err == nil {
		name = cmp.Or(u.Username, name)
	}
	return cmp.Or(name, "somebody") + "@" + store.NewIdentity().Host()
}
