// Package promote moves jobs that are due to their queues. Every process does it
// for all; the store sees to it that they do not get in each other's way.
package promote

import (
	"context"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// The bounds of what a store may say about when to come again, and of the pause
// after an error.
const (
	soonest = time.Millisecond
	latest  = 5 * time.Second
	pause   = time.Second
)

// Loop promotes again and again.
type Loop struct {
	Keeper store.Keeper
	What   store.Promotion
	Note   func(began time.Time, err error) // told how each call went
}

// Run promotes until ctx ends.
func (l *Loop) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		_, next, err := l.Keeper.Promote(ctx, l.What)
		if ctx.Err() != nil {
			return
		}
		l.Note(began, err)
		if err != nil {
			next = pause
		}
		timer.Reset(min(max(next, soonest), latest))
	}
}
