package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Queues lists every queue that is known, by name.
func (s *Store) Queues(ctx context.Context) ([]store.Queue, error) {
	queues, err := s.queues(ctx)
	return queues, wrap("queues", err)
}

func (s *Store) queues(ctx context.Context) ([]store.Queue, error) {
	names, err := s.known(ctx)
	if err != nil {
		return nil, err
	}
	const each = 5
	requests := []*request{command("SMEMBERS", s.fleet("ebb:paused"))}
	for _, q := range names {
		requests = append(requests, command("LLEN", s.line(q)), command("LLEN", s.inbox(q)),
			command("LINDEX", s.inbox(q), "-1"), command("LINDEX", s.line(q), "-1"), command("HGETALL", s.books(q)))
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return nil, err
	}
	paused := texts(replies[0])
	queues := make([]store.Queue, 0, len(names))
	for i, q := range names {
		r := replies[1+each*i:]
		line, _ := r[0].AsInt64()
		inbox, _ := r[1].AsInt64()
		books, _ := r[4].AsStrMap()
		queue := store.Queue{Name: q, Waiting: line + inbox, Held: max(0, custody(books)), Paused: slices.Contains(paused, q)}
		if queue.Waiting == 0 && !queue.Paused && len(books) == 0 {
			continue // a process would serve it, and nothing has ever come
		}
		for _, next := range r[2:4] {
			if job, err := wire.Parse(text(next)); err == nil && queue.Oldest.IsZero() {
				queue.Oldest = job.EnqueuedAt
			}
		}
		queues = append(queues, queue)
	}
	return queues, nil
}

// custody is how many jobs of a queue are held, by its books: counting them would
// take a look at every process.
func custody(books map[string]string) int64 {
	b := readBooks("", books)
	return b.Custody()
}

func readBooks(queue string, fields map[string]string) store.Books {
	n := func(name string) int64 { n, _ := strconv.ParseInt(fields[name], 10, 64); return n }
	return store.Books{
		Queue:    queue,
		Accepted: n("accepted"), Done: n("done"), Discarded: n("discarded"), Expired: n("expired"),
		Deleted: n("deleted"), Trimmed: n("trimmed"), Moved: n("moved"),
		Fetched: n("fetched"), Retried: n("retried"), Buried: n("buried"), Requeued: n("requeued"), Rescued: n("rescued"),
		Scheduled: n("scheduled"), Retrying: n("retrying"), Dead: n("dead"),
	}
}

// Processes lists ebb's processes by their leases and Ruby's by their records.
func (s *Store) Processes(ctx context.Context) ([]store.Process, error) {
	processes, err := s.processes(ctx)
	return processes, wrap("processes", err)
}

