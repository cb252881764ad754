package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// gatherer collects calls that come while others are under way and sends them in
// one go, so that many callers cost little more than one.
type gatherer struct {
	send func(context.Context, []*arrival)

	mu      sync.Mutex
	waiting []*arrival
	running bool
}

// arrival is one Push or Schedule. Its caller may have given up on it.
type arrival struct {
	ctx     context.Context
	call    store.Call
	items   []store.Item
	results []store.Result
	err     error
	done    chan struct{}
}

// enqueue hands a call to g and waits for its answer. A caller whose ctx ends first
// does not know whether its jobs were stored, and repeats the call.
func (s *Store) enqueue(ctx context.Context, g *gatherer, call store.Call, items []store.Item) ([]store.Result, error) {
	if err := s.ended(ctx); err != nil || len(items) == 0 {
		return nil, err
	}
	if err := tooMany(len(items)); err != nil {
		return nil, err
	}
	if !s.enter() {
		return nil, store.ErrClosed
	}
	a := &arrival{ctx: ctx, call: call, items: items, results: make([]store.Result, len(items)), done: make(chan struct{})}
	g.mu.Lock()
	if !g.running { // nobody else is at it: no goroutine in between
		g.running = true
		g.mu.Unlock()
		g.send(ctx, []*arrival{a})
		g.handOver(&s.busy)
		return a.results, a.err
	}
	a.items = copied(items)
	g.waiting = append(g.waiting, a)
	g.mu.Unlock()
	defer s.busy.Done()
	select {
	case <-a.done:
		return a.results, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.closing:
		return nil, store.ErrClosed
	}
}

// copied makes items independent of the caller, who may change its payloads as soon
// as it has an answer. It has one before they are sent if its ctx ends.
func copied(items []store.Item) []store.Item {
	items = slices.Clone(items)
	for i := range items {
		items[i].Payload = slices.Clone(items[i].Payload)
	}
	return items
}

func tooMany(n int) error {
	if n > store.MaxBatch {
		return fmt.Errorf("%d elements in one call; %d are the most", n, store.MaxBatch)
	}
	return nil
}

// handOver lets those who came meanwhile go on without the caller, who has its answer.
// It ends the caller's part of busy.
func (g *gatherer) handOver(busy *sync.WaitGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running = len(g.waiting) > 0; !g.running {
		busy.Done()
		return
	}
	go func() { defer busy.Done(); g.run() }()
}

// run sends until nobody waits.
func (g *gatherer) run() {
	for {
		g.mu.Lock()
		batch := g.take()
		g.running = len(batch) > 0
		g.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		// The others in the batch still want theirs when the first one's ctx ends.
		g.send(context.WithoutCancel(batch[0].ctx), batch)
		for _, a := range batch {
			close(a.done)
		}
	}
}

// take cuts off what one script call may carry.
func (g *gatherer) take() []*arrival {
	n, items := 0, 0
	for n < len(g.waiting) && (n == 0 || items+len(g.waiting[n].items) <= store.MaxBatch) {
		items += len(g.waiting[n].items)
		n++
	}
	batch := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return batch
}

// Push puts items at the back of their queues.
func (s *Store) Push(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	results, err := s.enqueue(ctx, &s.pushes, call, items)
	return results, wrap("push", err)
}

// Schedule puts items into the scheduled set.
func (s *Store) Schedule(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	results, err := s.enqueue(ctx, &s.schedules, call, items)
	return results, wrap("schedule", err)
}

func (s *Store) sendPushes(ctx context.Context, batch []*arrival) {
	s.sendArrivals(ctx, batch, func(p *parcel) *request {
		keys := []string{s.last(p.queues[0], p.by)}
		for _, q := range p.queues {
			keys = append(keys, s.line(q), s.books(q))
		}
		if !s.cluster {
			keys = append(keys, "queues")
		}
		return &request{script: pushScript, keys: keys}
	}, func(args []string, q string, item *store.Item) []string {
		return append(args, q, rueidis.BinaryString(item.Payload))
	})
}

func (s *Store) sendSchedules(ctx context.Context, batch []*arrival) {
	s.sendArrivals(ctx, batch, func(p *parcel) *request {
		keys := []string{s.last(p.queues[0], p.by), s.set(store.Scheduled, p.queues[0])}
		for _, q := range p.queues {
			keys = append(keys, s.books(q))
		}
		if !s.cluster {
			keys = append(keys, "ebb:queues", "ebb:strays")
		}
		return &request{script: scheduleScript, keys: keys}
	}, func(args []string, q string, item *store.Item) []string {
		due, delay := "", strconv.FormatInt(item.Delay.Microseconds(), 10)
		if !item.At.IsZero() {
			due, delay = seconds(item.At), ""
		}
		return append(args, q, due, delay, rueidis.BinaryString(item.Payload), s.stray(item.Payload, item.Queue))
	})
}

// seconds writes a moment as Sidekiq's scores are written.
func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMicro())/1e6, 'f', 6, 64) }

// stray is "1" if payload does not tell that its queue is queue.
func (s *Store) stray(payload []byte, queue string) string {
	if s.cluster {
		return "0" // each queue has sets of its own
	}
	if q, ok := wire.QueueOf(payload); ok && q == queue {
		return "0"
	}
	return "1"
}

// parcel is what one script call carries: jobs of one producer for queues of one
// slot.
type parcel struct {
	by     store.Identity
	queues []string
	args   []string
	parts  []part
}

// part is the items of one call in a parcel.
type part struct {
	of    *arrival
	items []int
}

