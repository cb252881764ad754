package web

import (
	"context"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// recent is a store that all who look at pages ask as one: what takes a look at each
// queue or process of a large fleet is not read for each of them anew. What is in the
// answers belongs to all of them. What somebody has changed by hand is seen at once.
type recent struct {
	store.Store
	hub *hub
	how patience
}

// Stats are at most a second old; two for who is hasty.
func (r recent) Stats(ctx context.Context) (store.Stats, error) {
	return recently(ctx, r, "store.Stats", pace, r.Store.Stats)
}

// Queues are at most a second old; two for who is hasty.
func (r recent) Queues(ctx context.Context) ([]store.Queue, error) {
	return recently(ctx, r, "store.Queues", pace, r.Store.Queues)
}

// Processes are as old as the topics of one page may be apart: that one is gone is seen
// as soon as it is known.
func (r recent) Processes(ctx context.Context) ([]store.Process, error) {
	return recently(ctx, r, "store.Processes", hurry, r.Store.Processes)
}

func recently[T any](ctx context.Context, r recent, key string, oldest time.Duration, read func(context.Context) (T, error)) (T, error) {
	data, err := r.hub.share(ctx, key, oldest, r.how, func(ctx context.Context) (any, error) { return read(ctx) })
	known, _ := data.(T)
	return known, err
}