func (s *Store) processes(ctx context.Context) ([]store.Process, error) {
	queues, err := s.known(ctx)
	if err != nil {
		return nil, err
	}
	leases, now, err := s.leases(ctx, queues, false, nil)
	if err != nil {
		return nil, err
	}
	replies, err := s.do(ctx, command("HGETALL", s.fleet("ebb:presence")), command("SMEMBERS", s.fleet("processes")))
	if err != nil {
		return nil, err
	}
	shown, _ := replies[0].AsStrMap()
	holds, err := s.holds(ctx, leases, queues)
	if err != nil {
		return nil, err
	}
	var processes []store.Process
	for id, ls := range leases {
		p := store.Process{Presence: store.Presence{ID: id}, Lang: "go", Holds: holds[id]}
		end := slices.MaxFunc(ls, func(a, b lease) int { return cmp.Compare(a.end, b.end) }).end
		p.Lapsed = end <= now
		if seen, ok := readPresence([]byte(shown[string(id)])); ok {
			p.Presence = seen.Presence
			// A lease that was cut short says nothing of the last beat.
			p.Beat = latest(epoch(strconv.FormatFloat(seen.At, 'f', 6, 64)), time.UnixMilli(end-seen.TTL).UTC())
		}
		processes = append(processes, p)
	}
	ruby, err := s.rubyProcesses(ctx, texts(replies[1]), leases)
	processes = append(processes, ruby...)
	slices.SortFunc(processes, func(a, b store.Process) int { return cmp.Compare(a.ID, b.ID) })
	return processes, err
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// holds counts what each process holds.
func (s *Store) holds(ctx context.Context, leases map[store.Identity][]lease, queues []string) (map[store.Identity]int64, error) {
	var requests []*request
	ids := slices.Collect(maps.Keys(leases))
	for _, id := range ids {
		for _, q := range queues {
			requests = append(requests, command("HLEN", s.held(q, id)))
		}
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return nil, err
	}
	holds := map[store.Identity]int64{}
	for i := range replies {
		n, _ := replies[i].AsInt64()
		holds[ids[i/len(queues)]] += n
	}
	return holds, nil
}

// rubyProcesses reads the processes among ids that are not ebb's and live.
func (s *Store) rubyProcesses(ctx context.Context, ids []string, ours map[store.Identity][]lease) (processes []store.Process, err error) {
	ids = slices.DeleteFunc(ids, func(id string) bool { return ours[store.Identity(id)] != nil })
	var requests []*request
	for _, id := range ids {
		record := s.fleet(id)
		requests = append(requests, command("HGETALL", record), command("HGETALL", record+":work"), command("HGETALL", record+":workers"))
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if p, ok := readRuby(store.Identity(id), replies[3*i], replies[3*i+1], replies[3*i+2]); ok {
			processes = append(processes, p)
		}
	}
	return processes, nil
}

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
	ids := slices.Collect(maps.Keys(leases))
	requests := []*request{command("GET", s.fleet("stat:processed")), command("GET", s.fleet("stat:failed"))}
	for _, place := range []store.Place{store.Scheduled, store.Retrying, store.Dead} {
		if !s.cluster {
			requests = append(requests, command("ZCARD", s.set(place, "")))
		}
	}
	totals := len(requests)
	for _, q := range queues {
		requests = append(requests, command("HGETALL", s.books(q)), command("LLEN", s.line(q)), command("LLEN", s.inbox(q)))
		for _, id := range ids {
			requests = append(requests, command("HLEN", s.held(q, id)))
		}
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return st, err
	}
	for i, total := range []*int64{&st.Processed, &st.Failed, &st.Scheduled, &st.Retrying, &st.Dead}[:totals] {
		*total, _ = replies[i].AsInt64()
	}
	replies = replies[totals:]
	others := st.Processed // jobs that others have run, once ours are taken off
	for _, q := range queues {
		fields, _ := replies[0].AsStrMap()
		b := readBooks(q, fields)
		for _, r := range replies[1:3] {
			n, _ := r.AsInt64()
			b.Waiting += n
		}
		replies = replies[3:]
		for range ids {
			n, _ := replies[0].AsInt64()
			b.Held += n
			replies = replies[1:]
		}
		st.Ready += b.Waiting
		st.Held += b.Held
		// Beats carry these over to Sidekiq's counters; in a cluster nobody does.
		count := func(name string) int64 { n, _ := strconv.ParseInt(fields[name], 10, 64); return n }
		st.Processed += b.Done + b.Discarded + count("ended") - count("tallied")
		others -= count("tallied")
		st.Failed += count("failed") - count("tallied-failed")
		if s.cluster {
			st.Scheduled += b.Scheduled
			st.Retrying += b.Retrying
			st.Dead += b.Dead
		} else {
			b.Shared = s.sharedBooks(&b)
		}
		st.Books = append(st.Books, b)
	}
	if !s.cluster && others > 0 {
		// Which queues Ruby took them from is not known any more.
		for i := range st.Books {
			b := &st.Books[i]
			b.Shared = b.Shared || b.Arrivals() != 0
		}
	}
	return st, nil
}

