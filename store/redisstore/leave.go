package redisstore

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
)

// Leave takes a process out for good.
func (s *Store) Leave(ctx context.Context, call store.Call, f store.Farewell) error {
	crashpoint.At(crashpoint.DuringRequeue)
	return wrap("leave", s.leave(ctx, call, f))
}

func (s *Store) leave(ctx context.Context, call store.Call, f store.Farewell) error {
	if err := tooMany(max(len(f.Back), len(f.Deaf))); err != nil {
		return err
	}
	queues, err := s.known(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	b := s.boot(f.ID)
	for q := range b.queues {
		queues = append(queues, q)
	}
	b.counting.release = cmp.Or(b.counting.release, f.Report.Release)
	reports := b.counting.leave(f.Runs, s.now())
	s.mu.Unlock()
	report, err := reportText(&f.Report)
	if err != nil {
		return err
	}
	es := edges{layout: s.layout}
	slices.Sort(queues)
	queues = slices.Compact(queues)
	for _, q := range queues {
		es.of(q).number(q)
	}
	if len(queues) == 0 {
		es.of("") // it has never had a queue, and still leaves
	}
	missing, deaf := s.hand(&es, f)
	requests := make([]*request, len(es.all), len(es.all)+2)
	for i, e := range es.all {
		head := append([]string{string(f.ID), report, strconv.Itoa(len(deaf[e]) / 2)}, deaf[e]...)
		requests[i] = e.request(s, leaveScript, f.ID, call, s.departure(f.ID), head)
	}
	requests = append(requests, s.claim(f.ID, 0))
	requests = append(requests, s.counts(f.ID, reports)...)
	requests = append(requests, s.endings(f.ID, f.Ended)...)
	if !s.cluster {
		requests = append(requests, s.tally(queues))
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return err
	}
	s.unhang(f.ID)
	for i, e := range es.all {
		lost, err := e.missing(replies[i])
		if err != nil {
			return err
		}
		missing = append(missing, lost...)
	}
	if s.cluster {
		if _, err := s.one(ctx, s.farewell(f.ID, len(f.Deaf) == 0, report, true)); err != nil {
			return err
		}
	}
	if err := s.deliver(ctx, es.all); err != nil {
		return err
	}
	if err := s.unbox(ctx, queues); err != nil {
		return err
	}
	return store.NotHeld(missing)
}

// hand adds what is given back, and returns what cannot be, and the deaf jobs of
// each edge as its script takes them.
func (s *Store) hand(es *edges, f store.Farewell) (missing []store.Token, deaf map[*edge][]string) {
	deaf = map[*edge][]string{}
	owner := ownerOf(f.ID)
	for _, t := range f.Deaf {
		if field, queue, ok := split(t, owner); ok {
			e := es.of(queue)
			deaf[e] = append(deaf[e], e.number(queue), field)
		}
	}
	for _, l := range f.Back {
		field, queue, ok := split(l.Token, owner)
		if !ok {
			missing = append(missing, l.Token)
			continue
		}
		e := es.of(queue)
		e.tokens = append(e.tokens, l.Token)
		e.args = append(e.args, e.number(queue), field, rueidis.BinaryString(l.Payload), e.target(queue, l.Queue))
	}
	return missing, deaf
}
