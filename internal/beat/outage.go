package beat

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Outage says once that the store does not answer, and once that it does again,
// however many parts of a process find out.
type Outage struct {
	Log *slog.Logger

	mu      sync.Mutex
	failing map[string]bool // by part
	since   time.Time
	back    time.Time // when the last outage ended
}

// Note tells how a call of one part of the process went, and when it was begun: the
// error of one that was under way when an outage ended is no news.
func (o *Outage) Note(part string, began time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil && len(o.failing) == 0:
	case err == nil:
		if delete(o.failing, part); len(o.failing) == 0 {
			o.back = time.Now()
			o.Log.Info("store is back", "took", o.back.Sub(o.since).Round(time.Millisecond))
		}
	case Final(err), errors.Is(err, context.Canceled):
		// An end, not an outage.
	case began.Before(o.back):
	default:
		if len(o.failing) == 0 {
			o.failing, o.since = map[string]bool{}, time.Now()
			o.Log.Warn("store does not answer; going on with what is here", append(about(err), "part", part)...)
		}
		o.failing[part] = true
	}
}

// End says that there is no going on with the store.
func (o *Outage) End(err error) {
	o.Log.Error("store cannot be used any more; the process ends", about(err)...)
}

func about(err error) []any {
	attrs := []any{"cause", err}
	if hint := store.Hint(err); hint != "" {
		attrs = append(attrs, "hint", hint)
	}
	return attrs
}
