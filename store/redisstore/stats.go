package redisstore

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/ebbjobs/ebb/store"
)

// Stats returns totals and the books of every queue.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	st, err := s.stats(ctx)
	return st, wrap("stats", err)
}

func (s *Store) stats(ctx context.Context) (st store.Stats, err error) {
	queues, err := s.known(ctx)
	if err != nil {
		return st, err
	}
	leases, _, err := s.leases(ctx, queues, false, nil)
	if err != nil {
		return st, err
	}
	books, err := s.allBooks(ctx, queues, leases)
	if err != nil {
		return st, err
	}
	requests := []*request{command("SMEMBERS", s.fleet("processes")), command("GET", s.fleet("stat:processed")), command("GET", s.fleet("stat:failed"))}
	for _, place := range []store.Place{store.Scheduled, store.Retrying, store.Dead} {
		if !s.cluster {
			requests = append(requests, command("ZCARD", s.set(place, "")))
		}
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return st, err
	}
	for i, total := range []*int64{&st.Processed, &st.Failed, &st.Scheduled, &st.Retrying, &st.Dead}[:len(requests)-1] {
		*total, _ = replies[1+i].AsInt64()
	}
	others := st.Processed // jobs that others have run, once ours are taken off
	for _, b := range books {
		st.Ready += b.Waiting
		st.Held += b.Held
		// Beats carry these over to Sidekiq's counters; in a cluster nobody does.
		st.Processed += b.field("done") + b.Discarded + b.field("ended") - b.field("tallied")
		others -= b.field("tallied")
		st.Failed += b.field("failed") - b.field("tallied-failed")
		if s.cluster {
			st.Scheduled += b.Scheduled
			st.Retrying += b.Retrying
			st.Dead += b.Dead
		} else {
			b.Shared = sharedBooks(&b.Books)
		}
		st.Books = append(st.Books, b.Books)
	}
	if s.cluster {
		return st, nil
	}
	ruby, err := s.rubyQueues(ctx, texts(replies[0]), leases)
	for i := range st.Books {
		b := &st.Books[i]
		// Which queues Ruby has taken jobs from is not known once it is gone.
		b.Shared = b.Shared || ruby[b.Queue] || others > 0 && b.Arrivals() != 0
	}
	return st, err
}

// sharedBooks tells whether others bring jobs into b's queue: more has come out than
// was accepted, or been promoted than was scheduled.
func sharedBooks(b *store.Books) bool {
	shared := b.Arrivals() < 0
	for _, n := range []*int64{&b.Scheduled, &b.Retrying, &b.Dead} {
		if *n < 0 {
			*n, shared = 0, true
		}
	}
	return shared
}

// rubyQueues are the queues that Ruby's living processes take from.
func (s *Store) rubyQueues(ctx context.Context, ids []string, ours map[store.Identity][]lease) (map[string]bool, error) {
	processes, err := s.rubyProcesses(ctx, ids, ours)
	queues := map[string]bool{}
	for _, p := range processes {
		for _, g := range p.Groups {
			for _, q := range g.Queues {
				queues[q.Queue] = true
			}
		}
	}
	return queues, err
}

// counted are the books of a queue, with the fields that only this package reads.
type counted struct {
	store.Books
	fields map[string]string
}

