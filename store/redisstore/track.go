package redisstore

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
)

// herd is the longest that a process which was woken lets others go first. All that
// are idle wake for one job, and only one gets it.
const herd = 2 * time.Millisecond

// watcher is a connection that the server tells of changes.
type watcher struct {
	conn    rueidis.DedicatedClient
	changed chan struct{}
}

// watch returns when something has come to one of queues, d has passed, or ctx ends.
// Reading the length of a queue asks for one notice of its next change.
func (s *Store) watch(ctx context.Context, queues []string, d time.Duration) (store.Woken, error) {
	client, err := s.alone.get(s.option)
	if err != nil {
		return store.Idle, err
	}
	w, err := s.blockers.watcher(ctx, client)
	if err != nil {
		return store.Idle, err
	}
	select {
	case <-w.changed: // of an earlier wait
	default:
	}
	lengths := make(rueidis.Commands, len(queues))
	for i, q := range queues {
		lengths[i] = w.conn.B().Llen().Key(s.line(q)).Build()
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), replyWithin)
	defer cancel()
	for _, reply := range w.conn.DoMulti(asking, lengths...) {
		n, err := reply.AsInt64()
		if err != nil {
			w.conn.Close()
			return store.Idle, err
		}
		if n > 0 { // it came after the last look
			s.blockers.keep(w)
			return store.Pushed, nil
		}
	}
	defer s.blockers.keep(w)
	crashpoint.At(crashpoint.FetchWaiting)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-w.changed:
		time.Sleep(rand.N(herd))
		return store.Pushed, nil
	case <-timer.C:
	case <-ctx.Done():
	case <-s.closing:
	}
	return store.Polled, nil
}

func (p *blockers) watcher(ctx context.Context, client rueidis.Client) (*watcher, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.watchers); n > 0 {
		w := p.watchers[n-1]
		p.watchers = p.watchers[:n-1]
		return w, nil
	}
	if p.closed {
		return nil, store.ErrClosed
	}
	conn, _ := client.Dedicate()
	w := &watcher{conn, make(chan struct{}, 1)}
	// It is called with nothing when the connection ends, which is a change, too.
	conn.SetOnInvalidations(func([]rueidis.RedisMessage) {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replyWithin)
	defer cancel()
	if err := conn.Do(ctx, conn.B().ClientTracking().On().Build()).Error(); err != nil {
		conn.Close()
		return nil, err
	}
	return w, nil
}

// keep takes a watcher back. One whose connection ended fails at its next question.
func (p *blockers) keep(w *watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		w.conn.Close()
		return
	}
	p.watchers = append(p.watchers, w)
}
