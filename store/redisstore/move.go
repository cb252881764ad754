package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Move takes jobs by hand from where Jobs found them to another place.
func (s *Store) Move(ctx context.Context, u store.Undoable, to store.Place, picks ...store.Pick) (int, error) {
	if to == store.Keeping || to < store.Ready || to > store.Dead {
		return 0, wrap("move", fmt.Errorf("no job is put into %v by hand", to))
	}
	moved, err := s.byHand(ctx, u, picks, func(es *edges, k key, p store.Pick) { s.carry(es.of(k.queue), k, to, p) })
	return moved, wrap("move", err)
}

// Delete forgets jobs by hand.
func (s *Store) Delete(ctx context.Context, u store.Undoable, picks ...store.Pick) (int, error) {
	deleted, err := s.byHand(ctx, u, picks, func(es *edges, k key, _ store.Pick) {
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
			payload = bare(payload)
		}
	}
	if q, ok := wire.QueueOf(payload); to == store.Ready || ok && q != queue {
		payload = stamped(payload, to, queue, s.now())
	}
	due := ""
	if !p.At.IsZero() {
		due = seconds(p.At)
	}
	e.args = append(e.args, e.number(k.queue), strconv.Itoa(int(k.place)), k.member, flag(k.stray),
		e.target(k.queue, queue), strconv.Itoa(int(to)), due, strconv.FormatInt(p.Delay.Microseconds(), 10), flag(!p.Front),
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

// Of the arguments of move.lua, so many are of one job.
const moveWidth = 11

// One script moves so many jobs and bytes at most: the server does nothing else
// meanwhile.
const (
	handful      = 250
	handfulBytes = 1 << 20
)

// move is the call of the script for jobs that nobody holds.
func (e *edge) move(s *Store, u store.Undoable) *request {
	lasting := lasts(u)
	script := moveScript
	if lasting > 0 {
		script = undoableScript
	}
	r := e.request(s, script, "", store.Call{}, nil, []string{rand.Text(), strconv.FormatInt(lasting, 10), u.Change})
	if lasting > 0 {
		r.keys = append(r.keys, s.undoList(e.queues[0], u.Change))
	}
	return r
}

// byHand moves what is still where it was found.
func (s *Store) byHand(ctx context.Context, u store.Undoable, picks []store.Pick, add func(*edges, key, store.Pick)) (moved int, err error) {
	if err := tooMany(len(picks)); err != nil {
		return 0, err
	}
	es := edges{layout: s.layout}
	for _, p := range picks {
		if k, ok := readKey(p.Key); ok && k.place != store.Keeping {
			add(&es, k, p)
		}
	}
	if err := s.renew(ctx, u, es.all); err != nil {
		return 0, err
	}
	for _, e := range es.all {
		n, err := s.carryOut(ctx, u, e)
		if moved += n; err != nil {
			return moved, err
		}
	}
	return moved, s.deliver(ctx, es.all)
}

// carryOut carries an edge out, a handful at a time.
func (s *Store) carryOut(ctx context.Context, u store.Undoable, e *edge) (moved int, err error) {
	for rest := e.args; len(rest) > 0; {
		part := *e
		part.args = rest[:few(rest)]
		reply, err := s.one(ctx, part.move(s, u))
		if errors.Is(err, errMemory) {
			err = store.WithHint(fmt.Errorf("%w: %w", store.ErrFull, err), "the server has no room for what taking this back needs: do it for good, or give it more memory")
		}
		if err != nil {
			return moved, err
		}
		answer, err := reply.AsIntSlice()
		if err != nil || len(answer) != 2 || answer[1] < 1 {
			return moved, fmt.Errorf("the script answered %v", answer)
		}
		moved += int(answer[0])
		rest = rest[moveWidth*answer[1]:]
	}
	return moved, nil
}

// few is how many of the arguments of whole jobs, one at least, make a handful.
func few(args []string) (n int) {
	for bytes := 0; n < len(args) && n < handful*moveWidth && bytes < handfulBytes; n += moveWidth {
		for _, arg := range args[n : n+moveWidth] {
			bytes += len(arg)
		}
	}
	return n
}
