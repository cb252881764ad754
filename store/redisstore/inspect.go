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
		p := store.Process{Presence: store.Presence{ID: id, Host: id.Host(), PID: id.PID()}, Lang: "go", Holds: holds[id]}
		end := slices.MaxFunc(ls, func(a, b lease) int { return cmp.Compare(a.end, b.end) }).end
		p.Lapsed = end <= now
		if seen, ok := readPresence([]byte(shown[string(id)])); ok {
			p.Presence, p.Lang = seen.Presence, cmp.Or(seen.Lang, p.Lang)
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

// holds counts what each process holds. Queues are many and so are processes: it looks
// where the books of a queue have anything held, first with those who say that they
// serve it, and with the others only if that is not all.
func (s *Store) holds(ctx context.Context, leases map[store.Identity][]lease, queues []string) (map[store.Identity]int64, error) {
	missing, err := s.heldFrom(ctx, queues) // and not found yet
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(leases))
	serving, err := s.serving(ctx, queues, ids)
	if err != nil {
		return nil, err
	}
	holds := map[store.Identity]int64{}
	count := func(holders func(queue string) []store.Identity) error {
		var asked []store.Identity
		var of []string
		var requests []*request
		for q := range missing {
			for _, id := range holders(q) {
				asked, of, requests = append(asked, id), append(of, q), append(requests, command("HLEN", s.held(q, id)))
			}
		}
		replies, err := s.do(ctx, requests...)
		for i := range replies {
			n, _ := replies[i].AsInt64()
			holds[asked[i]] += n
			missing[of[i]] -= n
		}
		return err
	}
	if err := count(func(q string) []store.Identity { return serving[q] }); err != nil {
		return nil, err
	}
	maps.DeleteFunc(missing, func(_ string, n int64) bool { return n == 0 })
	return holds, count(func(q string) []store.Identity {
		return slices.DeleteFunc(slices.Clone(ids), func(id store.Identity) bool { return slices.Contains(serving[q], id) })
	})
}

// heldFrom returns how much is held of each of queues, by their books; nothing of those
// of which nothing is.
func (s *Store) heldFrom(ctx context.Context, queues []string) (map[string]int64, error) {
	requests := make([]*request, len(queues))
	for i, q := range queues {
		requests[i] = command("HGETALL", s.books(q))
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return nil, err
	}
	held := map[string]int64{}
	for i, q := range queues {
		books, _ := replies[i].AsStrMap()
		if n := custody(books); n != 0 {
			held[q] = n
		}
	}
	return held, nil
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
	replies, err := s.do(ctx, command("HGET", s.fleet("ebb:presence"), string(id)),
		command("SISMEMBER", s.fleet("processes"), string(id)), command("EXISTS", s.fleet(string(id))))
	if err != nil {
		return err
	}
	shown, ours := readPresence(text(replies[0]))
	ours = ours && shown.Lang == "" // Ruby takes Ruby's signals, whoever keeps its jobs
	var found [2]bool
	for i := range found {
		n, _ := replies[1+i].AsInt64()
		found[i] = n == 1
	}
	listed, alive := found[0], found[1]
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
		requests := []*request{command("RPUSH", key, string(text)), command("EXPIRE", key, "86400")}
		if !s.cluster {
			requests = append(requests, ring(id)) // the next beat would do, too
		}
		_, err = s.do(ctx, requests...)
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
