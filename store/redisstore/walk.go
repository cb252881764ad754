package redisstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

const pageSize = 100

// walk is one Jobs.
type walk struct {
	s     *Store
	q     store.Query
	left  int // how many more to yield
	yield func(store.Entry, error) bool
}

// Jobs walks a place in its order, a page at a time.
func (s *Store) Jobs(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		w := &walk{s: s, q: q, left: cmp.Or(q.Limit, math.MaxInt), yield: yield}
		var err error
		switch q.Place {
		case store.Ready:
			err = w.ready(ctx)
		case store.Keeping:
			err = w.keeping(ctx)
		case store.Scheduled, store.Retrying, store.Dead:
			err = w.sets(ctx)
		default:
			err = fmt.Errorf("there is no %v", q.Place)
		}
		if err != nil && err != errEnough {
			yield(store.Entry{}, wrap("jobs", err))
		}
	}
}

// errEnough ends a walk whose caller wants no more.
var errEnough = errors.New("enough")

// emit yields e if the query asks for it.
func (w *walk) emit(e store.Entry) error {
	if w.q.Queue != "" && e.Queue != w.q.Queue {
		return nil
	}
	if w.q.JID != "" {
		if !bytes.Contains(e.Payload, []byte(w.q.JID)) {
			return nil
		}
		if jid, ok := wire.JIDOf(e.Payload); !ok || jid != w.q.JID {
			return nil
		}
	}
	w.left--
	if !w.yield(e, nil) || w.left == 0 {
		return errEnough
	}
	return nil
}

// ready walks a queue from its front: its inbox, then its list from the right.
func (w *walk) ready(ctx context.Context) error {
	if w.q.Queue == "" {
		return errors.New("name the queue to walk")
	}
	for _, list := range []string{w.s.inbox(w.q.Queue), w.s.line(w.q.Queue)} {
		for last := -1; ; last -= pageSize {
			reply, err := w.s.one(ctx, command("LRANGE", list, strconv.Itoa(last-pageSize+1), strconv.Itoa(last)))
			if err != nil {
				return err
			}
			page := texts(reply)
			for _, payload := range slices.Backward(page) {
				k := key{place: store.Ready, queue: w.q.Queue, member: payload}
				if err := w.emit(store.Entry{Key: k.text(), Place: store.Ready, Queue: w.q.Queue, Payload: []byte(payload)}); err != nil {
					return err
				}
			}
			if len(page) < pageSize {
				break
			}
		}
	}
	return nil
}

// keeping walks what processes hold, in the order of their names.
func (w *walk) keeping(ctx context.Context) error {
	queues, err := w.s.known(ctx)
	if err != nil {
		return err
	}
	if w.q.Queue != "" {
		queues = []string{w.q.Queue}
	}
	leases, _, err := w.s.leases(ctx, queues, false, nil)
	if err != nil {
		return err
	}
	var ids []store.Identity
	for id := range leases {
		if w.q.Key == "" || w.q.Key == id {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		jobs, err := w.s.allHeldBy(ctx, id, queues)
		if err != nil {
			return err
		}
		for _, h := range jobs {
			k := key{place: store.Keeping, queue: h.Queue, member: string(h.Token)}
			if err := w.emit(store.Entry{Key: k.text(), Place: store.Keeping, Queue: h.Queue, Payload: h.Payload, Holder: id}); err != nil {
				return err
			}
		}
	}
	return nil
}

// sets walks a set by time; in a cluster the sets of all queues, merged.
func (w *walk) sets(ctx context.Context) error {
	of := []string{""}
	if w.s.cluster {
		var err error
		if of, err = w.s.known(ctx); err != nil {
			return err
		}
		if w.q.Queue != "" {
			of = []string{w.q.Queue}
		}
	}
	var cursors []*cursor
	for _, q := range of {
		cursors = append(cursors, &cursor{s: w.s, place: w.q.Place, queue: q, from: "-inf"})
	}
	for {
		var first *cursor
		for _, c := range cursors {
			if err := c.fill(ctx); err != nil {
				return err
			}
			if len(c.page) > 0 && (first == nil || c.page[0].At.Before(first.page[0].At)) {
				first = c
			}
		}
		if first == nil {
			return nil
		}
		e := first.page[0]
		first.page = first.page[1:]
		if err := w.emit(e); err != nil {
			return err
		}
	}
}

// cursor reads one set by score, so that it misses nothing when what was read is
// taken out meanwhile.
type cursor struct {
	s     *Store
	place store.Place
	queue string

	page []store.Entry
	from string          // score of the last that was read
	seen map[string]bool // members of that score
	done bool
}

func (c *cursor) fill(ctx context.Context) error {
	for len(c.page) == 0 && !c.done {
		want := pageSize + len(c.seen)
		reply, err := c.s.one(ctx, command("ZRANGEBYSCORE", c.s.set(c.place, c.queue), c.from, "+inf", "WITHSCORES", "LIMIT", "0", strconv.Itoa(want)))
		if err != nil {
			return err
		}
		scores, err := reply.AsZScores()
		if err != nil {
			return err
		}
		c.done = len(scores) < want
		if err := c.read(ctx, scores); err != nil {
			return err
		}
	}
	return nil
}

func (c *cursor) read(ctx context.Context, scores []rueidis.ZScore) error {
	members := make([]string, len(scores))
	for i, z := range scores {
		members[i] = z.Member
	}
	homes, err := c.s.queuesOf(ctx, c.queue, members)
	if err != nil {
		return err
	}
	for i, z := range scores {
		score := strconv.FormatFloat(z.Score, 'f', -1, 64)
		if score != c.from {
			c.from, c.seen = score, map[string]bool{}
		}
		if c.seen[z.Member] {
			continue
		}
		c.seen[z.Member] = true
		k := key{place: c.place, queue: homes[i].queue, stray: homes[i].stray, member: z.Member}
		c.page = append(c.page, store.Entry{
			Key: k.text(), Place: c.place, Queue: homes[i].queue, Payload: bare(z.Member),
			At: time.UnixMicro(int64(math.Round(z.Score * 1e6))).UTC(),
		})
	}
	return nil
}

// key finds an entry again: the exact member of its list or set.
type key struct {
	place  store.Place
	queue  string
	stray  bool
	member string
}

func (k key) text() store.Key {
	return store.Key(fmt.Sprintf("%d %s %d %s%s", k.place, flag(k.stray), len(k.queue), k.queue, k.member))
}

func readKey(text store.Key) (k key, ok bool) {
	parts := strings.SplitN(string(text), " ", 4)
	if len(parts) != 4 {
		return k, false
	}
	place, err := strconv.Atoi(parts[0])
	n, err2 := strconv.Atoi(parts[2])
	if err != nil || err2 != nil || n < 0 || n > len(parts[3]) {
		return k, false
	}
	return key{store.Place(place), parts[3][:n], parts[1] == "1", parts[3][n:]}, true
}
