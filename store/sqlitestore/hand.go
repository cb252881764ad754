package sqlitestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// entryKey finds a job again where Jobs saw it: place, row, and the row's place in
// the order there. One that has moved meanwhile, even back, has another.
type entryKey struct {
	place store.Place
	id    int64
	stamp int64
}

func (k entryKey) key() store.Key {
	b := make([]byte, 0, 40)
	b = strconv.AppendInt(b, int64(k.place), 10)
	b = strconv.AppendInt(append(b, '.'), k.id, 10)
	b = strconv.AppendInt(append(b, '.'), k.stamp, 10)
	return store.Key(b)
}

func parseKey(text store.Key) (k entryKey, ok bool) {
	parts := strings.Split(string(text), ".")
	if len(parts) != 3 {
		return k, false
	}
	place, err1 := strconv.Atoi(parts[0])
	id, err2 := strconv.ParseInt(parts[1], 10, 64)
	stamp, err3 := strconv.ParseInt(parts[2], 10, 64)
	return entryKey{store.Place(place), id, stamp}, err1 == nil && err2 == nil && err3 == nil
}

var (
	findEntry   = statement("SELECT queue, payload FROM ebb_job WHERE id = ? AND state = ? AND CASE state WHEN 0 THEN ord ELSE at END = ?")
	moveEntry   = statement("UPDATE ebb_job SET state = ?, queue = ?, ord = ?, at = ?, seq = ?, payload = ? WHERE id = ?")
	deleteEntry = statement("DELETE FROM ebb_job WHERE id = ?")
	setPaused   = statement("UPDATE ebb_queue SET paused = ? WHERE id = ?")
	commandable = statement("SELECT p.boot FROM ebb_process p JOIN ebb_boot b ON b.id = p.boot WHERE b.name = ? AND b.gone = 0")
	addCommand  = statement("INSERT INTO ebb_command(boot, verb, jid) VALUES (?, ?, ?)")
)

func checkSize(n int) error {
	if n > store.MaxBatch {
		return fmt.Errorf("%d jobs in one call; %d at most", n, store.MaxBatch)
	}
	return nil
}

// entry is a job taken in hand.
type entry struct {
	entryKey
	queue   int64
	payload []byte
}

// byHand calls each for every pick that is where it was seen and is not held, and
// returns how many there were. undo is what to keep them under.
func (s *Store) byHand(ctx context.Context, u store.Undoable, picks []store.Pick, each func(t *tx, undo int64, e *entry, p *store.Pick) error) (n int, err error) {
	if err := checkSize(len(picks)); err != nil {
		return 0, err
	}
	if len(picks) == 0 {
		return 0, nil
	}
	// What undo needs is new, and has no room when the reserve is spent.
	err = s.writer.do(ctx, &call{class: other, jobs: len(picks), accepts: u.Change != "", apply: func(t *tx) error {
		n = 0
		undo, err := t.undoable(u)
		if err != nil {
			return err
		}
		for i := range picks {
			e := entry{}
			ok := false
			if e.entryKey, ok = parseKey(picks[i].Key); !ok || e.place == store.Keeping {
				continue
			}
			found := false
			err := t.query(findEntry, func(r []row) error {
				e.queue, e.payload, found = r[0].(int64), blob(r[1]), true
				return nil
			}, e.id, int64(e.place), e.stamp)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			if err := each(t, undo, &e, &picks[i]); err != nil {
				return err
			}
			n++
		}
		return nil
	}})
	if u.Change != "" && errors.Is(err, store.ErrFull) {
		err = store.WithHint(err, "free some space, or change for good: what undo needs has no room")
	}
	return n, err
}

// Move implements [store.Inspector].
func (s *Store) Move(ctx context.Context, u store.Undoable, to store.Place, picks ...store.Pick) (int, error) {
	if to == store.Keeping || to < store.Ready || to > store.Dead {
		return 0, fmt.Errorf("sqlitestore: move: no job is put into %v by hand", to)
	}
	n, err := s.byHand(ctx, u, picks, func(t *tx, undo int64, e *entry, p *store.Pick) error { return t.move(undo, to, e, p) })
	if err != nil {
		return 0, fmt.Errorf("sqlitestore: move: %w", err)
	}
	return n, nil
}

func (t *tx) move(undo int64, to store.Place, e *entry, p *store.Pick) error {
	queue, err := t.queueOr(p.Queue, e.queue)
	if err != nil {
		return err
	}
	payload, at, ord := e.payload, t.now, int64(0)
	if p.Payload != nil {
		payload = p.Payload
	}
	if to == store.Ready {
		name, err := t.queueName(queue)
		if err != nil {
			return err
		}
		payload = wire.Stamp(payload, name, moment(t.now))
		if p.Front {
			ord, err = t.front(queue)
		} else {
			ord, err = t.next()
		}
		if err != nil {
			return err
		}
		t.ready = true
	} else if at += p.Delay.Microseconds(); !p.At.IsZero() {
		at = p.At.UnixMicro()
	}
	mark, err := t.keep(undo, e.id, &left{to, queue, at, !bytes.Equal(payload, e.payload)})
	if err != nil {
		return err
	}
	if _, err := t.exec(moveEntry, int64(to), queue, ord, at, mark, bytesOf(payload), e.id); err != nil {
		return err
	}
	t.follow(e.queue, e.place, queue, to)
	return nil
}

// Delete implements [store.Inspector].
func (s *Store) Delete(ctx context.Context, u store.Undoable, picks ...store.Pick) (int, error) {
	n, err := s.byHand(ctx, u, picks, func(t *tx, undo int64, e *entry, _ *store.Pick) error {
		if _, err := t.keep(undo, e.id, nil); err != nil {
			return err
		}
		_, err := t.exec(deleteEntry, e.id)
		t.exit(e.queue, e.place)
		t.count(e.queue, deleted, 1)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sqlitestore: delete: %w", err)
	}
	return n, nil
}

// Pause implements [store.Inspector].
func (s *Store) Pause(ctx context.Context, queue string, paused bool) error {
	err := s.writer.do(ctx, &call{class: frees, jobs: 1, apply: func(t *tx) error {
		id, err := t.queue(queue)
		if err != nil {
			return err
		}
		t.ready = t.ready || !paused
		_, err = t.exec(setPaused, paused, id)
		return err
	}})
	if err != nil {
		return fmt.Errorf("sqlitestore: pause %s: %w", queue, err)
	}
	return nil
}

// Command implements [store.Inspector].
func (s *Store) Command(ctx context.Context, id store.Identity, c store.Command) error {
	known := false
	err := s.writer.do(ctx, &call{class: other, jobs: 1, apply: func(t *tx) error {
		boot := int64(0)
		err := t.query(commandable, func(r []row) error { boot = r[0].(int64); return nil }, string(id))
		if known = boot != 0; err != nil || !known {
			return err
		}
		_, err = t.exec(addCommand, boot, string(c.Verb), c.JID)
		return err
	}})
	if err == nil && !known {
		err = store.ErrUnknownProcess
	}
	if err != nil {
		return fmt.Errorf("sqlitestore: command %s: %w", id, err)
	}
	return nil
}
