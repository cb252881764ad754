package sqlitestore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var (
	setBeat = statement(`INSERT INTO ebb_process(boot, born, beat, ttl, beats, presence) VALUES (?, ?, ?, ?, 1, ?)
		ON CONFLICT(boot) DO UPDATE SET beat = excluded.beat, ttl = excluded.ttl, beats = beats + 1, presence = excluded.presence
		RETURNING beats`)
	heldBy       = statement("SELECT id, lane, seq, queue FROM ebb_job WHERE state = 3 AND holder = ? ORDER BY id")
	readPayload  = statement("SELECT payload FROM ebb_job WHERE id = ?")
	takeCommands = statement("DELETE FROM ebb_command WHERE boot = ? RETURNING id, verb, jid")
)

// Beat implements [store.Keeper]. The lease itself is a lock that needs no
// renewal; ttl only tells people when beats are overdue.
func (s *Store) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	o, err := s.beat(ctx, p, ttl)
	if err != nil {
		return store.Orders{}, fmt.Errorf("sqlitestore: beat: %w", err)
	}
	return o, nil
}

func (s *Store) beat(ctx context.Context, p store.Presence, ttl time.Duration) (o store.Orders, err error) {
	presence, err := json.Marshal(p)
	if err != nil {
		return o, err
	}
	// Before the row: one that is seen without its lock is taken for dead.
	born, err := s.hold(p.ID)
	if err != nil {
		return o, err
	}
	var refused error
	err = s.writer.do(ctx, &call{class: other, jobs: 1, apply: func(t *tx) error {
		o, refused = store.Orders{}, nil
		boot, left, err := t.bootOf(p.ID)
		if err != nil {
			return err
		}
		if left {
			refused = store.ErrLeft
			return nil
		}
		number, err := t.next()
		if err != nil {
			return err
		}
		err = t.query(setBeat, func(r []row) error { o.Renewed = r[0].(int64) == 1; return nil },
			boot, number, t.now, ttl.Microseconds(), string(presence))
		if err != nil {
			return err
		}
		if o.Renewed {
			if err := t.mark(p.Release); err != nil {
				return err
			}
		}
		if err := t.heard(&p); err != nil {
			return err
		}
		return t.orders(boot, p.Known, &o)
	}})
	if err == nil {
		err = refused
	}
	if err != nil && born {
		s.drop(p.ID)
	}
	return o, err
}

// bootOf returns the number of an identity, which is made if it is new.
func (t *tx) bootOf(id store.Identity) (boot int64, left bool, err error) {
	if boot, left, err = t.findBoot(id); err == nil && boot == 0 {
		boot, err = t.giveNumber(bootNames, string(id))
	}
	return boot, left, err
}

// findBoot is bootOf of an identity that may have no number. It does not go by what
// this client remembers: a process that was rescued while it lived is forgotten, and
// has another number when it beats again.
func (t *tx) findBoot(id store.Identity) (boot int64, left bool, err error) {
	err = t.query(findHolder, func(r []row) error {
		boot, left = r[0].(int64), r[1].(int64) != 0
		return nil
	}, string(id))
	return boot, left, err
}

// orders fills in what waits for the process, and how what it knows differs from
// what it holds.
func (t *tx) orders(boot int64, known []store.Token, o *store.Orders) error {
	var err error
	paused, err := t.pausedQueues()
	if err != nil {
		return err
	}
	o.Paused = append(o.Paused, paused...)
	type command struct {
		id int64
		store.Command
	}
	var commands []command
	err = t.query(takeCommands, func(r []row) error {
		commands = append(commands, command{r[0].(int64), store.Command{Verb: store.Verb(r[1].(string)), JID: r[2].(string)}})
		return nil
	}, boot)
	if err != nil {
		return err
	}
	slices.SortFunc(commands, func(a, b command) int { return cmp.Compare(a.id, b.id) })
	for _, c := range commands {
		o.Commands = append(o.Commands, c.Command)
	}
	grips, err := t.gripsOf(boot)
	if err != nil {
		return err
	}
	holds := make(map[store.Token]bool, len(grips))
	for _, g := range grips {
		holds[g.token()] = true
	}
	knows := make(map[store.Token]bool, len(known))
	for _, k := range known {
		knows[k] = true
		if !holds[k] {
			o.Gone = append(o.Gone, k)
		}
	}
	for _, g := range grips {
		if knows[g.token()] {
			continue
		}
		h, err := t.held(g)
		if err != nil {
			return err
		}
		o.Unknown = append(o.Unknown, h)
	}
	return nil
}

// gripsOf is what a boot holds.
func (t *tx) gripsOf(boot int64) (grips []grip, err error) {
	err = t.query(heldBy, func(r []row) error {
		grips = append(grips, grip{r[0].(int64), r[1].(int64), r[2].(int64), r[3].(int64)})
		return nil
	}, boot)
	return grips, err
}

func (t *tx) held(g grip) (h store.Held, err error) {
	h.Token = g.token()
	if h.Queue, err = t.queueName(g.queue); err != nil {
		return h, err
	}
	err = t.query(readPayload, func(r []row) error { h.Payload = blob(r[0]); return nil }, g.id)
	return h, err
}
