package memstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// page is how many entries Jobs looks at under one lock.
const page = 100

// Queues lists every queue that is known.
func (s *Store) Queues(ctx context.Context) ([]store.Queue, error) {
	if err := s.enter(ctx, 0); err != nil {
		return nil, wrap("queues", err)
	}
	defer s.mu.Unlock()
	var queues []store.Queue
	for _, name := range slices.Sorted(maps.Keys(s.ready)) {
		b := s.book(name)
		q := store.Queue{Name: name, Waiting: b.Waiting, Held: b.Held, Paused: s.paused[name]}
		if l := *s.ready[name]; len(l) > 0 {
			q.Oldest = l[0].at
		}
		queues = append(queues, q)
	}
	return queues, nil
}

// Processes lists living processes and those whose end nobody has handled yet.
func (s *Store) Processes(ctx context.Context) ([]store.Process, error) {
	if err := s.enter(ctx, 0); err != nil {
		return nil, wrap("processes", err)
	}
	defer s.mu.Unlock()
	var processes []store.Process
	for _, id := range slices.Sorted(maps.Keys(s.processes)) {
		p := s.processes[id]
		processes = append(processes, store.Process{
			Presence: forPeople(p.Presence),
			Lang:     "go",
			Beat:     p.beat,
			Lapsed:   !s.clock().Before(p.until),
			Holds:    int64(len(s.allHeldBy(id))),
		})
	}
	return processes, nil
}

// Jobs walks a place in its order, a page under each lock.
func (s *Store) Jobs(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		var after *job
		skip := q.Skip
		for n := 0; ; {
			entries, last, err := s.page(ctx, q, after)
			if err != nil {
				yield(store.Entry{}, wrap("jobs", err))
				return
			}
			for _, e := range entries {
				if before(q, e.At) {
					continue
				}
				if skip > 0 {
					skip--
					continue
				}
				if !yield(e, nil) {
					return
				}
				if n++; n == q.Limit {
					return
				}
			}
			if last == nil {
				return
			}
			after = last
		}
	}
}

// page returns what q asks for among the next jobs after one that was seen, and the
// last job that it looked at, as it was; nil at the end.
func (s *Store) page(ctx context.Context, q store.Query, after *job) ([]store.Entry, *job, error) {
	if q.Place < store.Ready || q.Place > store.Dead {
		return nil, nil, fmt.Errorf("there is no %v", q.Place)
	}
	if q.Place == store.Ready && q.Queue == "" {
		return nil, nil, errors.New("name the queue to walk")
	}
	if err := s.enter(ctx, 0); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	var l line
	if q.Place != store.Ready {
		l = s.sets[q.Place]
	} else if s.ready[q.Queue] != nil {
		l = *s.ready[q.Queue]
	}
	l = next(l, after, q.Newest)
	if len(l) == 0 {
		return nil, nil, nil
	}
	var entries []store.Entry
	for _, j := range l {
		if q.Queue != "" && j.queue != q.Queue || q.JID != "" && j.jid != q.JID ||
			q.Key != "" && q.Place == store.Keeping && j.fetch.By != q.Key {
			continue
		}
		e := store.Entry{Key: key(j), Place: j.place, Queue: j.queue, Payload: bytes.Clone(j.payload), Holder: j.fetch.By}
		if j.place != store.Ready && j.place != store.Keeping {
			e.At = j.at
		}
		entries = append(entries, e)
	}
	return entries, new(*l[len(l)-1]), nil
}

// next is the page of l after a job that was seen, or the first; where newest is
// set, l is read from its end.
func next(l line, after *job, newest bool) line {
	if newest {
		end := len(l)
		if after != nil {
			end, _ = slices.BinarySearchFunc(l, after, order)
		}
		l = slices.Clone(l[max(0, end-page):end])
		slices.Reverse(l)
		return l
	}
	if after != nil {
		i, found := slices.BinarySearchFunc(l, after, order)
		if found {
			i++
		}
		l = l[i:]
	}
	return l[:min(len(l), page)]
}

