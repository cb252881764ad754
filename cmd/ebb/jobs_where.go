package main

import (
	"context"

	"github.com/ebbjobs/ebb/store"
)

// whereIs looks for a job in the order in which jobs go.
func whereIs(ctx context.Context, s store.Inspector, jid, queue string) (found store.Entry, ok bool, err error) {
	for _, q := range []store.Query{
		{Place: store.Scheduled}, {Place: store.Ready, Queue: queue}, {Place: store.Keeping}, {Place: store.Retrying}, {Place: store.Dead},
	} {
		if found, ok, err = first(ctx, s, q, jid); ok || err != nil {
			return found, ok, err
		}
	}
	queues, err := s.Queues(ctx) // it may have been sent elsewhere
	if err != nil {
		return found, false, err
	}
	for _, q := range queues {
		if q.Name == queue || q.Waiting == 0 {
			continue
		}
		if found, ok, err = first(ctx, s, store.Query{Place: store.Ready, Queue: q.Name}, jid); ok || err != nil {
			return found, ok, err
		}
	}
	return found, false, nil
}

func first(ctx context.Context, s store.Inspector, q store.Query, jid string) (store.Entry, bool, error) {
	q.JID, q.Limit = jid, 1
	for entry, err := range s.Jobs(ctx, q) {
		return entry, err == nil, err
	}
	return store.Entry{}, false, nil
}