// sharedBooks tells whether others bring jobs into b's queue: more has come out than
// was accepted, or been promoted than was scheduled.
func (s *Store) sharedBooks(b *store.Books) bool {
	shared := b.Arrivals() < 0
	for _, n := range []*int64{&b.Scheduled, &b.Retrying, &b.Dead} {
		if *n < 0 {
			*n, shared = 0, true
		}
	}
	return shared
}

// Stops walks stop reports, newest first.
func (s *Store) Stops(ctx context.Context) iter.Seq2[store.StopReport, error] {
	return func(yield func(store.StopReport, error) bool) {
		reply, err := s.one(ctx, command("ZREVRANGE", s.fleet("ebb:stops"), "0", "-1"))
		if err != nil {
			yield(store.StopReport{}, wrap("stops", err))
			return
		}
		for ids := range slices.Chunk(texts(reply), pageSize) {
			requests := make([]*request, len(ids))
			for i, id := range ids {
				requests[i] = command("LRANGE", s.fleet("ebb:stop:"+id), "0", "-1")
			}
			replies, err := s.do(ctx, requests...)
			if err != nil {
				yield(store.StopReport{}, wrap("stops", err))
				return
			}
			for i := range ids {
				if parts := readStops(texts(replies[i])); len(parts) > 0 && !yield(store.MergeStops(parts), nil) {
					return
				}
			}
		}
	}
}

func readStops(list []string) (parts []store.StopReport) {
	for _, text := range list {
		var r store.StopReport
		if json.Unmarshal([]byte(text), &r) == nil {
			parts = append(parts, r)
		}
	}
	return parts
}

// Pause stops a queue from being fetched from, or lets it go on.
func (s *Store) Pause(ctx context.Context, queue string, paused bool) error {
	change := "SREM"
	if paused {
		change = "SADD"
	}
	_, err := s.do(ctx,
		&request{script: pauseScript, keys: []string{s.books(queue)}, args: []string{flag(paused)}},
		command(change, s.fleet("ebb:paused"), queue), command("SADD", s.fleet("ebb:queues"), queue))
	return wrap("pause", err)
}

// signals are Ruby's words for what ebb orders; it has none for the others.
var signals = map[store.Verb]string{store.Quiet: "TSTP", store.Stop: "TERM", store.Dump: "TTIN"}

// Command leaves an order for a process.
func (s *Store) Command(ctx context.Context, id store.Identity, c store.Command) error {
	return wrap("command", s.command(ctx, id, c))
}

func (s *Store) command(ctx context.Context, id store.Identity, c store.Command) error {
	replies, err := s.do(ctx, command("HEXISTS", s.fleet("ebb:presence"), string(id)),
		command("SISMEMBER", s.fleet("processes"), string(id)), command("EXISTS", s.fleet(string(id))))
	if err != nil {
		return err
	}
	var found [3]bool
	for i := range replies {
		n, _ := replies[i].AsInt64()
		found[i] = n == 1
	}
	ours, listed, alive := found[0], found[1], found[2]
	switch {
	case ours && listed:
		// A nonce tells two of the same apart, so that each is removed once.
		text, err := json.Marshal(struct {
			store.Command
			Nonce store.Identity `json:"n"`
		}{c, store.NewIdentity()})
		if err != nil {
			return err
		}
		key := s.fleet("ebb:commands:" + string(id))
		_, err = s.do(ctx, command("RPUSH", key, string(text)), command("EXPIRE", key, "86400"))
		return err
	case listed && alive:
		signal, ok := signals[c.Verb]
		if !ok {
			return fmt.Errorf("%s is Ruby's and does not know %q", id, strings.TrimSpace(string(c.Verb)))
		}
		key := s.fleet(string(id)) + "-signals"
		_, err = s.do(ctx, command("LPUSH", key, signal), command("EXPIRE", key, "60"))
		return err
	}
	return fmt.Errorf("%s: %w", id, store.ErrUnknownProcess)
}
