package redisstore

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
)

// showEvery is how often a process is shown to people anew when nothing has changed
// but which jobs it runs.
const showEvery = 4 * time.Second

// pulse is one beat of one process.
type pulse struct {
	p        store.Presence
	ttl      time.Duration
	began    time.Time
	queues   []string // that it may hold from
	commands []string // that the last beat gave
	state    string   // what is shown at once when it changes
	show     bool
	rtt      time.Duration // of the last beat
	bell     *doorbell     // nil: it has none
	sight    sight         // of it, when the beat was made up
	reports  []*report     // of how runs have ended
	mark     bool          // when its release began
}

// Beat registers a process or renews its lease.
func (s *Store) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	orders, err := s.beat(ctx, s.pulse(p, ttl))
	return orders, wrap("beat", err)
}

func (s *Store) pulse(p store.Presence, ttl time.Duration) *pulse {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boot(p.ID)
	queues := maps.Clone(b.queues)
	for _, g := range p.Groups {
		for _, q := range g.Queues {
			queues[q.Queue] = true
		}
	}
	owner := ownerOf(p.ID)
	for _, t := range p.Known {
		if _, queue, ok := split(t, owner); ok {
			queues[queue] = true
		}
	}
	u := &pulse{p: p, ttl: ttl, began: time.Now(), queues: slices.Sorted(maps.Keys(queues)), commands: b.commands, rtt: b.rtt}
	u.state = stateOf(p)
	u.show = u.state != b.state || u.began.Sub(b.shown) >= showEvery
	if u.bell = b.bell; u.bell != nil {
		u.sight = u.bell.look(p.Ring)
	}
	b.counting.release = p.Release
	u.reports = b.counting.beat(p.Runs, u.began, s.now())
	u.mark = !b.marked && p.Release != ""
	return u
}

// stateOf is what of p is worth showing at once.
func stateOf(p store.Presence) string {
	idle := len(p.Busy) == 0
	p.RSS, p.Busy = 0, slices.DeleteFunc(slices.Clone(p.Busy), func(r store.Run) bool { return !r.Deaf })
	text, err := json.Marshal(p)
	if err != nil {
		return err.Error()
	}
	return string(text) + flag(idle)
}