func (c counted) field(name string) int64 {
	text, ok := c.fields[name]
	if !ok {
		return 0 // as most are of most queues
	}
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// readBooks reads the fields of a queue's books. What a Sidekiq with ebb's fetch is done
// with is counted apart, as ruby: Sidekiq adds that to its own counters by itself.
func readBooks(queue string, fields map[string]string) counted {
	c := counted{fields: fields}
	c.Books = store.Books{
		Queue:    queue,
		Accepted: c.field("accepted"), Done: c.field("done") + c.field("ruby"), Discarded: c.field("discarded"), Expired: c.field("expired"),
		Deleted: c.field("deleted"), Trimmed: c.field("trimmed"), Moved: c.field("moved"),
		Fetched: c.field("fetched"), Retried: c.field("retried"), Buried: c.field("buried"), Requeued: c.field("requeued"), Rescued: c.field("rescued"),
		Scheduled: c.field("scheduled"), Retrying: c.field("retrying"), Dead: c.field("dead"),
	}
	return c
}

// custody is how many jobs of a queue are held, by its books: counting them would
// take a look at every process.
func custody(books map[string]string) int64 { return readBooks("", books).Custody() }

// allBooks reads the books of queues, and counts what those processes hold that say
// that they serve them. Only where that is not all which the books have held, it asks
// of every process.
func (s *Store) allBooks(ctx context.Context, queues []string, leases map[store.Identity][]lease) ([]counted, error) {
	serving, err := s.serving(ctx, queues, slices.Sorted(maps.Keys(leases)))
	if err != nil {
		return nil, err
	}
	all, err := s.booksOf(ctx, queues, func(q string) []store.Identity { return serving[q] })
	if err != nil {
		return nil, err
	}
	var odd []string
	at := map[string]int{}
	for i, b := range all {
		if b.Custody() != 0 {
			odd = append(odd, b.Queue)
			at[b.Queue] = i
		}
	}
	if len(odd) == 0 {
		return all, nil
	}
	if leases, _, err = s.leases(ctx, odd, false, nil); err != nil { // some may have come meanwhile
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(leases))
	again, err := s.booksOf(ctx, odd, func(string) []store.Identity { return ids })
	for _, b := range again {
		all[at[b.Queue]] = b
	}
	return all, err
}

// bookPage is how many queues one script reads on one server.
const bookPage = 100

// booksOf reads the books of queues, and counts what holders have of each: both as of
// one moment, so that a job on its way is not half counted.
func (s *Store) booksOf(ctx context.Context, queues []string, holders func(queue string) []store.Identity) (books []counted, err error) {
	size := bookPage
	if s.cluster {
		size = 1
	}
	var requests []*request
	for page := range slices.Chunk(queues, size) {
		r := &request{script: statsScript}
		for _, q := range page {
			ids := holders(q)
			r.keys = append(r.keys, s.books(q), s.line(q), s.inbox(q))
			for _, id := range ids {
				r.keys = append(r.keys, s.held(q, id))
			}
			r.args = append(r.args, strconv.Itoa(len(ids)))
		}
		requests = append(requests, r)
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return nil, err
	}
	for page := range slices.Chunk(queues, size) {
		answer, err := replies[0].ToArray()
		if err != nil {
			return nil, err
		}
		for i, q := range page {
			fields, err := answer[3*i].AsStrMap()
			if err != nil {
				return nil, err
			}
			b := readBooks(q, fields)
			b.Waiting, _ = answer[3*i+1].AsInt64()
			b.Held, _ = answer[3*i+2].AsInt64()
			books = append(books, b)
		}
		replies = replies[1:]
	}
	return books, nil
}

// serving tells which of ids serve each queue, as they say. One that has not said
// anything yet counts for every queue. What a boot says of that does not change, so
// each is asked once.
func (s *Store) serving(ctx context.Context, queues []string, ids []store.Identity) (map[string][]store.Identity, error) {
	s.mu.Lock()
	known := s.served
	s.mu.Unlock()
	said := make(map[store.Identity][]string, len(ids))
	var strangers []string
	for _, id := range ids {
		if of, ok := known[id]; ok {
			said[id] = of
		} else {
			strangers = append(strangers, string(id))
		}
	}
	if len(strangers) > 0 {
		reply, err := s.one(ctx, command("HMGET", s.fleet("ebb:presence"), strangers...))
		if err != nil {
			return nil, err
		}
		for i, text := range texts(reply) {
			if p, ok := readPresence([]byte(text)); ok {
				said[store.Identity(strangers[i])] = served(p.Presence)
			}
		}
	}
	s.mu.Lock()
	s.served = said // and no longer those who are gone
	s.mu.Unlock()
	serving := map[string][]store.Identity{}
	for _, id := range ids {
		of, ok := said[id]
		if !ok {
			of = queues
		}
		for _, q := range of {
			serving[q] = append(serving[q], id)
		}
	}
	return serving, nil
}

func served(p store.Presence) (queues []string) {
	for _, g := range p.Groups {
		for _, q := range g.Queues {
			if !slices.Contains(queues, q.Queue) {
				queues = append(queues, q.Queue)
			}
		}
	}
	return queues
}
