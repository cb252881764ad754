package memstore

import (
	"bytes"
	"context"

	"github.com/ebbjobs/ebb/store"
)

// Push puts items at the back of their queues.
func (s *Store) Push(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	results, err := s.accept(ctx, call, items, func(j *job, _ store.Item) { s.putBack(j) })
	return results, wrap("push", err)
}

// Schedule puts items into the scheduled set.
func (s *Store) Schedule(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	results, err := s.accept(ctx, call, items, func(j *job, it store.Item) {
		at := it.At
		if at.IsZero() {
			at = s.clock().Add(it.Delay)
		}
		s.putSet(j, store.Scheduled, at)
	})
	return results, wrap("schedule", err)
}

func (s *Store) accept(ctx context.Context, call store.Call, items []store.Item, put func(*job, store.Item)) ([]store.Result, error) {
	if err := s.enter(ctx, len(items)); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if len(items) == 0 {
		return nil, nil
	}
	repeated, err := s.answered(call)
	if err != nil {
		return nil, err
	}
	results := make([]store.Result, len(items))
	for i, it := range items {
		results[i].Repeated = repeated
		if !repeated {
			s.book(it.Queue).Accepted++
			put(&job{version: s.nextTicket(), jid: it.JID, queue: it.Queue, payload: bytes.Clone(it.Payload)}, it)
		}
	}
	s.remember(call, nil)
	return results, nil
}
