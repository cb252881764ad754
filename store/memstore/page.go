package memstore

import (
	"time"

	"github.com/ebbjobs/ebb/store"
)

// before reports whether a walk that begins at a moment comes by at before that.
func before(q store.Query, at time.Time) bool {
	at, q.From = at.Truncate(time.Microsecond), q.From.Truncate(time.Microsecond)
	switch {
	case q.From.IsZero() || at.IsZero():
		return false
	case q.Newest:
		return at.After(q.From)
	}
	return at.Before(q.From)
}
