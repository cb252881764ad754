package sqlitestore

import (
	"context"
	"fmt"
	"strings"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
)

var (
	ackJob = statement("DELETE FROM ebb_job WHERE id = ? AND state = 3 AND holder = ? AND lane = ? AND seq = ?")
	// A NULL payload keeps what is there.
	putJob = statement(`UPDATE ebb_job SET state = ?, queue = ?, ord = ?, at = ?, payload = coalesce(?, payload), holder = 0, lane = 0, seq = 0
		WHERE id = ? AND state = 3 AND holder = ? AND lane = ? AND seq = ?`)
	frontJob = statement(`UPDATE ebb_job SET state = 0, queue = ?, ord = ?, payload = coalesce(?, payload), holder = 0, lane = 0, seq = 0
		WHERE id = ? AND state = 3 AND holder = ? AND lane = ? AND seq = ?`)
	saveJob = statement("UPDATE ebb_job SET payload = coalesce(?, payload) WHERE id = ? AND state = 3 AND holder = ? AND lane = ? AND seq = ?")
)

// Ack implements [store.Fetcher].
func (s *Store) Ack(ctx context.Context, c store.Call, done ...store.Done) error {
	for i := range done {
		if o := done[i].Outcome; o < store.Finished || o > store.Expired {
			return fmt.Errorf("sqlitestore: ack: there is no outcome %d", o)
		}
	}
	return s.verdict(ctx, "ack", c, len(done), func(i int) store.Token { return done[i].Token }, func(t *tx, boot int64, g grip, i int) (bool, error) {
		n, err := t.exec(ackJob, g.id, boot, g.lane, g.seq)
		if n == 0 || err != nil {
			return false, err
		}
		t.exit(g.queue, store.Keeping)
		t.count(g.queue, outcomeCounter[done[i].Outcome], 1)
		t.countRun(g.queue, done[i].Outcome != store.Expired, done[i].Failed)
		return true, nil
	})
}

var outcomeCounter = [...]counter{store.Finished: doneCount, store.Discarded: discarded, store.Expired: expired}

// Retry implements [store.Fetcher].
func (s *Store) Retry(ctx context.Context, c store.Call, later ...store.Later) error {
	return s.put(ctx, "retry", c, later, func(t *tx, l *store.Later) (store.Place, int64, counter) {
		to := store.Retrying
		if l.Set == store.Scheduled {
			to = store.Scheduled
		}
		return to, t.now + l.Delay.Microseconds(), retried
	})
}

// Bury implements [store.Fetcher].
func (s *Store) Bury(ctx context.Context, c store.Call, later ...store.Later) error {
	return s.put(ctx, "bury", c, later, func(t *tx, _ *store.Later) (store.Place, int64, counter) {
		return store.Dead, t.now, buried
	})
}

// put is a verdict that sends jobs to a set.
func (s *Store) put(ctx context.Context, verb string, c store.Call, later []store.Later, where func(*tx, *store.Later) (store.Place, int64, counter)) error {
	return s.verdict(ctx, verb, c, len(later), func(i int) store.Token { return later[i].Token }, func(t *tx, boot int64, g grip, i int) (bool, error) {
		l := &later[i]
		to, at, counts := where(t, l)
		queue, err := t.queueOr(l.Queue, g.queue)
		if err != nil {
			return false, err
		}
		n, err := t.exec(putJob, int64(to), queue, int64(0), at, orNull(l.Payload), g.id, boot, g.lane, g.seq)
		if n == 0 || err != nil {
			return false, err
		}
		t.follow(g.queue, store.Keeping, queue, to)
		t.count(g.queue, counts, 1)
		t.countRun(g.queue, false, l.Failed)
		return true, nil
	})
}

// countRun counts a run as people see it. What failed has ended, whatever became
// of the job.
func (t *tx) countRun(queue int64, ended, didFail bool) {
	if ended || didFail {
		t.count(queue, processed, 1)
	}
	if didFail {
		t.count(queue, failed, 1)
	}
}

