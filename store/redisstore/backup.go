package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Backup writes all that ebb and Sidekiq keep on the server as of one moment: a
// transaction reads it in one go. The server does nothing else meanwhile, for a tenth of
// a second with 100,000 jobs of 300 bytes, for a whole one with 1,000,000; and it has
// the answer in memory until that is sent, as much again as the jobs take. Where it has
// a limit which that would pass, Backup refuses. The records of processes are left out,
// Ruby's and ours, and so is whatever else shares the database.
//
// A cluster has no such moment.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	return wrap("backup", s.backup(ctx, w))
}

var errNoMoment = store.WithHint(errors.New("the servers of a cluster cannot be copied at one moment"), "back up the RDB file of each node: redis-cli --rdb")

func (s *Store) backup(ctx context.Context, w io.Writer) error {
	if s.cluster {
		return errNoMoment
	}
	for range 3 {
		in, err := s.inventory(ctx)
		if err != nil {
			return err
		}
		if err := s.roomFor(ctx, in); err != nil {
			return err
		}
		if complete, err := s.snapshot(ctx, w, in); complete || err != nil {
			return err
		}
	}
	return errors.New("each time it began, a process or a queue had just come")
}

// inventory is what of the server's keys is ours.
type inventory struct {
	types  map[string]string // by name, as TYPE has them
	ids    []string          // of processes that may hold jobs
	queues []string
}

const staging = "ebb:restoring:"

// named are the keys that have a part in many moves, and so are read even if they were
// not there a moment before.
var named = map[string]string{
	"queues": "set", "schedule": "zset", "retry": "zset", "dead": "zset", "stat:processed": "string", "stat:failed": "string",
	"ebb:queues": "set", "ebb:paused": "set", "ebb:strays": "hash", "ebb:holders": "zset", "ebb:presence": "hash",
	"ebb:stops": "zset", "ebb:change": "hash", "ebb:changes": "zset", "ebb:changes:recorded": "zset",
}

var statKey = regexp.MustCompile(`^stat:(processed|failed)(:\d{4}-\d\d-\d\d)?$`)

// ours tells whether a key of that name and type belongs into a backup.
func ours(name, kind string) bool {
	switch {
	case strings.HasPrefix(name, staging), name == "ebb:promoter", name == "ebb:auditor", name == "ebb:doorbells":
		return false
	case strings.HasPrefix(name, "queue:"):
		return kind == "list"
	case strings.HasPrefix(name, "stat:"):
		return statKey.MatchString(name)
	}
	return kind != "none"
}

// inventory looks for keys a page at a time. One that comes meanwhile can be found by
// the processes and the queues that the server lists, if there is a job in it.
func (s *Store) inventory(ctx context.Context) (in inventory, err error) {
	var names []string
	for _, pattern := range []string{"ebb:*", "queue:*", "stat:*"} {
		found, err := s.scan(ctx, pattern)
		if err != nil {
			return in, err
		}
		names = append(names, found...)
	}
	in.types = maps.Clone(named)
	for page := range slices.Chunk(names, window) {
		requests := make([]*request, len(page))
		for i, name := range page {
			requests[i] = command("TYPE", name)
		}
		replies, err := s.do(ctx, requests...)
		if err != nil {
			return in, err
		}
		for i, name := range page {
			if kind, _ := replies[i].ToString(); ours(name, kind) {
				in.types[name] = kind
			}
		}
	}
	if in.queues, err = s.known(ctx); err != nil {
		return in, err
	}
	reply, err := s.one(ctx, command("ZRANGE", s.holders(""), "0", "-1"))
	in.ids = texts(reply)
	for _, q := range in.queues {
		in.types[s.line(q)], in.types[s.inbox(q)], in.types[s.books(q)] = "list", "list", "hash"
		for _, id := range in.ids {
			in.types[s.held(q, store.Identity(id))] = "hash"
		}
	}
	return in, err
}

func (s *Store) scan(ctx context.Context, pattern string) (names []string, err error) {
	for cursor := "0"; ; {
		reply, err := s.one(ctx, &request{args: []string{"SCAN", cursor, "MATCH", pattern, "COUNT", strconv.Itoa(window)}})
		if err != nil {
			return nil, err
		}
		page, err := reply.AsScanEntry()
		if err != nil {
			return nil, err
		}
		names = append(names, page.Elements...)
		if cursor = strconv.FormatUint(page.Cursor, 10); cursor == "0" {
			slices.Sort(names)
			return slices.Compact(names), nil
		}
	}
}

