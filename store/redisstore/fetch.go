package redisstore

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
)

// look is one Fetch, which may look several times while it waits.
type look struct {
	call   store.Call
	plan   store.Plan
	n      int
	prefix string // of the fields that hold its jobs; they sort in the order of their fetches

	turn   int      // rises with each script call; 0 if an earlier Fetch had this Seq
	again  bool     // the script knows this Seq: there is nothing to wait for
	paused []string // queues that gave nothing for that reason
}

// Fetch moves at most n jobs into the keeping of call.By, and waits when there are
// none.
func (s *Store) Fetch(ctx context.Context, call store.Call, plan store.Plan, n int, wait time.Duration) ([]store.Held, store.Woken, error) {
	jobs, woken, err := s.fetch(ctx, call, plan, min(n, store.MaxBatch), time.Now().Add(wait))
	return jobs, woken, wrap("fetch", err)
}

func (s *Store) fetch(ctx context.Context, call store.Call, plan store.Plan, n int, deadline time.Time) ([]store.Held, store.Woken, error) {
	if !s.enter() {
		return nil, store.Idle, store.ErrClosed
	}
	defer s.busy.Done()
	if ctx.Err() != nil || n <= 0 {
		return nil, store.Idle, nil
	}
	l := &look{call: call, plan: plan, n: n, prefix: number(cmp.Or(call.Seq, 1<<63|rand.Uint64())) + fourDigits(call.Lane)}
	repeated, err := s.begin(ctx, l)
	if err != nil {
		return nil, store.Idle, err
	}
	w := s.wait(plan)
	woken := store.Got
	for l.turn = 1; ; {
		if repeated {
			l.turn = 0
		}
		// The end of ctx ends the waiting, never a move.
		jobs, err := s.take(context.WithoutCancel(ctx), l)
		if len(jobs) > 0 {
			crashpoint.At(crashpoint.FetchMoved)
			return jobs, woken, nil
		}
		left := time.Until(deadline)
		if err != nil || l.again || left <= 0 || ctx.Err() != nil {
			return nil, store.Idle, err
		}
		if woken, err = w.until(ctx, min(left, lookEvery), n, l.paused); err != nil {
			return nil, store.Idle, err
		}
	}
}

// begin notes what call.By asks for. It tells whether it had asked for this Seq, or
// a later one, before.
func (s *Store) begin(ctx context.Context, l *look) (repeated bool, err error) {
	s.mu.Lock()
	b := s.boot(l.call.By)
	lane := l.call.Lane
	repeated = l.call.Seq != 0 && l.call.Seq <= b.asked[lane]
	b.asked[lane] = max(b.asked[lane], l.call.Seq)
	var strange []string // queues that no beat has told everybody of
	for _, q := range l.plan.Queues {
		if !b.queues[q.Queue] {
			strange = append(strange, q.Queue)
		}
	}
	left := time.Until(b.until)
	s.mu.Unlock()
	if len(strange) == 0 {
		return repeated, nil
	}
	// Whoever looks for what a process held must know where to look before it holds,
	// and a slot knows only leases of its own.
	requests := []*request{command("SADD", s.fleet("ebb:queues"), strange...)}
	if s.cluster && left > 0 {
		for _, q := range strange {
			requests = append(requests, s.lease([]string{q}, l.call.By, left))
		}
	}
	if _, err := s.do(ctx, requests...); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range strange {
		b.queues[q] = true
	}
	return repeated, nil
}

// take calls the script: once, or in a cluster once for each queue and then again
// for those that may have more, until there are enough.
func (s *Store) take(ctx context.Context, l *look) ([]store.Held, error) {
	shares := l.shares()
	l.paused = nil
	if !s.cluster {
		return s.takeFrom(ctx, l, shares, l.n)
	}
	var jobs []store.Held
	var more []store.Share
	for _, q := range shares {
		most := min(q.Weight, l.n-len(jobs))
		if most == 0 && l.turn > 0 {
			more = append(more, q)
			continue
		}
		got, err := s.takeFrom(ctx, l, []store.Share{q}, max(most, 1))
		if err != nil {
			return jobs, keepFirst(jobs, err)
		}
		if jobs = append(jobs, got...); len(got) == most {
			more = append(more, q)
		}
	}
	if l.again {
		return jobs, nil
	}
	for _, q := range more {
		if len(jobs) == l.n {
			break
		}
		q.Weight = l.n - len(jobs)
		got, err := s.takeFrom(ctx, l, []store.Share{q}, q.Weight)
		if err != nil {
			return jobs, keepFirst(jobs, err)
		}
		jobs = append(jobs, got...)
	}
	return jobs, nil
}

