package redisstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
)

const (
	// maxWaits is how many queues are waited on by a connection each.
	maxWaits = 8
	// lookEvery is how long a wait lasts before the queues are looked at unasked:
	// what lies in an inbox wakes nobody.
	lookEvery = 2 * time.Second

	pollFirst = 20 * time.Millisecond
	pollLast  = 500 * time.Millisecond
)

// wait is the waiting of one Fetch. While it lasts, a blocking move sits on each of
// its queues and carries the first job that comes into the queue's inbox, from where
// any process fetches it: one job wakes one process, whoever pushed it.
type wait struct {
	s      *Store
	queues []string
	track  bool          // one connection is told of changes, instead of one a queue
	poll   time.Duration // the next pause between two looks; 0 while the server wakes us
}

func (s *Store) wait(plan store.Plan) *wait {
	w := &wait{s: s}
	for _, q := range plan.Queues {
		if !slices.Contains(w.queues, q.Queue) {
			w.queues = append(w.queues, q.Queue)
		}
	}
	switch {
	case s.cluster:
		w.poll = pollFirst // each queue may be on another server
	case s.few || len(w.queues) > maxWaits:
		w.track = true
	}
	return w
}

// until returns when it may be worth looking again, and says why. n is how many jobs
// will be asked for then.
func (w *wait) until(ctx context.Context, d time.Duration, n int, paused []string) (store.Woken, error) {
	var queues []string
	for _, q := range w.queues {
		if !slices.Contains(paused, q) {
			queues = append(queues, q)
		}
	}
	if len(queues) == 0 || w.poll > 0 {
		return store.Polled, w.sleep(ctx, d)
	}
	if w.track {
		woken, err := w.s.watch(ctx, queues, d)
		if err != nil {
			w.poll = pollFirst // an old protocol, or an ACL; looking always works
			return store.Polled, w.sleep(ctx, d)
		}
		return woken, nil
	}
	moved, err := w.s.block(ctx, queues, d)
	if err != nil {
		// Blocking moves are refused by a server without memory; looking is not.
		w.poll = pollFirst
		return store.Polled, w.sleep(ctx, d)
	}
	// Whoever is not going to fetch what was moved gives it back, so that others wake.
	if len(moved) > n || ctx.Err() != nil {
		if err := w.s.unbox(context.WithoutCancel(ctx), moved); err != nil {
			return store.Idle, err
		}
	}
	if len(moved) == 0 {
		return store.Polled, nil
	}
	return store.Pushed, nil
}

// sleep pauses for the polling interval, which doubles, or for d if that is less.
func (w *wait) sleep(ctx context.Context, d time.Duration) error {
	if w.poll > 0 {
		d = min(d, w.poll)
		w.poll = min(2*w.poll, pollLast)
	}
	crashpoint.At(crashpoint.FetchWaiting)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-w.s.closing:
		return store.ErrClosed
	}
	return nil
}

// block blocks on each queue until a job comes to one of them, d has passed, or ctx
// ends, and returns the queues of which a job is in the inbox now. When it returns
// nothing blocks any more.
func (s *Store) block(ctx context.Context, queues []string, d time.Duration) (moved []string, err error) {
	type end struct {
		queue string
		moved bool
		err   error
	}
	client, err := s.alone.get(s.option)
	if err != nil {
		return nil, err
	}
	ends := make(chan end, len(queues))
	var blocked []*blocker
	for _, q := range queues {
		b, e := s.blockers.get(ctx, client)
		if e != nil {
			err = e
			break
		}
		blocked = append(blocked, b)
		go func() {
			moved, err := b.move(s.line(q), s.inbox(q), d)
			s.blockers.put(b, err)
			ends <- end{q, moved, err}
		}()
	}
	left := len(blocked)
	note := func(e end) {
		left--
		if e.moved {
			moved = append(moved, e.queue)
		}
		if err == nil {
			err = e.err
		}
	}
	if err == nil {
		crashpoint.At(crashpoint.FetchWaiting)
		select {
		case e := <-ends:
			note(e)
		case <-ctx.Done():
		case <-s.closing:
		}
	}
	// A move that has not reached the server yet is not ended by the first try.
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for left > 0 {
		s.unblock(blocked)
		for heard := true; heard && left > 0; {
			select {
			case e := <-ends:
				note(e)
			case <-again.C:
				heard = false
			}
		}
	}
	return moved, err
}

// unblock ends the moves that still block. Their replies tell whether they moved.
func (s *Store) unblock(blocked []*blocker) {
	ctx, cancel := context.WithTimeout(context.Background(), replyWithin)
	defer cancel()
	commands := make(rueidis.Commands, len(blocked))
	for i, b := range blocked {
		commands[i] = s.client.B().ClientUnblock().ClientId(b.id).Build()
	}
	s.client.DoMulti(ctx, commands...)
}

// blocker is a connection for a blocking move, and its number on the server.
type blocker struct {
	conn rueidis.DedicatedClient
	id   int64
}

// move waits for a job in line and carries it to inbox.
func (b *blocker) move(line, inbox string, d time.Duration) (moved bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), d+replyWithin)
	defer cancel()
	// A timeout of zero would be none.
	blmove := b.conn.B().Blmove().Source(line).Destination(inbox).Right().Left().Timeout(max(d, time.Millisecond).Seconds()).Build()
	err = b.conn.Do(ctx, blmove).Error()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	return err == nil, err
}

// blockers keeps the connections that earlier waits have left. They are made by the
// first wait; a producer has none.
type blockers struct {
	mu       sync.Mutex
	idle     []*blocker
	watchers []*watcher
	closed   bool
}

func (p *blockers) get(ctx context.Context, client rueidis.Client) (*blocker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		b := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return b, nil
	}
	if p.closed {
		return nil, store.ErrClosed
	}
	conn, _ := client.Dedicate()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replyWithin)
	defer cancel()
	id, err := conn.Do(ctx, conn.B().ClientId().Build()).AsInt64()
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &blocker{conn, id}, nil
}

// put takes a connection back, and closes one that failed.
func (p *blockers) put(b *blocker, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || p.closed {
		b.conn.Close()
		return
	}
	p.idle = append(p.idle, b)
}

// close ends all that are kept; none blocks any more.
func (p *blockers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, b := range p.idle {
		b.conn.Close()
	}
	for _, w := range p.watchers {
		w.conn.Close()
	}
}

// unbox gives what lies in the inboxes of queues back to the queues.
func (s *Store) unbox(ctx context.Context, queues []string) error {
	requests := make([]*request, len(queues))
	for i, q := range queues {
		requests[i] = &request{script: unboxScript, keys: []string{s.inbox(q), s.line(q)}}
	}
	_, err := s.do(ctx, requests...)
	return err
}
