package sqlitestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
)

var insertJob = statement("INSERT INTO ebb_job(id, jid, queue, kind, state, ord, at, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")

// Push implements [store.Enqueuer].
func (s *Store) Push(ctx context.Context, c store.Call, items ...store.Item) ([]store.Result, error) {
	return s.add(ctx, "push", c, store.Ready, items)
}

// Schedule implements [store.Enqueuer].
func (s *Store) Schedule(ctx context.Context, c store.Call, items ...store.Item) ([]store.Result, error) {
	return s.add(ctx, "schedule", c, store.Scheduled, items)
}

func (s *Store) add(ctx context.Context, verb string, c store.Call, to store.Place, items []store.Item) ([]store.Result, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if err := checkItems(items); err != nil {
		return nil, fmt.Errorf("sqlitestore: %s: %w", verb, err)
	}
	var m memo
	err := s.writer.do(ctx, &call{class: other, jobs: len(items), accepts: true, point: crashpoint.DuringPush, apply: func(t *tx) (err error) {
		m, err = t.add(c, to, items)
		return err
	}})
	if err == nil && m == stale {
		err = store.ErrStale
	}
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: %s: %w", verb, err)
	}
	return results(m, len(items)), nil
}

func results(m memo, n int) []store.Result {
	r := make([]store.Result, n)
	for i := range r {
		r[i].Repeated = m == again
	}
	return r
}

func checkItems(items []store.Item) error {
	if err := checkSize(len(items)); err != nil {
		return err
	}
	for i := range items {
		if items[i].Queue == "" {
			return errors.New("a job without a queue")
		}
	}
	return nil
}

// add stores items unless c was heard before.
func (t *tx) add(c store.Call, to store.Place, items []store.Item) (memo, error) {
	if c.Seq != 0 {
		boot, err := t.number(bootNames, string(c.By), true)
		if err != nil {
			return first, err
		}
		if m, _, err := t.remember(boot, c); m != first || err != nil {
			return m, err
		}
	}
	for i := range items {
		it := &items[i]
		queue, err := t.queue(it.Queue)
		if err != nil {
			return first, err
		}
		kind, err := t.number(kindNames, it.Kind, true)
		if err != nil {
			return first, err
		}
		id, err := t.next()
		if err != nil {
			return first, err
		}
		at := t.now
		if to == store.Scheduled {
			at += it.Delay.Microseconds()
			if !it.At.IsZero() {
				at = it.At.UnixMicro()
			}
		}
		if _, err := t.exec(insertJob, id, it.JID, queue, kind, int64(to), id, at, bytesOf(it.Payload)); err != nil {
			return first, err
		}
		t.count(queue, accepted, 1)
		t.enter(queue, to)
	}
	t.ready = t.ready || to == store.Ready
	return first, nil
}

// bytesOf keeps an empty payload from becoming NULL.
func bytesOf(payload []byte) []byte {
	if payload == nil {
		return []byte{}
	}
	return payload
}
