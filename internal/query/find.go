package query

import (
	"context"
	"iter"
	"slices"

	"github.com/ebbjobs/ebb/store"
)

// Search says how to look for jobs.
type Search struct {
	// Newest begins at the other end of each place: the latest first.
	Newest bool
	// Looked, if not nil, is told from time to time how many jobs were looked at, of
	// about how many; 0: nobody knows.
	Looked func(n, of int64)
}

const (
	// A store asked for one jid looks it up, or through a whole place. So many jids at
	// most are asked for one by one.
	fewJIDs     = 4
	lookedEvery = 1000
)

// Find yields the jobs that q matches: those that run, then each queue from its
// front, then the sets by time. Jobs that move meanwhile may be missed or seen
// twice. An error ends it.
func (q *Query) Find(ctx context.Context, st store.Inspector, s Search) iter.Seq2[store.Entry, error] {
	return q.Scan(ctx, st, s, &Position{})
}

// informed returns q with what only the store can tell it.
func (q *Query) informed(ctx context.Context, st store.Inspector) (*Query, error) {
	asks := false
	for _, t := range q.terms {
		_, ok := t.condition.(*versionIs)
		asks = asks || ok
	}
	if !asks {
		return q, nil
	}
	m := &Query{terms: q.terms, releases: map[string]string{}, seen: q.seen}
	for stop, err := range st.Stops(ctx) {
		if err != nil {
			return nil, err
		}
		m.releases[string(stop.ID)] = stop.Release
	}
	processes, err := st.Processes(ctx)
	for _, p := range processes {
		m.releases[string(p.ID)] = p.Release
	}
	return m, err
}

// Walks are what a store is asked for so that it yields all that q can match, and
// little else.
func (q *Query) Walks(ctx context.Context, st store.Inspector) ([]store.Query, error) {
	jids := q.wholeJIDs()
	var walks []store.Query
	add := func(w store.Query) {
		if len(jids) == 0 {
			walks = append(walks, w)
		}
		for _, w.JID = range jids {
			walks = append(walks, w)
		}
	}
	for _, place := range q.Places() {
		if place != store.Ready {
			add(store.Query{Place: place, Queue: q.onlyQueue()})
			continue
		}
		if name := q.onlyQueue(); name != "" {
			add(store.Query{Place: place, Queue: name})
			continue
		}
		queues, err := st.Queues(ctx)
		if err != nil {
			return nil, err
		}
		for _, queue := range queues {
			if q.admits(queue.Name) {
				add(store.Query{Place: place, Queue: queue.Name})
			}
		}
	}
	return walks, nil
}

// wholeJIDs are the jids of which a match has one, if they are few and whole.
func (q *Query) wholeJIDs() []string {
	for _, t := range q.terms {
		if c, ok := t.condition.(*jidIs); ok && !t.not && len(c.tails) == 0 && len(c.anyOf) <= fewJIDs {
			var jids []string
			for jid := range c.whole {
				if jid == "" {
					return nil // no job has an empty one, and a store asked for none gives all
				}
				jids = append(jids, jid)
			}
			slices.Sort(jids) // a search that goes on looks for them in the same order
			return jids
		}
	}
	return nil
}

// onlyQueue is the queue that every match is in, or "".
func (q *Query) onlyQueue() string {
	for _, t := range q.terms {
		if c, ok := t.condition.(*queueIs); ok && !t.not && len(c.anyOf) == 1 && c.anyOf[0].whole() {
			return c.anyOf[0].text
		}
	}
	return ""
}

// admits reports whether a match may be in that queue.
func (q *Query) admits(queue string) bool {
	for _, t := range q.terms {
		if c, ok := t.condition.(*queueIs); ok && c.match(queue) == t.not {
			return false
		}
	}
	return true
}

// Count returns how many jobs q matches if a store can tell without a walk: if it
// asks for states, and for one queue at most. ok is false else.
func (q *Query) Count(ctx context.Context, st store.Inspector) (n int64, ok bool, err error) {
	queues := 0
	for _, t := range q.terms {
		switch t.condition.(type) {
		case *stateIs:
		case *queueIs:
			if queues++; queues > 1 || q.onlyQueue() == "" {
				return 0, false, nil
			}
		default:
			return 0, false, nil
		}
	}
	walks, err := q.Walks(ctx, st)
	if err == nil {
		n, err = q.size(ctx, st, walks)
	}
	return n, err == nil, err
}

// size is about how many jobs the walks come by, 0 if the store is asked for less
// than all of a place.
func (q *Query) size(ctx context.Context, st store.Inspector, walks []store.Query) (int64, error) {
	sizes, err := q.sizes(ctx, st, walks)
	sum := int64(0)
	for i, w := range walks {
		if err != nil || w.JID != "" {
			return 0, err
		}
		sum += sizes[i]
	}
	return sum, err
}

// sizes is about how many jobs there are where each walk goes.
func (q *Query) sizes(ctx context.Context, st store.Inspector, walks []store.Query) ([]int64, error) {
	stats, err := st.Stats(ctx)
	if err != nil {
		return nil, err
	}
	books := make(map[string]store.Books, len(stats.Books))
	for _, b := range stats.Books {
		books[b.Queue] = b
	}
	sizes := make([]int64, len(walks))
	for i, w := range walks {
		b := books[w.Queue]
		if w.Queue == "" {
			b = store.Books{Scheduled: stats.Scheduled, Retrying: stats.Retrying, Held: stats.Held, Dead: stats.Dead}
		}
		switch w.Place {
		case store.Ready:
			sizes[i] = b.Waiting
		case store.Scheduled:
			sizes[i] = b.Scheduled
		case store.Retrying:
			sizes[i] = b.Retrying
		case store.Keeping:
			sizes[i] = b.Held
		case store.Dead:
			sizes[i] = b.Dead
		}
	}
	return sizes, nil
}