// keepFirst drops an error that comes after jobs have been taken; the next call
// meets it again.
func keepFirst(jobs []store.Held, err error) error {
	if len(jobs) > 0 {
		return nil
	}
	return err
}

// takeFrom is one call of the script, for queues of one slot.
func (s *Store) takeFrom(ctx context.Context, l *look, shares []store.Share, n int) ([]store.Held, error) {
	id, queue := l.call.By, ""
	if len(shares) > 0 {
		queue = shares[0].Queue
	} else if s.cluster {
		return nil, nil
	}
	keys := []string{s.last(queue, id), s.holders(queue)}
	args := []string{string(id), strconv.Itoa(l.call.Lane), number(l.call.Seq), strconv.Itoa(l.turn), l.prefix, strconv.Itoa(n)}
	for _, q := range shares {
		keys = append(keys, s.line(q.Queue), s.inbox(q.Queue), s.held(q.Queue, id), s.books(q.Queue))
		args = append(args, strconv.Itoa(q.Weight))
	}
	if l.turn > 0 {
		l.turn++
	}
	replies, err := s.swift(ctx, &request{script: fetchScript, keys: keys, args: args, once: l.call.Seq == 0})
	if err != nil {
		return nil, err
	}
	answer, err := replies[0].ToArray()
	if err != nil {
		return nil, err
	}
	switch said, _ := answer[0].ToString(); said {
	case "lost":
		return nil, store.ErrLeaseLost
	case "left":
		return nil, store.ErrLeft
	case "again":
		l.again = true
	}
	if len(answer) == 1 {
		return nil, nil
	}
	owner, jobs := ownerOf(id), make([]store.Held, 0, n)
	for _, i := range numbers(answer[1]) {
		l.paused = append(l.paused, shares[i-1].Queue)
	}
	for run := range slices.Chunk(answer[2:], 3) {
		i, _ := run[0].AsInt64()
		first, _ := run[1].AsInt64()
		payloads, err := run[2].ToArray()
		if err != nil {
			return jobs, err
		}
		q := shares[i-1].Queue
		for k := range payloads {
			payload, _ := payloads[k].ToString()
			jobs = append(jobs, store.Held{Token: token(l.prefix+fourDigits(int(first)+k), owner, q), Queue: q, Payload: []byte(payload)})
		}
	}
	return jobs, nil
}

// fourDigits is n as %04d.
func fourDigits(n int) string {
	digits := strconv.Itoa(n)
	return "0000"[min(len(digits), 4):] + digits
}

// numbers reads numbers with blanks between.
func numbers(reply rueidis.RedisMessage) (list []int) {
	said, _ := reply.ToString()
	for text := range strings.FieldsSeq(said) {
		if i, err := strconv.Atoi(text); err == nil {
			list = append(list, i)
		}
	}
	return list
}

// shares says in which order queues are asked, and for how many each. A queue that
// is not drawn is asked last, for what the others lack.
func (l *look) shares() []store.Share {
	queues := slices.Clone(l.plan.Queues)
	if l.plan.Strict {
		for i := range queues {
			queues[i].Weight = l.n
		}
		return queues
	}
	var total int
	for i := range queues {
		queues[i].Weight = max(queues[i].Weight, 1)
		total += queues[i].Weight
	}
	rand.Shuffle(len(queues), func(i, j int) { queues[i], queues[j] = queues[j], queues[i] })
	var drawn []store.Share // in the order of their first draw
	draws := make([]int, len(queues))
	for range l.n {
		if total == 0 {
			break
		}
		ball, i := rand.IntN(total), 0
		for ; ball >= queues[i].Weight; i++ {
			ball -= queues[i].Weight
		}
		if draws[i]++; draws[i] == 1 {
			drawn = append(drawn, store.Share{Queue: queues[i].Queue, Weight: i})
		}
	}
	for i := range drawn {
		drawn[i].Weight = draws[drawn[i].Weight]
	}
	for i, q := range queues {
		if draws[i] == 0 {
			drawn = append(drawn, store.Share{Queue: q.Queue})
		}
	}
	return drawn
}
