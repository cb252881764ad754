package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/ebbjobs/ebb/store"
)

// In a cluster a job that goes to another queue changes its slot, and no script sees
// both. It is written into the outbox of the slot that it leaves, in the script that
// takes it out of there; accepted by the other slot, which remembers for an hour what
// it has accepted; and taken out of the outbox. Whoever dies in between leaves it in
// the outbox, which every promoter empties. Nothing is lost; a job is doubled only if
// its delivery lay for that hour between accepted and taken out.

// letter is a job in an outbox.
type letter struct {
	place   string
	back    string // "b" for the back of a queue
	due     string
	queue   string
	payload string
}

func readLetter(text string) (letter, error) {
	parts := strings.SplitN(text, " ", 5)
	if len(parts) == 5 {
		n, err := strconv.Atoi(parts[3])
		if err == nil && n <= len(parts[4]) {
			return letter{parts[0], parts[1], parts[2], parts[4][:n], parts[4][n:]}, nil
		}
	}
	return letter{}, fmt.Errorf("the outbox holds %.40q", text)
}

// deliver empties the outboxes that edges have written into.
func (s *Store) deliver(ctx context.Context, all []*edge) error {
	for _, e := range all {
		if e.abroad {
			if err := s.deliverFrom(ctx, e.queues[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) deliverFrom(ctx context.Context, queue string) error {
	reply, err := s.one(ctx, command("HGETALL", s.outbox(queue)))
	if err != nil {
		return err
	}
	letters, err := reply.AsStrMap()
	if err != nil {
		return err
	}
	for nonce, text := range letters {
		l, err := readLetter(text)
		if err != nil {
			return err
		}
		_, err = s.do(ctx, &request{
			script: deliverScript,
			keys: []string{
				s.of(l.queue, "delivered:"+nonce), s.set(store.Scheduled, l.queue), s.set(store.Retrying, l.queue), s.set(store.Dead, l.queue),
				s.line(l.queue), s.books(l.queue),
			},
			args: []string{l.place, l.back, l.due, l.payload},
		}, command("SADD", s.fleet("ebb:queues"), l.queue))
		if err != nil {
			return err
		}
		if _, err := s.one(ctx, command("HDEL", s.outbox(queue), nonce)); err != nil {
			return err
		}
	}
	return nil
}
