package redisstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

const (
	// A claim to be the promoter lasts this long, and is renewed with each look.
	claimFor = time.Second
	// The promoter looks this often, since a ZADD of Ruby's wakes nobody; the others
	// come by in case it is gone.
	promoterLooks = 50 * time.Millisecond
	othersLook    = 2 * time.Second

	promoteAtOnce = 100

	defaultDeadMax = 10_000
	defaultDeadAge = 180 * 24 * time.Hour
)

// Promote moves jobs that are due to the back of their queues, and trims the dead set.
func (s *Store) Promote(ctx context.Context, p store.Promotion) (moved int, next time.Duration, err error) {
	p.Max = min(cmp.Or(p.Max, store.MaxBatch), store.MaxBatch)
	p.DeadMax, p.DeadAge = cmp.Or(p.DeadMax, defaultDeadMax), cmp.Or(p.DeadAge, defaultDeadAge)
	moved, next, err = s.promote(ctx, p)
	return moved, next, wrap("promote", err)
}

func (s *Store) promote(ctx context.Context, p store.Promotion) (moved int, next time.Duration, err error) {
	for {
		mine, more, shelves, err := s.dueNow(ctx, p, min(promoteAtOnce, p.Max-moved))
		if err != nil {
			return moved, 0, err
		}
		if !mine {
			return moved, othersLook, nil
		}
		appeared, err := s.lookForRuby(ctx)
		if err != nil {
			return moved, 0, err
		}
		if more || appeared {
			continue // first of all, jobs are reserved
		}
		crashpoint.At(crashpoint.DuringPromotion)
		n, err := s.empty(ctx, shelves)
		if moved += n; err != nil {
			s.rubies.rest()
			return moved, 0, err
		}
		next = promoterLooks
		for _, sh := range shelves {
			if sh.next >= 0 {
				next = min(next, sh.next)
			}
		}
		if next > 0 || n == 0 || moved >= p.Max {
			return moved, next, nil
		}
	}
}

// shelf is what is to be moved out of the sets of one slot.
type shelf struct {
	queue   string // in a cluster, whose sets they are
	due     []dueJob
	dead    []string
	next    time.Duration // until the next one is due; negative: there is none
	letters int64         // in the outbox
}

type dueJob struct {
	from   store.Place
	member string
	score  float64
}

// dueNow claims the promoter's part and reads what is due, oldest first. more tells that
// there is more to reserve.
func (s *Store) dueNow(ctx context.Context, p store.Promotion, most int) (mine, more bool, shelves []shelf, err error) {
	queues := []string{""}
	if s.cluster {
		if queues, err = s.known(ctx); err != nil {
			return false, false, nil, err
		}
	}
	requests := []*request{s.claim(p.By, claimFor)}
	reserve := s.reserve()
	if reserve != nil {
		requests = append(requests, reserve)
	}
	first := len(requests)
	for _, q := range queues {
		requests = append(requests, &request{
			script: dueScript,
			keys:   append([]string{s.set(store.Scheduled, q), s.set(store.Retrying, q), s.set(store.Dead, q)}, s.reservations()...),
			args:   []string{strconv.Itoa(most), strconv.Itoa(p.DeadMax), strconv.FormatInt(int64(p.DeadAge.Seconds()), 10), micros(putOff)},
		}, command("HLEN", s.outbox(q)))
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return false, false, nil, err
	}
	if n, err := replies[0].AsInt64(); err != nil || n == 0 {
		return false, false, nil, err
	}
	if reserve != nil {
		n, _ := replies[1].AsInt64()
		more = n == 1
	}
	for i, q := range queues {
		sh, err := s.readShelf(replies[first+2*i])
		if err != nil {
			return false, false, nil, err
		}
		sh.queue = q
		sh.letters, _ = replies[first+2*i+1].AsInt64()
		sh.due = sh.due[:min(len(sh.due), most)]
		shelves = append(shelves, sh)
	}
	return true, more, shelves, nil
}

// claim makes id the promoter; for no time at all it gives that up.
func (s *Store) claim(id store.Identity, d time.Duration) *request {
	return &request{script: claimScript, keys: []string{s.fleet("ebb:promoter")}, args: []string{string(id), strconv.FormatInt(d.Milliseconds(), 10)}}
}

func (s *Store) readShelf(reply rueidis.RedisMessage) (sh shelf, err error) {
	answer, err := reply.ToArray()
	if err != nil {
		return sh, err
	}
	micros, _ := answer[0].AsInt64()
	s.learn(micros)
	wait, _ := answer[1].AsInt64()
	sh.next = time.Duration(wait) * time.Microsecond
	for i, from := range []store.Place{store.Scheduled, store.Retrying} {
		for pairs := range slices.Chunk(texts(answer[2+i]), 2) {
			score, _ := strconv.ParseFloat(pairs[1], 64)
			sh.due = append(sh.due, dueJob{from, pairs[0], score})
		}
	}
	slices.SortStableFunc(sh.due, func(a, b dueJob) int { return cmp.Compare(a.score, b.score) })
	sh.dead = texts(answer[4])
	if aged, _ := answer[5].AsInt64(); aged == 1 {
		sh.dead = sh.dead[:s.aged.take(len(sh.dead))]
	}
	return sh, nil
}

