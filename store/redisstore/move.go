package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Move takes jobs by hand from where Jobs found them to another place.
func (s *Store) Move(ctx context.Context, to store.Place, picks ...store.Pick) (int, error) {
	if to == store.Keeping || to < store.Ready || to > store.Dead {
		return 0, wrap("move", fmt.Errorf("no job is put into %v by hand", to))
	}
	moved, err := s.byHand(ctx, picks, func(es *edges, k key, p store.Pick) { s.carry(es.of(k.queue), k, to, p) })
	return moved, wrap("move", err)
}

// Delete forgets jobs by hand.
func (s *Store) Delete(ctx context.Context, picks ...store.Pick) (int, error) {
	deleted, err := s.byHand(ctx, picks, func(es *edges, k key, _ store.Pick) {
		es.drop(k.place, home{k.queue, k.stray}, k.member, "deleted")
	})
	return deleted, wrap("delete", err)
}

// carry adds a job that goes on in another place.
func (s *Store) carry(e *edge, k key, to store.Place, p store.Pick) {
	queue := cmp.Or(p.Queue, k.queue)
	payload := p.Payload
	if payload == nil {
		payload = []byte(k.member)
		if k.place != store.Ready {
			payload = bare(k.member)
		}
	}
	if q, ok := wire.QueueOf(payload); to == store.Ready || ok && q != queue {
		payload = stamped(payload, to, queue, s.now())
	}
	e.args = append(e.args, e.number(k.queue), strconv.Itoa(int(k.place)), k.member, flag(k.stray),
		e.target(k.queue, queue), strconv.Itoa(int(to)), strconv.FormatInt(p.Delay.Microseconds(), 10), flag(!p.Front),
		rueidis.BinaryString(payload), s.stray(payload, queue))
}

// stamped is payload with its queue, and with the time if it goes into a queue.
func stamped(payload []byte, to store.Place, queue string, now time.Time) []byte {
	if to == store.Ready {
		return wire.Stamp(payload, queue, now)
	}
	job, err := wire.Parse(payload)
	if err != nil {
		return payload
	}
	var p wire.Patch
	p.SetString("queue", queue)
	return job.With(&p)
}

// move is the call of the script for jobs that nobody holds.
func (e *edge) move(s *Store) *request {
	return e.request(s, moveScript, "", store.Call{}, nil, []string{rand.Text()})
}

// byHand moves what is still where it was found.
func (s *Store) byHand(ctx context.Context, picks []store.Pick, add func(*edges, key, store.Pick)) (moved int, err error) {
	if err := tooMany(len(picks)); err != nil {
		return 0, err
	}
	es := edges{layout: s.layout}
	for _, p := range picks {
		if k, ok := readKey(p.Key); ok && k.place != store.Keeping {
			add(&es, k, p)
		}
	}
	requests := make([]*request, len(es.all))
	for i, e := range es.all {
		requests[i] = e.move(s)
	}
	replies, err := s.do(ctx, requests...)
	for i := range replies {
		n, _ := replies[i].AsInt64()
		moved += int(n)
	}
	if err != nil {
		return moved, err
	}
	return moved, s.deliver(ctx, es.all)
}