// Stats returns totals and the books of every queue.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	if err := s.enter(ctx, 0); err != nil {
		return store.Stats{}, wrap("stats", err)
	}
	defer s.mu.Unlock()
	st := store.Stats{
		Processed: s.processed,
		Failed:    s.failed,
		Held:      int64(len(s.sets[store.Keeping])),
		Scheduled: int64(len(s.sets[store.Scheduled])),
		Retrying:  int64(len(s.sets[store.Retrying])),
		Dead:      int64(len(s.sets[store.Dead])),
	}
	for _, queue := range slices.Sorted(maps.Keys(s.books)) {
		st.Books = append(st.Books, *s.books[queue])
		st.Ready += s.books[queue].Waiting
	}
	return st, nil
}

// Stops walks stop reports, newest first.
func (s *Store) Stops(ctx context.Context) iter.Seq2[store.StopReport, error] {
	return func(yield func(store.StopReport, error) bool) {
		if err := s.enter(ctx, 0); err != nil {
			yield(store.StopReport{}, wrap("stops", err))
			return
		}
		stops := slices.Clone(s.stops)
		s.mu.Unlock()
		for _, st := range slices.Backward(stops) {
			if !yield(store.MergeStops(st.parts), nil) {
				return
			}
		}
	}
}

// Move takes jobs by hand to another place.
func (s *Store) Move(ctx context.Context, u store.Undoable, to store.Place, picks ...store.Pick) (int, error) {
	if to == store.Keeping || to < store.Ready || to > store.Dead {
		return 0, wrap("move", fmt.Errorf("no job is put into %v by hand", to))
	}
	moved, err := s.byHand(ctx, u, picks, func(j *job, p store.Pick) {
		now := s.clock()
		if p.Payload != nil {
			j.payload = bytes.Clone(p.Payload)
		}
		s.rehome(j, p.Queue)
		switch {
		case to == store.Ready && p.Front:
			j.payload = wire.Stamp(j.payload, j.queue, now)
			s.putFront(j, now)
		case to == store.Ready:
			j.payload = wire.Stamp(j.payload, j.queue, now)
			s.putBack(j)
		default:
			at := p.At
			if at.IsZero() {
				at = now.Add(p.Delay)
			}
			s.putSet(j, to, at)
		}
	})
	return moved, wrap("move", err)
}

// Delete forgets jobs by hand.
func (s *Store) Delete(ctx context.Context, u store.Undoable, picks ...store.Pick) (int, error) {
	deleted, err := s.byHand(ctx, u, picks, func(j *job, _ store.Pick) { s.book(j.queue).Deleted++ })
	return deleted, wrap("delete", err)
}

// byHand lifts what is still where it was found, unless it is held.
func (s *Store) byHand(ctx context.Context, u store.Undoable, picks []store.Pick, then func(*job, store.Pick)) (int, error) {
	if err := s.enter(ctx, len(picks)); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	if len(picks) == 0 {
		return 0, nil
	}
	s.forget()
	var steps []step
	for _, p := range picks {
		if j := s.find(string(p.Key)); j != nil && j.place != store.Keeping {
			was := *j
			s.lift(j)
			then(j, p)
			steps = append(steps, step{j, was, j.version})
		}
	}
	s.keep(u, steps)
	return len(steps), nil
}

// Pause stops a queue from being fetched from, or lets it go on.
func (s *Store) Pause(ctx context.Context, queue string, paused bool) error {
	if err := s.enter(ctx, 0); err != nil {
		return wrap("pause", err)
	}
	defer s.mu.Unlock()
	s.line(store.Ready, queue) // known from now on
	if paused {
		s.paused[queue] = true
		return nil
	}
	delete(s.paused, queue)
	s.wakeAll()
	return nil
}

// Command leaves an order for a process.
func (s *Store) Command(ctx context.Context, id store.Identity, c store.Command) error {
	if err := s.enter(ctx, 0); err != nil {
		return wrap("command", err)
	}
	defer s.mu.Unlock()
	p := s.processes[id]
	if p == nil || p.left {
		return wrap("command", fmt.Errorf("%s: %w", id, store.ErrUnknownProcess))
	}
	p.commands = append(p.commands, c)
	return nil
}