// ration lets so many jobs a minute go for their age: a clock that is wrong for a
// moment must not empty the dead set.
type ration struct {
	mu    sync.Mutex
	since time.Time
	given int
}

const agedAMinute = 1000

// take returns how many of n may go.
func (r *ration) take(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.since) > time.Minute {
		r.since, r.given = now, 0
	}
	n = min(n, agedAMinute-r.given)
	r.given += n
	return n
}

// empty moves what is due to the back of its queue, and forgets what is too old. It
// returns how many were promoted; another promoter may have been quicker.
func (s *Store) empty(ctx context.Context, shelves []shelf) (moved int, err error) {
	var requests []*request
	var abroad []*edge
	var forsaken []string // queues with letters that somebody may have died over
	promotes := map[int]bool{}
	for _, sh := range shelves {
		var members [][]byte
		for _, d := range sh.due {
			members = append(members, []byte(d.member))
		}
		for _, member := range sh.dead {
			members = append(members, []byte(member))
		}
		queues, err := s.queuesOf(ctx, sh.queue, members)
		if err != nil {
			return 0, err
		}
		es := edges{layout: s.layout}
		for i, d := range sh.due {
			es.promote(sh.queue, queues[i], d, s.now())
		}
		for _, e := range es.all {
			promotes[len(requests)] = true
			requests = append(requests, e.move(s, store.Undoable{}))
			abroad = append(abroad, e)
		}
		if sh.letters > 0 {
			forsaken = append(forsaken, sh.queue)
		}
		es = edges{layout: s.layout}
		for i, member := range sh.dead {
			es.drop(store.Dead, queues[len(sh.due)+i], member, "trimmed")
		}
		for _, e := range es.all {
			requests = append(requests, e.move(s, store.Undoable{}))
		}
	}
	for _, q := range forsaken {
		if err := s.deliverFrom(ctx, q); err != nil {
			return 0, err
		}
	}
	replies, err := s.do(ctx, requests...)
	for i := range replies {
		if answer, _ := replies[i].AsIntSlice(); promotes[i] && len(answer) == 2 {
			moved += int(answer[0])
		}
	}
	if err != nil {
		return moved, err
	}
	return moved, s.deliver(ctx, abroad)
}

// home is the queue of a member of a set, and whether strays had to tell.
type home struct {
	queue string
	stray bool
}

// queuesOf returns the queue of each member. In a cluster the payload may name
// another queue than the one whose set it is in; the payload is right, if it says.
func (s *Store) queuesOf(ctx context.Context, of string, members [][]byte) ([]home, error) {
	homes := make([]home, len(members))
	var unsaid []string
	var where []int
	for i, m := range members {
		q, ok := wire.QueueOf(m)
		switch {
		case ok && q != "" && !s.cluster:
			homes[i].queue = q
		case s.cluster:
			homes[i].queue = of
		default:
			homes[i].queue = "default" // as Ruby has it
			unsaid, where = append(unsaid, string(m)), append(where, i)
		}
	}
	if len(unsaid) == 0 {
		return homes, nil
	}
	reply, err := s.one(ctx, command("HMGET", "ebb:strays", unsaid...))
	if err != nil {
		return nil, err
	}
	queues, err := reply.ToArray()
	if err != nil {
		return nil, err
	}
	for n, i := range where {
		if q, err := queues[n].ToString(); err == nil {
			homes[i] = home{q, true}
		}
	}
	return homes, nil
}

// apart is what the scripts append to a payload to keep it apart from another of the
// same bytes in one set: white space that JSON does not mind and that no encoder ends
// a payload with.
const apart = "\t \t"

// bare is a member without what keeps it apart.
func bare(member []byte) []byte {
	for bytes.HasSuffix(member, []byte(apart)) {
		member = member[:len(member)-len(apart)]
	}
	return member
}

// promote adds a job that is due, for the back of its queue.
func (es *edges) promote(of string, h home, d dueJob, now time.Time) {
	e := es.of(cmp.Or(of, h.queue))
	payload := wire.Stamp(bare([]byte(d.member)), "", now)
	q := e.number(h.queue)
	e.args = append(e.args, q, strconv.Itoa(int(d.from)), d.member, flag(h.stray),
		q, "0", "", "0", "1", rueidis.BinaryString(payload), "0")
}

// drop adds a job that is forgotten, and where in the books it is counted.
func (es *edges) drop(from store.Place, h home, member, count string) {
	e := es.of(h.queue)
	e.args = append(e.args, e.number(h.queue), strconv.Itoa(int(from)), member, flag(h.stray), "", count, "", "0", "0", "", "0")
}

// known returns every queue of which there may be something, by name.
func (s *Store) known(ctx context.Context) ([]string, error) {
	replies, err := s.do(ctx, command("SMEMBERS", s.fleet("queues")), command("SMEMBERS", s.fleet("ebb:queues")))
	if err != nil {
		return nil, err
	}
	names := append(texts(replies[0]), texts(replies[1])...)
	slices.Sort(names)
	return slices.Compact(names), nil
}
