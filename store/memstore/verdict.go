package memstore

import (
	"bytes"
	"context"
	"slices"

	"github.com/ebbjobs/ebb/store"
)

// Ack forgets jobs that are done with.
func (s *Store) Ack(ctx context.Context, call store.Call, done ...store.Done) error {
	token := func(d store.Done) store.Token { return d.Token }
	return wrap("ack", verdict(ctx, s, call, done, token, func(j *job, d store.Done) {
		s.lift(j)
		b := s.book(j.queue)
		switch d.Outcome {
		case store.Finished:
			b.Done++
		case store.Discarded:
			b.Discarded++
		case store.Expired:
			b.Expired++
		}
		s.ran(d.Outcome != store.Expired, d.Failed)
	}))
}

// Retry moves jobs to the retry or the scheduled set.
func (s *Store) Retry(ctx context.Context, call store.Call, later ...store.Later) error {
	return wrap("retry", verdict(ctx, s, call, later, laterToken, func(j *job, l store.Later) {
		s.book(j.queue).Retried++
		s.goOn(j, l)
		set := store.Retrying
		if l.Set == store.Scheduled {
			set = store.Scheduled
		}
		s.putSet(j, set, s.clock().Add(l.Delay))
		s.ran(false, l.Failed)
	}))
}

// Bury moves jobs to the dead set.
func (s *Store) Bury(ctx context.Context, call store.Call, later ...store.Later) error {
	return wrap("bury", verdict(ctx, s, call, later, laterToken, func(j *job, l store.Later) {
		s.book(j.queue).Buried++
		s.goOn(j, l)
		s.putSet(j, store.Dead, s.clock())
		s.ran(false, l.Failed)
	}))
}

// Requeue moves jobs to the front of their queue.
func (s *Store) Requeue(ctx context.Context, call store.Call, back ...store.Later) error {
	// The last goes to the front first, so that the first ends up foremost.
	back = slices.Clone(back)
	slices.Reverse(back)
	return wrap("requeue", verdict(ctx, s, call, back, laterToken, s.requeue))
}

// Checkpoint writes new payloads of jobs that stay held.
func (s *Store) Checkpoint(ctx context.Context, call store.Call, saves ...store.Later) error {
	return wrap("checkpoint", verdict(ctx, s, call, saves, laterToken, func(j *job, l store.Later) {
		if l.Payload != nil {
			j.payload = bytes.Clone(l.Payload)
		}
	}))
}

func laterToken(l store.Later) store.Token { return l.Token }

// verdict moves each element of batch whose token call.By holds, and remembers the
// answer for a repeat.
func verdict[E any](ctx context.Context, s *Store, call store.Call, batch []E, token func(E) store.Token, move func(*job, E)) error {
	if err := s.enter(ctx, len(batch)); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	if repeated, err := s.answered(call); repeated {
		return err
	}
	var missing []store.Token
	for _, e := range batch {
		if j := s.heldBy(call.By, token(e)); j != nil {
			move(j, e)
		} else {
			missing = append(missing, token(e))
		}
	}
	err := store.NotHeld(missing)
	s.remember(call, err)
	return err
}

func (s *state) requeue(j *job, l store.Later) {
	s.book(j.queue).Requeued++
	s.goOn(j, l)
	s.putFront(j, s.clock())
}

// goOn lifts j out of keeping, with the payload and for the queue that l names.
func (s *state) goOn(j *job, l store.Later) {
	s.lift(j)
	if l.Payload != nil {
		j.payload = bytes.Clone(l.Payload)
	}
	s.rehome(j, l.Queue)
}

// ran counts a run that ended. What failed has run, whatever its verdict.
func (s *state) ran(ended, failed bool) {
	if ended || failed {
		s.processed++
	}
	if failed {
		s.failed++
	}
}
