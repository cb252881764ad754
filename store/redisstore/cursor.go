package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// A walk asks for a page first, so that whoever wants one screen waits for no more,
// and then for windows of so many rows, or of about so many bytes where payloads are
// long: the server hands out either in a millisecond or two.
const (
	pageSize    = 100
	window      = 1000
	windowBytes = 1 << 20
)

// row is an element of a list or a set.
type row struct {
	member  string
	payload []byte // the member's own bytes, not to be written to
	score   float64
	home    home // of a member of a set, once it is known
}

func (r row) same(other row) bool { return r.member == other.member && r.score == other.score }

// source is a list or a set that is walked from one end. Elements have numbers, from
// 0 at that end, which change when others come and go.
type source interface {
	// read returns n rows from number at on, or fewer at the other end.
	read(ctx context.Context, at, n int64) ([]row, error)
	// find returns the number of r; or, where it is gone, one to go on from instead of
	// at.
	find(ctx context.Context, r row, at int64) (number int64, found bool, err error)
	// slack is by how much numbers are expected to change between two reads.
	slack() int64
}

// cursor reads a source to its end. It keeps its place by the row that comes next:
// what was given may be taken away by whoever it was given to, what was not is moved
// by others only.
type cursor struct {
	source
	page []row // read, and not given yet

	at     int64 // number of the row that comes next, when it was read
	anchor row   // that row, after the first page
	pages  int   // so many were read
	done   bool
	size   int64
	most   int64

	ahead chan ahead // nil, or where the rows of the next page will come from
}

// ahead is a page that is read while its predecessor is looked at.
type ahead struct {
	rows []row
	end  bool // there are no others behind them
	err  error
}

func newCursor(s source, most int) *cursor {
	return &cursor{source: s, size: pageSize, most: int64(min(most, window))}
}

// next returns the next row; ok is false at the end.
func (c *cursor) next(ctx context.Context) (r row, ok bool, err error) {
	if len(c.page) == 0 {
		if err := c.fill(ctx); err != nil || len(c.page) == 0 {
			return r, false, err
		}
	}
	r, c.page = c.page[0], c.page[1:]
	return r, true, nil
}

// fill reads the next page, if there is one. From the second on it has the one after
// that read meanwhile: who wants so much will want more.
func (c *cursor) fill(ctx context.Context) error {
	for len(c.page) == 0 && !c.done {
		var next ahead
		if c.ahead != nil {
			next = <-c.ahead
			c.ahead = nil
		} else {
			next = c.resume(ctx)
		}
		if next.err != nil {
			return next.err
		}
		rows := next.rows
		if c.done = next.end && int64(len(rows)) <= c.size; !c.done {
			n := min(c.size, int64(len(rows))-1)
			c.at, c.anchor, rows = c.at+n, rows[n], rows[:n]
		}
		c.page, c.size = rows, c.sized(rows)
		if c.pages++; c.pages > 1 && !c.done {
			to := make(chan ahead, 1)
			c.ahead = to
			go func() { to <- c.resume(ctx) }() // until it is done it has the cursor but for its page
		}
	}
	return nil
}

// sized is how many rows the next page has, behind one of these: ten times as many if
// that is not too much.
func (c *cursor) sized(rows []row) int64 {
	bytes := 1
	for i := range rows {
		bytes += len(rows[i].member)
	}
	fit := int64(windowBytes) * int64(len(rows)) / int64(bytes)
	return max(1, min(10*c.size, c.most, fit))
}

// close waits for what is still being read.
func (c *cursor) close() {
	if c.ahead != nil {
		<-c.ahead
	}
}

// resume reads from where the last page ended: at least one row if there is any.
func (c *cursor) resume(ctx context.Context) ahead {
	if c.pages == 0 {
		return c.from(ctx, c.at, c.size+1)
	}
	for range 20 { // whoever is quicker than that so often may lose a few
		from := max(0, c.at-c.slack())
		next := c.from(ctx, from, c.at-from+c.size+1+c.slack())
		if next.err != nil {
			return next
		}
		if i := nearest(next.rows, c.anchor, int(c.at-from)); i >= 0 {
			c.at, next.rows = from+int64(i), next.rows[i:]
			return next
		}
		var found bool
		if c.at, found, next.err = c.find(ctx, c.anchor, c.at); next.err != nil {
			return next
		}
		if !found {
			break
		}
	}
	return c.from(ctx, c.at, c.size+1)
}

