package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Restore reads a backup twice: once to see that it is whole, and then into keys of
// other names, which take the place of all that ebb and Sidekiq keep on the server in
// one script. Until then nothing has changed, and whoever is killed leaves only those
// keys, which the next Restore removes, or the server after a day. For that while the
// server keeps both, so it needs the room.
//
// Leases are restored as ended. What has expired since the backup was made is left out.
func (s *Store) Restore(ctx context.Context, r io.Reader, replace bool) error {
	return wrap("restore", s.restore(ctx, r, replace))
}

func (s *Store) restore(ctx context.Context, r io.Reader, replace bool) error {
	if s.cluster {
		return errNoMoment
	}
	backup, done, err := whole(r)
	if err != nil {
		return err
	}
	defer done()
	a, err := newArchiveReader(backup)
	if err != nil {
		return err
	}
	now, err := s.vacant(ctx, replace)
	if err != nil {
		return err
	}
	if err := s.unstage(ctx); err != nil {
		return err
	}
	staged, err := s.stage(ctx, a, now)
	if err == nil {
		err = s.swap(ctx, staged, replace)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replyWithin)
		defer cancel()
		s.unstage(ctx) // as far as it can; what is left is in nobody's way
	}
	return err
}

// vacant makes sure that nobody works on the store and that there is nothing to lose,
// and returns the time in ms.
func (s *Store) vacant(ctx context.Context, replace bool) (now int64, err error) {
	leases, now, err := s.leases(ctx, []string{""}, false, nil)
	if err != nil {
		return 0, err
	}
	for id, ls := range leases {
		if slices.ContainsFunc(ls, func(l lease) bool { return l.end > now }) {
			return 0, inUse(string(id))
		}
	}
	reply, err := s.one(ctx, command("SMEMBERS", "processes"))
	if err != nil {
		return 0, err
	}
	ruby, err := s.rubyProcesses(ctx, texts(reply), leases)
	if err != nil {
		return 0, err
	}
	for _, p := range ruby {
		return 0, inUse(string(p.ID))
	}
	st, err := s.stats(ctx)
	if jobs := st.Ready + st.Held + st.Scheduled + st.Retrying + st.Dead; err == nil && jobs > 0 && !replace {
		return 0, fmt.Errorf("%w: there are %d jobs", store.ErrNotEmpty, jobs)
	}
	return now, err
}

func inUse(who string) error {
	return store.WithHint(fmt.Errorf("%w: %s", store.ErrInUse, who), "stop it; one that is dead already is forgotten within a minute")
}

// unstage removes what a Restore that was cut short has left.
func (s *Store) unstage(ctx context.Context) error {
	names, err := s.scan(ctx, staging+"*")
	for page := range slices.Chunk(names, window) {
		if err == nil {
			_, err = s.do(ctx, command("UNLINK", page[0], page[1:]...))
		}
	}
	return err
}

// kept is a key in its place until the swap.
type kept struct {
	name    string
	expires int64 // in ms since 1970, or 0
}

// stage writes the keys of a backup under other names.
func (s *Store) stage(ctx context.Context, a *archiveReader, now int64) (staged []kept, err error) {
	for {
		letter, name, expires, err := a.key()
		if err == io.EOF {
			return staged, nil
		}
		if err != nil {
			return nil, err
		}
		past := expires != 0 && expires <= now
		if !past {
			staged = append(staged, kept{name, expires})
		}
		b := batch{s: s, letter: letter, key: staging + name}
		for {
			element, ok, err := a.element()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			if past {
				continue
			}
			if name == s.holders("") && len(b.args)%2 == 1 {
				if end, err := strconv.ParseFloat(element, 64); err == nil && int64(end) > now {
					element = strconv.FormatInt(now, 10)
				}
			}
			if err := b.add(ctx, element); err != nil {
				return nil, err
			}
		}
		if err := b.send(ctx); err != nil {
			return nil, err
		}
	}
}

// batch collects elements of one key.
type batch struct {
	s      *Store
	letter byte
	key    string
	args   []string
	bytes  int
}

func (b *batch) add(ctx context.Context, element string) error {
	b.args = append(b.args, element)
	b.bytes += len(element)
	if whole := len(b.args)%2 == 0; whole && (len(b.args) >= 2*window || b.bytes >= handfulBytes) {
		return b.send(ctx)
	}
	return nil
}

// writes are the commands that write keys, by their letters in a backup.
var writes = map[byte]string{'k': "SET", 'l': "RPUSH", 's': "SADD", 'z': "ZADD", 'h': "HSET"}

func (b *batch) send(ctx context.Context) error {
	if len(b.args) == 0 {
		return nil
	}
	verb, ok := writes[b.letter]
	if !ok {
		return store.WithHint(fmt.Errorf("%w: the backup has a key of the type %q", store.ErrTooNew, b.letter), "upgrade ebb")
	}
	if b.letter == 'z' { // read as member and score, written the other way round
		for i := 0; i+1 < len(b.args); i += 2 {
			b.args[i], b.args[i+1] = b.args[i+1], b.args[i]
		}
	}
	write := command(verb, b.key, b.args...)
	write.once = b.letter == 'l' // its elements would be there twice
	_, err := b.s.do(ctx, write, command("EXPIRE", b.key, strconv.Itoa(int((24*time.Hour).Seconds()))))
	if errors.Is(err, errMemory) {
		err = full(err)
	}
	b.args, b.bytes = b.args[:0], 0
	return err
}

// swap puts what is staged in the place of everything.
func (s *Store) swap(ctx context.Context, staged []kept, replace bool) error {
	in, err := s.inventory(ctx)
	if err != nil {
		return err
	}
	old := slices.Sorted(maps.Keys(in.types))
	jobs := []string{"schedule", "retry", "dead"}
	for _, q := range in.queues {
		jobs = append(jobs, s.line(q), s.inbox(q))
		for _, id := range in.ids {
			jobs = append(jobs, s.held(q, store.Identity(id)))
		}
	}
	r := &request{script: swapScript, once: true}
	r.keys = slices.Concat([]string{s.holders("")}, jobs, old)
	r.args = []string{flag(replace), strconv.Itoa(len(jobs)), strconv.Itoa(len(old))}
	for _, k := range staged {
		r.keys = append(r.keys, staging+k.name, k.name)
		r.args = append(r.args, strconv.FormatInt(k.expires, 10))
	}
	reply, err := s.one(ctx, r)
	if err != nil {
		return err
	}
	switch answer, _ := reply.ToString(); answer {
	case "swapped":
		return nil
	case "used":
		return inUse("it has just begun")
	case "jobs":
		return fmt.Errorf("%w: jobs have just come", store.ErrNotEmpty)
	default:
		return errors.New("another Restore was at it")
	}
}