// Requeue implements [store.Fetcher].
func (s *Store) Requeue(ctx context.Context, c store.Call, back ...store.Later) error {
	// From the last to the first: each goes before those that went before it.
	at := func(i int) *store.Later { return &back[len(back)-1-i] }
	return s.verdict(ctx, "requeue", c, len(back), func(i int) store.Token { return at(i).Token }, func(t *tx, boot int64, g grip, i int) (bool, error) {
		return t.requeue(boot, g, at(i))
	})
}

func (t *tx) requeue(boot int64, g grip, l *store.Later) (bool, error) {
	queue, err := t.queueOr(l.Queue, g.queue)
	if err != nil {
		return false, err
	}
	ord, err := t.front(queue)
	if err != nil {
		return false, err
	}
	n, err := t.exec(frontJob, queue, ord, orNull(l.Payload), g.id, boot, g.lane, g.seq)
	if n == 0 || err != nil {
		return false, err
	}
	crashpoint.At(crashpoint.DuringRequeue)
	t.follow(g.queue, store.Keeping, queue, store.Ready)
	t.count(g.queue, requeued, 1)
	t.countRun(g.queue, false, l.Failed)
	t.ready = true
	return true, nil
}

// Checkpoint implements [store.Fetcher].
func (s *Store) Checkpoint(ctx context.Context, c store.Call, saves ...store.Later) error {
	return s.verdict(ctx, "checkpoint", c, len(saves), func(i int) store.Token { return saves[i].Token }, func(t *tx, boot int64, g grip, i int) (bool, error) {
		n, err := t.exec(saveJob, orNull(saves[i].Payload), g.id, boot, g.lane, g.seq)
		return n > 0, err
	})
}

// verdict runs each for every token, and answers with those that were not held. A
// repeated call is told what the first was.
func (s *Store) verdict(ctx context.Context, verb string, c store.Call, n int, token func(int) store.Token, each func(t *tx, boot int64, g grip, i int) (held bool, err error)) error {
	if n == 0 {
		return nil
	}
	if err := checkSize(n); err != nil {
		return fmt.Errorf("sqlitestore: %s: %w", verb, err)
	}
	var missed []store.Token
	var m memo
	err := s.writer.do(ctx, &call{class: frees, jobs: n, apply: func(t *tx) error {
		missed = nil
		boot, err := t.number(bootNames, string(c.By), true)
		if err != nil {
			return err
		}
		var kept string
		if m, kept, err = t.remember(boot, c); m != first || err != nil {
			missed = splitTokens(kept)
			return err
		}
		for i := range n {
			tok := token(i)
			held := false
			if g, ok := parseGrip(tok); ok {
				if held, err = each(t, boot, g, i); err != nil {
					return err
				}
			}
			if !held {
				missed = append(missed, tok)
			}
		}
		return t.answer(boot, c, joinTokens(missed))
	}})
	if err == nil && m == stale {
		err = store.ErrStale
	}
	if err == nil {
		err = store.NotHeld(missed)
	}
	if err != nil {
		return fmt.Errorf("sqlitestore: %s: %w", verb, err)
	}
	return nil
}

func joinTokens(tokens []store.Token) string {
	text := make([]string, len(tokens))
	for i, t := range tokens {
		text[i] = string(t)
	}
	return strings.Join(text, "\n")
}

func splitTokens(text string) (tokens []store.Token) {
	for part := range strings.SplitSeq(text, "\n") {
		if part != "" {
			tokens = append(tokens, store.Token(part))
		}
	}
	return tokens
}

// queueOr returns the number of the queue of that name, or or if it has none.
func (t *tx) queueOr(name string, or int64) (int64, error) {
	if name == "" {
		return or, nil
	}
	return t.queue(name)
}

// orNull turns no payload into NULL.
func orNull(payload []byte) any {
	if payload == nil {
		return nil
	}
	return payload
}