// number returns the number of queue among the parcel's.
func (p *parcel) number(queue string) string {
	i := slices.Index(p.queues, queue)
	if i < 0 {
		i = len(p.queues)
		p.queues = append(p.queues, queue)
	}
	return strconv.Itoa(i + 1)
}

// sendArrivals packs a batch into parcels, sends them and hands out the answers.
func (s *Store) sendArrivals(ctx context.Context, batch []*arrival, address func(*parcel) *request, item func([]string, string, *store.Item) []string) {
	parcels := s.pack(batch, item)
	requests := make([]*request, len(parcels))
	for i, p := range parcels {
		r := address(p)
		r.args = slices.Concat([]string{strconv.Itoa(len(p.queues))}, p.queues, p.args)
		r.once = slices.ContainsFunc(p.parts, func(t part) bool { return t.of.call.Seq == 0 })
		requests[i] = r
	}
	replies := make([]rueidis.RedisMessage, len(parcels))
	err := s.enlist(ctx, parcels)
	switch {
	case err != nil:
	case s.replicas > 0:
		replies, err = s.replicated(ctx, requests)
	default:
		replies, err = s.swift(ctx, requests...)
	}
	crashpoint.At(crashpoint.DuringPush)
	if errors.Is(err, errMemory) {
		err = full(err)
	}
	for i, p := range parcels {
		answers, _ := replies[i].AsStrSlice()
		if len(answers) != len(p.parts) {
			answers = nil
		}
		for n, t := range p.parts {
			if answers == nil {
				t.of.err = err
				continue
			}
			t.answer(answers[n], err)
		}
	}
}

// enlist makes queues known before there is something in them. In a cluster the list
// of them has another slot, so a client adds each once.
func (s *Store) enlist(ctx context.Context, parcels []*parcel) error {
	if !s.cluster {
		return nil // the script does
	}
	var strange []string
	s.mu.Lock()
	for _, p := range parcels {
		for _, q := range p.queues {
			if !s.enlisted[q] {
				strange = append(strange, q)
			}
		}
	}
	s.mu.Unlock()
	if len(strange) == 0 {
		return nil
	}
	if _, err := s.one(ctx, command("SADD", s.fleet("ebb:queues"), strange...)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range strange {
		s.enlisted[q] = true
	}
	return nil
}

// answer reads what the script says of one call. An error of another parcel of the
// same call stays.
func (t part) answer(said string, err error) {
	switch {
	case t.of.err != nil:
	case said == "stored":
		t.of.err = err
	case said == "repeated":
		t.of.err = err
		for _, i := range t.items {
			t.of.results[i].Repeated = true
		}
	case said == "stale":
		t.of.err = store.ErrStale
	default:
		t.of.err = errors.New(said)
		if k := kindOfText(said); k >= 0 {
			t.of.err = store.WithHint(t.of.err, "%s", kinds[k].hint)
		}
	}
}

// full is err as a producer sees it.
func full(err error) error {
	return store.WithHint(fmt.Errorf("%w: %w", store.ErrFull, err), "%s", store.Hint(err))
}

// replicated is swift for pushes that as many replicas must have as the URL asks
// for. WAIT is about what its own connection has written, so each push has it close
// behind. A push that had arrived before writes as well, see the scripts.
func (s *Store) replicated(ctx context.Context, requests []*request) ([]rueidis.RedisMessage, error) {
	client, err := s.alone.get(s.option)
	if err != nil {
		return make([]rueidis.RedisMessage, len(requests)), err
	}
	wait := &request{args: []string{"WAIT", strconv.Itoa(s.replicas), strconv.FormatInt(replyWithin.Milliseconds()/2, 10)}}
	have := make([]int64, len(requests)) // replicas
	replies, err := s.exchange(ctx, func(ctx context.Context, requests []*request, pending []int) []rueidis.RedisResult {
		results := make([]rueidis.RedisResult, len(pending))
		for n, i := range pending {
			client.Dedicated(func(c rueidis.DedicatedClient) error {
				both := c.DoMulti(uncancelled{ctx}, requests[i].build(c.B()), wait.build(c.B()))
				results[n] = both[0]
				have[i], _ = both[1].AsInt64()
				return nil
			})
		}
		return results
	}, requests)
	if n := int(slices.Min(have)); err == nil && n < s.replicas {
		err = store.WithHint(fmt.Errorf("%w: %d replicas have the jobs, not %d", store.ErrUnreachable, n, s.replicas),
			"look at the replicas, or take wait= out of the URL")
	}
	return replies, err
}

// pack sorts the items of all calls by producer and slot.
func (s *Store) pack(batch []*arrival, item func([]string, string, *store.Item) []string) []*parcel {
	type where struct{ by, queue string }
	index := map[where]*parcel{}
	var parcels []*parcel
	for _, a := range batch {
		var mine []*parcel
		for i := range a.items {
			it := &a.items[i]
			at := where{by: string(a.call.By)}
			if s.cluster {
				at.queue = it.Queue
			}
			p := index[at]
			if p == nil {
				p = &parcel{by: a.call.By}
				index[at] = p
				parcels = append(parcels, p)
			}
			if n := len(p.parts); n == 0 || p.parts[n-1].of != a {
				p.parts = append(p.parts, part{of: a})
				mine = append(mine, p)
			}
			t := &p.parts[len(p.parts)-1]
			t.items = append(t.items, i)
		}
		for _, p := range mine {
			t := p.parts[len(p.parts)-1]
			p.args = append(p.args, "s"+strconv.Itoa(a.call.Lane), number(a.call.Seq), strconv.Itoa(len(t.items)))
			for _, i := range t.items {
				p.args = item(p.args, p.number(a.items[i].Queue), &a.items[i])
			}
		}
	}
	return parcels
}
