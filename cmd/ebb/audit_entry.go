package main

import (
	"cmp"
	"context"
	"os/user"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/store"
)

// noting makes a change by hand that the audit trail tells of.
func (a *app) noting(ctx context.Context, s store.Inspector, c store.Change, change func() (done int64, err error)) error {
	c.By = a.who()
	_, err := bulk.Note(ctx, s, c, func(context.Context) (int64, error) { return change() })
	return err
}

// who is the one who makes changes, as the audit trail names people.
func (a *app) who() string {
	name := cmp.Or(a.getenv("USER"), a.getenv("LOGNAME"))
	if u, err := user.Current(); err == nil {
		name = cmp.Or(u.Username, name)
	}
	return cmp.Or(name, "somebody") + "@" + store.NewIdentity().Host()
}
