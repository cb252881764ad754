package redisstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
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
	back    string // "b" for the back of a queue, "u" for a job that Undo brings back
	due     string
	queue   string
	payload string
	origin  *origin // where Undo will bring it back to; nil: it will not
}

// origin is a job as it was before it was moved by hand.
type origin struct {
	change, lasting      string
	place, score, member string
}

// readLetter reads what held.lua and undo.lua write: three words; lengths, and for
// Undo the place, the score and a time, with slashes between; and texts without any.
func readLetter(text string) (letter, error) {
	parts := strings.SplitN(text, " ", 5)
	if len(parts) != 5 {
		return letter{}, fmt.Errorf("the outbox holds %.40q", text)
	}
	l := letter{place: parts[0], back: parts[1], due: parts[2], payload: parts[4]}
	ok := true
	cut := func(length string) (head string) {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(l.payload) {
			ok = false
			return ""
		}
		head, l.payload = l.payload[:n], l.payload[n:]
		return head
	}
	sizes := strings.Split(parts[3], "/")
	l.queue = cut(sizes[0])
	if len(sizes) == 6 {
		l.origin = &origin{change: cut(sizes[1]), member: cut(sizes[2]), place: sizes[3], score: sizes[4], lasting: sizes[5]}
	}
	if !ok || len(sizes) != 1 && len(sizes) != 6 {
		return letter{}, fmt.Errorf("the outbox holds %.40q", text)
	}
	return l, nil
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
	for _, nonce := range slices.Sorted(maps.Keys(letters)) { // as they were written
		l, err := readLetter(letters[nonce])
		if err != nil {
			return err
		}
		if _, err := s.do(ctx, s.delivery(queue, nonce, l), command("SADD", s.fleet("ebb:queues"), l.queue)); err != nil {
			return err
		}
		if _, err := s.one(ctx, command("HDEL", s.outbox(queue), nonce)); err != nil {
			return err
		}
	}
	return nil
}

// delivery puts a letter from the outbox of a queue where it belongs.
func (s *Store) delivery(from, nonce string, l letter) *request {
	r := &request{
		script: deliverScript,
		keys: []string{
			s.of(l.queue, "delivered:"+nonce), s.set(store.Scheduled, l.queue), s.set(store.Retrying, l.queue), s.set(store.Dead, l.queue),
			s.line(l.queue), s.books(l.queue),
		},
		args: []string{l.place, l.back, l.due, l.payload},
	}
	if o := l.origin; o != nil {
		r.keys = append(r.keys, s.undoList(l.queue, o.change))
		r.args = append(r.args, o.lasting, from, o.place, o.score, o.member, l.queue)
	}
	return r
}