func (s *Store) beat(ctx context.Context, u *pulse) (orders store.Orders, err error) {
	shards := s.shards(u.queues)
	requests := make([]*request, len(shards), len(shards)+3)
	for i, shard := range shards {
		requests[i] = s.lease(shard, u.p.ID, u.ttl)
	}
	requests = append(requests, s.heartbeat(u))
	requests = append(requests, s.counts(u.p.ID, u.reports)...)
	requests = append(requests, s.endings(u.p.ID, u.p.Ended)...)
	var mark *request
	if u.mark {
		mark = s.mark(u.p.Release)
		requests = append(requests, mark)
	}
	if !s.cluster {
		requests = append(requests, s.tally(u.queues), s.neighbours(u))
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return orders, err
	}
	held := map[store.Token]bool{}
	for i, shard := range shards {
		renewed, err := s.leased(replies[i], u.p.ID, shard, held)
		if err == store.ErrLeft && u.show {
			// The heartbeat has shown it again.
			s.one(ctx, s.farewell(u.p.ID, true, "", false))
		}
		if err != nil {
			return orders, err
		}
		orders.Renewed = orders.Renewed || renewed
	}
	last, err := replies[len(shards)].ToArray()
	if err != nil {
		return orders, err
	}
	if len(last) == 0 {
		return orders, store.ErrLeft
	}
	commands := texts(last[1])
	orders.Commands = commandsOf(texts(last[0]), commands)
	orders.Paused = slices.Sorted(slices.Values(texts(last[2])))
	if !s.cluster {
		n := len(requests) - 1
		orders.Look = s.listened(u, requests[n].refused, replies[n])
		s.hang(ctx, u)
	}
	if err := s.compare(ctx, &orders, u.p, held); err != nil {
		return orders, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, outages := s.boot(u.p.ID), s.outages.Load()
	orders.Reconnected = b.beaten && b.outages != outages
	b.beaten, b.outages, b.commands = true, outages, commands
	b.until, b.rtt = u.began.Add(u.ttl), time.Since(u.began)
	b.counting.answered(u.reports)
	// A server that was full, or has lost all, is to hear of it with the next beat.
	if u.mark {
		b.marked = mark.refused == nil
	} else if orders.Renewed {
		b.marked = false
	}
	for _, q := range u.queues {
		b.queues[q] = true
	}
	if u.show {
		b.shown, b.state = u.began, u.state
	}
	return orders, nil
}

// lease renews id's lease where queues, which share a slot, are.
func (s *Store) lease(queues []string, id store.Identity, ttl time.Duration) *request {
	queue := ""
	if len(queues) > 0 {
		queue = queues[0]
	}
	keys := []string{s.last(queue, id), s.holders(queue)}
	for _, q := range queues {
		keys = append(keys, s.held(q, id))
	}
	return &request{script: beatScript, keys: keys, args: []string{string(id), strconv.FormatInt(ttl.Milliseconds(), 10)}}
}

// tally brings Sidekiq's counters up to the books of queues. Ruby writes them with
// its beats, too.
func (s *Store) tally(queues []string) *request {
	today := s.now().UTC().Format(":2006-01-02")
	keys := []string{"stat:processed", "stat:failed", "stat:processed" + today, "stat:failed" + today}
	for _, q := range queues {
		keys = append(keys, s.books(q))
	}
	return &request{script: tallyScript, keys: keys}
}

// leased reads the answer to lease, and notes what is held of queues.
func (s *Store) leased(reply rueidis.RedisMessage, id store.Identity, queues []string, held map[store.Token]bool) (renewed bool, err error) {
	answer, err := reply.ToArray()
	if err != nil {
		return false, err
	}
	if len(answer) < 3 {
		return false, store.ErrLeft
	}
	if micros, err := answer[1].AsInt64(); err == nil {
		s.learn(micros)
	}
	owner := ownerOf(id)
	for i, queue := range queues {
		for _, field := range texts(answer[3+i]) {
			held[token(field, owner, queue)] = true
		}
	}
	n, err := answer[2].AsInt64()
	return n == 1, err
}

// heartbeat shows the process and asks for its commands.
func (s *Store) heartbeat(u *pulse) *request {
	id := u.p.ID
	record := s.fleet(string(id))
	r := &request{script: heartbeatScript, keys: []string{
		s.fleet("processes"), record, record + ":work", record + ":workers", record + "-signals",
		s.fleet("ebb:commands:" + string(id)), s.fleet("ebb:presence"), s.fleet("ebb:queues"), s.fleet("ebb:paused"),
	}}
	if s.cluster {
		r.keys = append(r.keys, s.left(id))
	}
	r.args = append([]string{string(id), strconv.Itoa(len(u.commands))}, u.commands...)
	if !u.show {
		return r
	}
	fields, work := u.rubyRecord(s.now())
	r.args = slices.Concat(r.args,
		[]string{u.presence(s.now()), strconv.Itoa(len(u.queues))}, u.queues,
		[]string{strconv.Itoa(len(fields) / 2)}, fields, work)
	return r
}

// compare finds where the store and the process differ on what it holds.
func (s *Store) compare(ctx context.Context, orders *store.Orders, p store.Presence, held map[store.Token]bool) error {
	for _, t := range p.Known {
		if !held[t] {
			orders.Gone = append(orders.Gone, t)
		}
		delete(held, t)
	}
	unknown := slices.Sorted(maps.Keys(held))
	if len(unknown) == 0 {
		return nil
	}
	owner, reads := ownerOf(p.ID), make([]*request, len(unknown))
	for i, t := range unknown {
		field, queue, _ := split(t, owner)
		reads[i] = command("HGET", s.held(queue, p.ID), field)
	}
	replies, err := s.do(ctx, reads...)
	if err != nil {
		return err
	}
	for i, t := range unknown {
		if payload, err := replies[i].ToString(); err == nil { // else it went meanwhile
			_, queue, _ := split(t, owner)
			orders.Unknown = append(orders.Unknown, store.Held{Token: t, Queue: queue, Payload: []byte(payload)})
		}
	}
	return nil
}

// commandsOf reads Ruby's signals and ebb's commands, oldest first.
func commandsOf(signals, commands []string) (all []store.Command) {
	for _, signal := range signals {
		if verb, ok := verbs[signal]; ok {
			all = append(all, store.Command{Verb: verb})
		}
	}
	for _, text := range commands {
		var c store.Command
		if json.Unmarshal([]byte(text), &c) == nil {
			all = append(all, c)
		}
	}
	return all
}
