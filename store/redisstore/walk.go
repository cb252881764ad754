package redisstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// walk is one Jobs.
type walk struct {
	s     *Store
	q     store.Query
	skip  int64 // how many more to pass over
	left  int   // how many more to yield
	yield func(store.Entry, error) bool
}

// Jobs walks a place in its order, a page at a time.
func (s *Store) Jobs(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		w := &walk{s: s, q: q, skip: max(0, q.Skip), left: cmp.Or(q.Limit, math.MaxInt), yield: yield}
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

// emit yields e, which k finds again, if the query asks for it.
func (w *walk) emit(k key, e store.Entry) error {
	if w.q.Queue != "" && k.queue != w.q.Queue {
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
	if w.skip > 0 {
		w.skip--
		return nil
	}
	e.Key, e.Place, e.Queue = k.text(), k.place, k.queue
	w.left--
	if !w.yield(e, nil) || w.left == 0 {
		return errEnough
	}
	return nil
}

// ready walks a queue: its inbox, which is at its front, and its list.
func (w *walk) ready(ctx context.Context) error {
	if w.q.Queue == "" {
		return errors.New("name the queue to walk")
	}
	lists := []string{w.s.inbox(w.q.Queue), w.s.line(w.q.Queue)}
	if w.q.Newest {
		slices.Reverse(lists)
	}
	for _, name := range lists {
		if err := w.list(ctx, list{w.s, name, w.q.Newest}); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) list(ctx context.Context, l list) error {
	c := newCursor(l, window)
	defer c.close()
	passed, err := w.passList(ctx, l, c)
	if passed || err != nil {
		return err
	}
	for {
		row, ok, err := c.next(ctx)
		if err != nil || !ok {
			return err
		}
		k := key{place: store.Ready, queue: w.q.Queue, member: row.member}
		if err := w.emit(k, store.Entry{Payload: row.payload}); err != nil {
			return err
		}
	}
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
	ids := slices.Collect(maps.Keys(leases))
	if w.q.Key != "" {
		ids = []store.Identity{w.q.Key} // it may hold without a lease, too
	}
	slices.Sort(ids)
	if w.q.Newest {
		slices.Reverse(ids)
	}
	held, err := w.s.heldFrom(ctx, queues)
	if err != nil {
		return err
	}
	queues = slices.Sorted(maps.Keys(held))
	for _, id := range ids {
		jobs, err := w.s.allHeldBy(ctx, id, queues)
		if err != nil {
			return err
		}
		if w.q.Newest {
			slices.Reverse(jobs)
		}
		for _, h := range jobs {
			k := key{place: store.Keeping, queue: h.Queue, member: string(h.Token)}
			if err := w.emit(k, store.Entry{Payload: h.Payload, Holder: id}); err != nil {
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
		c := newCursor(set{w.s, w.s.set(w.q.Place, q), w.q.Newest}, max(pageSize, 10*window/len(of)))
		defer c.close()
		if err := w.begin(ctx, c, w.s.set(w.q.Place, q), len(of) == 1); err != nil {
			return err
		}
		cursors = append(cursors, c)
	}
	for {
		var first *cursor
		for i, c := range cursors {
			if len(c.page) == 0 {
				if err := c.fill(ctx); err != nil {
					return err
				}
				if err := w.s.house(ctx, of[i], c.page); err != nil {
					return err
				}
			}
			if len(c.page) > 0 && (first == nil || w.before(c.page[0], first.page[0])) {
				first = c
			}
		}
		if first == nil {
			return nil
		}
		row := first.page[0]
		first.page = first.page[1:]
		k := key{place: w.q.Place, queue: row.home.queue, stray: row.home.stray, member: row.member}
		e := store.Entry{Payload: bare(row.payload), At: time.UnixMicro(int64(math.Round(row.score * 1e6))).UTC()}
		if err := w.emit(k, e); err != nil {
			return err
		}
	}
}

// house finds out the queues of the members of a set.
func (s *Store) house(ctx context.Context, of string, rows []row) error {
	payloads := make([][]byte, len(rows))
	for i, r := range rows {
		payloads[i] = r.payload
	}
	homes, err := s.queuesOf(ctx, of, payloads)
	for i, h := range homes {
		rows[i].home = h
	}
	return err
}

// before tells which of two comes first where the sets of several queues are merged.
// Those of one moment come in the order of their queues, from either end.
func (w *walk) before(a, b row) bool {
	if w.q.Newest {
		return a.score >= b.score
	}
	return a.score < b.score
}

// key finds an entry again: the exact member of its list or set.
type key struct {
	place  store.Place
	queue  string
	stray  bool
	member string
}

func (k key) text() store.Key {
	return store.Key(strconv.Itoa(int(k.place)) + " " + flag(k.stray) + " " + strconv.Itoa(len(k.queue)) + " " + k.queue + k.member)
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
