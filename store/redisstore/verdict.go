package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// edge is one call of a script that begins with held.lua: what it does to jobs of
// the queues of one slot.
type edge struct {
	layout
	queues []string
	args   []string
	tokens []store.Token // of each element, in order
	abroad bool          // something goes through the outbox
}

// number returns the number of queue in the script.
func (e *edge) number(queue string) string {
	i := slices.Index(e.queues, queue)
	if i < 0 {
		i = len(e.queues)
		e.queues = append(e.queues, queue)
	}
	return strconv.Itoa(i + 1)
}

// target names the queue where a job of queue from runs next.
func (e *edge) target(from, to string) string {
	if to == "" || to == from || !e.cluster {
		return e.number(cmp.Or(to, from))
	}
	e.abroad = true
	return "@" + to
}

// request puts the call together. Extra keys and arguments come where the scripts
// look for them.
func (e *edge) request(s *Store, sc *script, id store.Identity, call store.Call, extraKeys, extraArgs []string) *request {
	q := e.queues[0]
	keys := []string{
		s.last(q, id), s.holders(q),
		s.set(store.Scheduled, q), s.set(store.Retrying, q), s.set(store.Dead, q), s.outbox(q),
	}
	for _, q := range e.queues {
		keys = append(keys, s.held(q, id), s.books(q), s.line(q), s.inbox(q))
	}
	if !s.cluster {
		keys = append(append(keys, "queues", "ebb:queues", "ebb:strays"), extraKeys...)
	}
	head := []string{strconv.Itoa(call.Lane), number(call.Seq), strconv.Itoa(len(e.queues))}
	return &request{script: sc, keys: keys, args: slices.Concat(head, e.queues, extraArgs, e.args)}
}

// edges sorts elements into one edge for each slot, in their order.
type edges struct {
	layout
	all     []*edge
	byQueue map[string]*edge
}

func (es *edges) of(queue string) *edge {
	key := ""
	if es.cluster {
		key = queue
	}
	e := es.byQueue[key]
	if e == nil {
		e = &edge{layout: es.layout}
		e.number(queue)
		if es.byQueue == nil {
			es.byQueue = map[string]*edge{}
		}
		es.byQueue[key] = e
		es.all = append(es.all, e)
	}
	return e
}

// verdict sends a batch. add appends the script's arguments for element i, which is
// held in queue under field.
func (s *Store) verdict(ctx context.Context, sc *script, call store.Call, tokens []store.Token, add func(e *edge, i int, queue, field string)) error {
	if err := tooMany(len(tokens)); err != nil || len(tokens) == 0 {
		return err
	}
	es, owner := edges{layout: s.layout}, ownerOf(call.By)
	var missing []store.Token
	for i, t := range tokens {
		field, queue, ok := split(t, owner)
		if !ok {
			missing = append(missing, t) // none of ours
			continue
		}
		e := es.of(queue)
		e.tokens = append(e.tokens, t)
		add(e, i, queue, field)
	}
	requests := make([]*request, len(es.all))
	for i, e := range es.all {
		if sc == ackScript {
			requests[i] = e.ack(s, call)
		} else {
			requests[i] = e.request(s, sc, call.By, call, nil, nil)
		}
		requests[i].once = call.Seq == 0
	}
	replies, err := s.swift(ctx, requests...)
	if err != nil {
		return err
	}
	for i, e := range es.all {
		lost, err := e.missing(replies[i])
		if err != nil {
			return err
		}
		missing = append(missing, lost...)
	}
	if err := s.deliver(ctx, es.all); err != nil {
		return err
	}
	return store.NotHeld(missing)
}

// missing reads a script's answer.
func (e *edge) missing(reply rueidis.RedisMessage) ([]store.Token, error) {
	answer, err := reply.AsStrSlice()
	if err != nil || len(answer) != 2 {
		return nil, fmt.Errorf("the script answered %v", answer)
	}
	switch answer[0] {
	case "stale":
		return nil, store.ErrStale
	case "left":
		return nil, store.ErrLeft
	}
	var tokens []store.Token
	for text := range strings.FieldsSeq(answer[1]) {
		if i, err := strconv.Atoi(text); err == nil && i < len(e.tokens) {
			tokens = append(tokens, e.tokens[i])
		}
	}
	return tokens, nil
}

// Ack forgets jobs that are done with.
func (s *Store) Ack(ctx context.Context, call store.Call, done ...store.Done) error {
	tokens := make([]store.Token, len(done))
	for i, d := range done {
		tokens[i] = d.Token
	}
	return wrap("ack", s.verdict(ctx, ackScript, call, tokens, func(e *edge, i int, queue, field string) {
		e.args = append(e.args, e.number(queue), field, done[i].Outcome.String(), flag(done[i].Failed))
	}))
}

