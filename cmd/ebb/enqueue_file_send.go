package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// The calls of a batch have a lane each, so that both may bear its number.
const (
	laneReady = store.LanePush + iota
	laneLater
)

// send sends the batch, which has been recorded. A stop waits for it to end: it has
// time limits of its own.
func (b *batches) send(ctx context.Context, repeats bool) error {
	for _, part := range []struct {
		lane  int
		put   func(context.Context, store.Call, ...store.Item) ([]store.Result, error)
		items []store.Item
	}{{laneReady, b.store.Push, b.ready}, {laneLater, b.store.Schedule, b.later}} {
		if len(part.items) == 0 {
			continue
		}
		call := store.Call{By: b.rest.By, Lane: part.lane, Seq: b.rest.Batch}
		err := b.patiently(ctx, func(ctx context.Context, attempt int) error {
			results, err := part.put(ctx, call, part.items...)
			if err == nil && attempt == 1 && !repeats && results != nil && results[0].Repeated {
				err = store.ErrStale // somebody else has sent our next batch
			}
			return err
		})
		if errors.Is(err, store.ErrStale) {
			return code(exitAgain, store.WithHint(fmt.Errorf("another run goes on with enqueue %s", b.change.ID), "let it end; this one has put nothing twice"))
		}
		if err != nil {
			return err
		}
	}
	b.taken()
	return nil
}

// patiently repeats what may be repeated until it has an answer.
func (b *batches) patiently(ctx context.Context, do func(ctx context.Context, attempt int) error) error {
	began, pause := time.Now(), 10*time.Millisecond
	for attempt := 1; ; attempt++ {
		err := do(context.WithoutCancel(ctx), attempt)
		if err == nil || isFinal(err) || time.Since(began) > patience {
			return err
		}
		if pause == time.Second {
			b.shown.Set(b.rest.Done.Line-b.from.Line, "trying again: "+err.Error())
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// isFinal tells answers that do not change by asking again.
func isFinal(err error) bool {
	final := []error{store.ErrReadOnly, store.ErrCorrupt, store.ErrTooNew, store.ErrReplaced, store.ErrStale, store.ErrClosed}
	return slices.ContainsFunc(final, func(f error) bool { return errors.Is(err, f) })
}

// record keeps how far it came.
func (b *batches) record(ctx context.Context) (err error) {
	if b.change.Rest, err = json.Marshal(b.rest); err != nil {
		return err
	}
	err = b.patiently(ctx, func(ctx context.Context, _ int) error { return b.store.Record(ctx, b.change) })
	if err != nil {
		return fmt.Errorf("record how far it came: %w", err)
	}
	return nil
}

// blind is the store of a dry run.
type blind struct{ store.Store }

func (blind) Changes(context.Context) iter.Seq2[store.Change, error] {
	return func(func(store.Change, error) bool) {}
}

func (blind) Record(context.Context, store.Change) error { return nil }

func (blind) Push(context.Context, store.Call, ...store.Item) ([]store.Result, error) {
	return nil, nil
}

func (blind) Schedule(context.Context, store.Call, ...store.Item) ([]store.Result, error) {
	return nil, nil
}
