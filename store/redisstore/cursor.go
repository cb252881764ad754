package redisstore

import (
	"context"
	"strconv"
)

// A walk asks for a page first, so that whoever wants one screen waits for no more,
// and then for windows: of 300-byte payloads the server hands out one in well under
// a millisecond.
const (
	pageSize = 100
	window   = 1000
)

// row is an element of a list or a set.
type row struct {
	member string
	score  float64
}

// source is a list or a set that is walked from one end. Elements have numbers, from
// 0 at that end, which change when others come and go.
type source interface {
	// read returns n rows from number at on, or fewer at the other end.
	read(ctx context.Context, at, n int64) ([]row, error)
	// find returns the number of r; or, where it is gone, one to go on from.
	find(ctx context.Context, r row, at int64) (int64, error)
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
	began  bool
	done   bool
	size   int64
	most   int64
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

// fill reads the next page, if there is one.
func (c *cursor) fill(ctx context.Context) error {
	if c.done {
		return nil
	}
	rows, err := c.resume(ctx)
	if err != nil {
		return err
	}
	c.began, c.done = true, int64(len(rows)) <= c.size
	if !c.done {
		c.at, c.anchor = c.at+c.size, rows[c.size]
		rows = rows[:c.size]
	}
	c.page, c.size = rows, min(10*c.size, c.most)
	return nil
}

// resume reads rows from where the last page ended: one more than a page, if there
// are so many.
func (c *cursor) resume(ctx context.Context) ([]row, error) {
	if !c.began {
		return c.read(ctx, 0, c.size+1)
	}
	for range 3 { // the third time whatever is there, as others go on
		from := max(0, c.at-c.slack())
		rows, err := c.read(ctx, from, c.at-from+c.size+1+c.slack())
		if err != nil {
			return nil, err
		}
		if i := nearest(rows, c.anchor, int(c.at-from)); i >= 0 {
			c.at, rows = from+int64(i), rows[i:]
			return rows[:min(int64(len(rows)), c.size+1)], nil
		}
		if c.at, err = c.find(ctx, c.anchor, c.at); err != nil {
			return nil, err
		}
	}
	return c.read(ctx, c.at, c.size+1)
}

// nearest returns the index of r among rows that is nearest to i, or -1.
func nearest(rows []row, r row, i int) int {
	for d := range len(rows) {
		for _, at := range [2]int{i - d, i + d} {
			if at >= 0 && at < len(rows) && rows[at] == r {
				return at
			}
		}
	}
	return -1
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
	reply, err := l.s.one(ctx, command("LRANGE", l.name, strconv.FormatInt(from, 10), strconv.FormatInt(to, 10)))
	if err != nil {
		return nil, err
	}
	members := texts(reply)
	rows := make([]row, len(members))
	for i, m := range members {
		if !l.newest {
			i = len(rows) - 1 - i
		}
		rows[i].member = m
	}
	return rows, nil
}

// find takes as long as the way from the end. A row that is gone from the front went
// in its turn, after all before it; from the back nobody can tell.
func (l list) find(ctx context.Context, r row, at int64) (int64, error) {
	rank, gone := "-1", int64(0)
	if l.newest {
		rank, gone = "1", at
	}
	replies, err := l.s.do(ctx, command("LPOS", l.name, r.member, "RANK", rank), command("LLEN", l.name))
	if err != nil {
		return 0, err
	}
	i, err := replies[0].AsInt64()
	if err != nil {
		return gone, nil
	}
	if n, _ := replies[1].AsInt64(); !l.newest {
		i = n - 1 - i
	}
	return max(i, 0), nil
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
	reply, err := z.s.one(ctx, command(verb, z.name, strconv.FormatInt(at, 10), strconv.FormatInt(at+n-1, 10), "WITHSCORES"))
	if err != nil {
		return nil, err
	}
	scores, err := reply.AsZScores()
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(scores))
	for i, sc := range scores {
		rows[i] = row{sc.Member, sc.Score}
	}
	return rows, nil
}

func (z set) find(ctx context.Context, r row, _ int64) (int64, error) {
	score := strconv.FormatFloat(r.score, 'g', -1, 64)
	verb, min, max := "ZRANK", "-inf", "("+score
	if z.newest {
		verb, min, max = "ZREVRANK", "("+score, "+inf"
	}
	replies, err := z.s.do(ctx, command(verb, z.name, r.member), command("ZSCORE", z.name, r.member), command("ZCOUNT", z.name, min, max))
	if err != nil {
		return 0, err
	}
	if now, err := replies[1].AsFloat64(); err == nil && now == r.score {
		return replies[0].AsInt64()
	}
	return replies[2].AsInt64() // those of the same moment come once more
}