// roomFor refuses a backup whose answer would take the server beyond its limit: it
// would refuse jobs until that is sent.
func (s *Store) roomFor(ctx context.Context, in inventory) error {
	info := s.info(ctx)
	limit, _ := strconv.ParseInt(info["maxmemory"], 10, 64)
	used, _ := strconv.ParseInt(info["used_memory"], 10, 64)
	if limit == 0 {
		return nil
	}
	var need int64
	for page := range slices.Chunk(slices.Collect(maps.Keys(in.types)), window) {
		requests := make([]*request, len(page))
		for i, name := range page {
			requests[i] = &request{args: []string{"MEMORY", "USAGE", name}}
		}
		replies, err := s.do(ctx, requests...)
		if err != nil {
			return nil // an ACL may hide it
		}
		for i := range replies {
			n, _ := replies[i].AsInt64()
			need += n
		}
	}
	if used+need > limit {
		return store.WithHint(fmt.Errorf("%w: the server would need %d MB more until the backup is sent", store.ErrFull, (used+need-limit)>>20+1),
			"give it more maxmemory for the while, or take its own copy: redis-cli --rdb FILE")
	}
	return nil
}

// reads are the commands that read whole keys, by type, and the letters of types in a
// backup.
var reads = map[string]struct {
	letter  byte
	command []string
	after   []string
}{
	"string": {'k', []string{"GET"}, nil},
	"list":   {'l', []string{"LRANGE"}, []string{"0", "-1"}},
	"set":    {'s', []string{"SMEMBERS"}, nil},
	"zset":   {'z', []string{"ZRANGE"}, []string{"0", "-1", "WITHSCORES"}},
	"hash":   {'h', []string{"HGETALL"}, nil},
}

// snapshot reads all keys in one transaction and writes them as they come. complete
// is false, and nothing is written, if there are processes or queues by then that the
// inventory lacks.
func (s *Store) snapshot(ctx context.Context, w io.Writer, in inventory) (complete bool, err error) {
	st, stop, err := s.stream(ctx)
	if err != nil {
		return false, s.explain(ctx, err)
	}
	defer stop()
	names := slices.Sorted(maps.Keys(in.types))
	st.send("MULTI")
	st.send("TIME")
	st.send("ZRANGE", s.holders(""), "0", "-1")
	st.send("SMEMBERS", "queues")
	st.send("SMEMBERS", "ebb:queues")
	for _, name := range names {
		read, ok := reads[in.types[name]]
		if !ok {
			return false, fmt.Errorf("%s is a %s, which no ebb has made", name, in.types[name])
		}
		st.send("PTTL", name)
		st.send(slices.Concat(read.command, []string{name}, read.after)...)
	}
	st.send("EXEC")
	if err := st.skip(1 + 4 + 2*len(names)); err != nil {
		return false, s.explain(ctx, err)
	}
	if _, _, err := st.reply(); err != nil {
		return false, s.explain(ctx, err)
	}
	var lists [4][]string
	for i := range lists {
		if lists[i], err = st.texts(); err != nil {
			return false, s.explain(ctx, err)
		}
	}
	now, err := strconv.ParseInt(lists[0][0], 10, 64)
	if err != nil || !within(lists[1], in.ids) || !within(lists[2], in.queues) || !within(lists[3], in.queues) {
		return false, err
	}
	a, err := newArchiveWriter(w, time.Unix(now, 0).UTC())
	if err != nil {
		return false, err
	}
	micros, _ := strconv.ParseInt(lists[0][1], 10, 64)
	for _, name := range names {
		if err := s.ended(ctx); err != nil {
			return false, err
		}
		err := st.copyKey(a, reads[in.types[name]].letter, name, now*1000+micros/1000)
		if _, failed := a.Write(nil); failed != nil {
			return false, failed // the disk, not the server
		}
		if err != nil {
			return false, s.explain(ctx, err)
		}
	}
	return true, a.close()
}

// within tells whether all of list are among others.
func within(list, others []string) bool {
	return !slices.ContainsFunc(list, func(text string) bool { return !slices.Contains(others, text) })
}

// copyKey writes what the transaction read of one key, if it was there. now is when, in
// ms.
func (st *stream) copyKey(a *archiveWriter, letter byte, name string, now int64) error {
	_, ttl, err := st.reply()
	if err != nil {
		return err
	}
	kind, n, err := st.reply()
	if err != nil || n < 0 || kind == '*' && n == 0 {
		return err
	}
	expires := int64(0)
	if ttl >= 0 {
		expires = now + ttl
	}
	a.key(letter, name, expires)
	if kind == '$' {
		a.element(n)
		if err := st.copyText(a, n); err != nil {
			return err
		}
		return a.endKey()
	}
	for range n {
		_, size, err := st.reply()
		if err != nil {
			return err
		}
		a.element(size)
		if err := st.copyText(a, size); err != nil {
			return err
		}
	}
	return a.endKey()
}