// from reads n rows.
func (c *cursor) from(ctx context.Context, at, n int64) ahead {
	rows, err := c.read(ctx, at, n)
	return ahead{rows, int64(len(rows)) < n, err}
}

// nearest returns the index of r among rows that is nearest to i, or -1.
func nearest(rows []row, r row, i int) int {
	for d := range len(rows) {
		for _, at := range [2]int{i - d, i + d} {
			if at >= 0 && at < len(rows) && rows[at].same(r) {
				return at
			}
		}
	}
	return -1
}

// window reads rows over a connection that nobody shares: what others ask meanwhile
// does not come behind half a megabyte. Once it has begun it is read to its end whenever
// ctx ends, since a connection that is left in the middle of an answer is lost.
func (s *Store) window(ctx context.Context, r *request) ([]rueidis.RedisMessage, error) {
	replies, err := s.swift(endless{ctx}, r)
	if err != nil {
		return nil, err
	}
	return replies[0].ToArray()
}

// endless is a context without its deadline.
type endless struct{ context.Context }

func (endless) Deadline() (at time.Time, ok bool) { return at, false }

// take makes r the row of a reply.
func (r *row) take(m *rueidis.RedisMessage) (err error) {
	if r.member, err = m.ToString(); err == nil {
		r.payload, err = m.AsBytes()
	}
	return err
}

// list is a list, walked from the right, where its front is, or from the left.
type list struct {
	s      *Store
	name   string
	newest bool
}

func (l list) slack() int64 { return pageSize }

func (l list) read(ctx context.Context, at, n int64) ([]row, error) {
	from, to := at, at+n-1
	if !l.newest {
		from, to = -at-n, -at-1
	}
	members, err := l.s.window(ctx, command("LRANGE", l.name, strconv.FormatInt(from, 10), strconv.FormatInt(to, 10)))
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(members))
	for n := range members {
		i := n
		if !l.newest {
			i = len(rows) - 1 - n
		}
		if err := rows[i].take(&members[n]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// find takes as long as the way from the end. A row that is gone from the front went
// in its turn, after all before it; from the back nobody can tell.
func (l list) find(ctx context.Context, r row, at int64) (number int64, found bool, err error) {
	rank, gone := "-1", int64(0)
	if l.newest {
		rank, gone = "1", at
	}
	replies, err := l.s.do(ctx, command("LPOS", l.name, r.member, "RANK", rank), command("LLEN", l.name))
	if err != nil {
		return 0, false, err
	}
	i, err := replies[0].AsInt64()
	if err != nil {
		return gone, false, nil
	}
	if n, _ := replies[1].AsInt64(); !l.newest {
		i = n - 1 - i
	}
	return max(i, 0), true, nil
}

// set is a sorted set, walked from its lowest score or from its highest.
type set struct {
	s      *Store
	name   string
	newest bool
}

// slack of a set is none, since it knows the rank of each member.
func (z set) slack() int64 { return 0 }

func (z set) read(ctx context.Context, at, n int64) ([]row, error) {
	verb := "ZRANGE"
	if z.newest {
		verb = "ZREVRANGE"
	}
	pairs, err := z.s.window(ctx, command(verb, z.name, strconv.FormatInt(at, 10), strconv.FormatInt(at+n-1, 10), "WITHSCORES"))
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(pairs))
	for i := range pairs {
		pair, err := pairs[i].ToArray()
		if err != nil {
			return nil, err
		}
		if len(pair) != 2 {
			return nil, fmt.Errorf("a member of %s has %d values", z.name, len(pair))
		}
		if rows[i].score, err = pair[1].AsFloat64(); err != nil {
			return nil, err
		}
		if err := rows[i].take(&pair[0]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (z set) find(ctx context.Context, r row, _ int64) (number int64, found bool, err error) {
	score := strconv.FormatFloat(r.score, 'g', -1, 64)
	verb, min, max := "ZRANK", "-inf", "("+score
	if z.newest {
		verb, min, max = "ZREVRANK", "("+score, "+inf"
	}
	replies, err := z.s.do(ctx, command(verb, z.name, r.member), command("ZSCORE", z.name, r.member), command("ZCOUNT", z.name, min, max))
	if err != nil {
		return 0, false, err
	}
	if now, err := replies[1].AsFloat64(); err == nil && now == r.score {
		number, err = replies[0].AsInt64()
		return number, true, err
	}
	number, err = replies[2].AsInt64() // those of the same moment come once more
	return number, false, err
}