// ack puts the call of ack.lua together, which is given few keys.
func (e *edge) ack(s *Store, call store.Call) *request {
	keys := make([]string, 1, 1+2*len(e.queues))
	keys[0] = s.last(e.queues[0], call.By)
	for _, q := range e.queues {
		keys = append(keys, s.held(q, call.By), s.books(q))
	}
	args := append(make([]string, 0, 2+len(e.args)), strconv.Itoa(call.Lane), number(call.Seq))
	return &request{script: ackScript, keys: keys, args: append(args, e.args...)}
}

// Retry moves jobs to the retry or the scheduled set.
func (s *Store) Retry(ctx context.Context, call store.Call, later ...store.Later) error {
	return wrap("retry", s.shelve(ctx, call, later, func(l store.Later) store.Place {
		if l.Set == store.Scheduled {
			return store.Scheduled
		}
		return store.Retrying
	}))
}

// Bury moves jobs to the dead set.
func (s *Store) Bury(ctx context.Context, call store.Call, later ...store.Later) error {
	later = slices.Clone(later)
	for i := range later {
		later[i].Delay = 0 // dead since now
	}
	return wrap("bury", s.shelve(ctx, call, later, func(store.Later) store.Place { return store.Dead }))
}

// shelve moves jobs into sets, where only the payload tells which queue a job is of.
func (s *Store) shelve(ctx context.Context, call store.Call, later []store.Later, place func(store.Later) store.Place) error {
	payloads, err := s.shelved(ctx, call.By, later)
	if err != nil {
		return err
	}
	return s.verdict(ctx, shelveScript, call, tokensOf(later), func(e *edge, i int, queue, field string) {
		l := later[i]
		e.args = append(e.args, e.number(queue), field, rueidis.BinaryString(payloads[i]), e.target(queue, l.Queue),
			strconv.Itoa(int(place(l))), strconv.FormatInt(l.Delay.Microseconds(), 10), flag(l.Failed),
			s.stray(payloads[i], cmp.Or(l.Queue, queue)))
	})
}

// shelved returns the payloads that jobs go on with, each with its queue. Those that
// the caller leaves as they are have to be read first; nobody else writes them.
func (s *Store) shelved(ctx context.Context, by store.Identity, later []store.Later) ([][]byte, error) {
	payloads, owner := make([][]byte, len(later)), ownerOf(by)
	var reads []*request
	var read []int
	for i, l := range later {
		payloads[i] = l.Payload
		if field, queue, ok := split(l.Token, owner); ok && len(l.Payload) == 0 {
			reads, read = append(reads, command("HGET", s.held(queue, by), field)), append(read, i)
		}
	}
	replies, err := s.do(ctx, reads...)
	if err != nil {
		return nil, err
	}
	for n, i := range read {
		payloads[i] = text(replies[n]) // empty if it is not held, as the script will find
	}
	for i, l := range later {
		if q, ok := wire.QueueOf(payloads[i]); ok && l.Queue != "" && q != l.Queue {
			if job, err := wire.Parse(payloads[i]); err == nil {
				var p wire.Patch
				p.SetString("queue", l.Queue)
				payloads[i] = job.With(&p)
			}
		}
	}
	return payloads, nil
}

// Requeue moves jobs to the front of their queue, the first foremost.
func (s *Store) Requeue(ctx context.Context, call store.Call, back ...store.Later) error {
	crashpoint.At(crashpoint.DuringRequeue)
	return wrap("requeue", s.verdict(ctx, requeueScript, call, tokensOf(back), func(e *edge, i int, queue, field string) {
		e.args = append(e.args, e.number(queue), field, rueidis.BinaryString(back[i].Payload), e.target(queue, back[i].Queue))
	}))
}

// Checkpoint writes new payloads of jobs that stay held.
func (s *Store) Checkpoint(ctx context.Context, call store.Call, saves ...store.Later) error {
	return wrap("checkpoint", s.verdict(ctx, checkpointScript, call, tokensOf(saves), func(e *edge, i int, queue, field string) {
		e.args = append(e.args, e.number(queue), field, rueidis.BinaryString(saves[i].Payload))
	}))
}

func tokensOf(later []store.Later) []store.Token {
	tokens := make([]store.Token, len(later))
	for i, l := range later {
		tokens[i] = l.Token
	}
	return tokens
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// text returns the bytes of a reply; none for nil.
func text(m rueidis.RedisMessage) []byte {
	s, err := m.ToString()
	if err != nil || s == "" {
		return nil
	}
	return []byte(s)
}

// texts returns the strings of an array; none for nil.
func texts(m rueidis.RedisMessage) []string {
	list, _ := m.AsStrSlice()
	return list
}
