package redisstore

import (
	"context"
	"math"
	"strconv"
)

// passList passes over the beginning of a list, or over all of it, without reading it.
// What is asked for by jid is passed over one by one.
func (w *walk) passList(ctx context.Context, l list, c *cursor) (all bool, err error) {
	if w.skip == 0 || w.q.JID != "" {
		return false, nil
	}
	reply, err := w.s.one(ctx, command("LLEN", l.name))
	if err != nil {
		return false, err
	}
	n, err := reply.AsInt64()
	if err != nil {
		return false, err
	}
	c.at = min(w.skip, n)
	w.skip -= c.at
	return c.at == n, nil
}

// begin has c begin where the query says. A set tells ranks; only where several are
// merged, or not all that is in one is asked for, the walk itself passes over some.
func (w *walk) begin(ctx context.Context, c *cursor, name string, alone bool) error {
	if !w.q.From.IsZero() {
		from, to := "-inf", "("+bound(w.q.From.UnixMicro())
		if w.q.Newest {
			from, to = bound(w.q.From.UnixMicro()+1), "+inf"
		}
		reply, err := w.s.one(ctx, command("ZCOUNT", name, from, to))
		if err != nil {
			return err
		}
		if c.at, err = reply.AsInt64(); err != nil {
			return err
		}
	}
	if alone && w.q.JID == "" && w.q.Queue == "" {
		c.at, w.skip = c.at+w.skip, 0
	}
	return nil
}

// bound is the lowest score that is shown as the moment micro. A float64 has a few for
// each microsecond.
func bound(micro int64) string {
	shown := func(score float64) int64 { return int64(math.Round(score * 1e6)) }
	score := float64(micro) / 1e6
	for shown(score) < micro {
		score = math.Nextafter(score, math.Inf(1))
	}
	for lower := score; ; {
		if lower = math.Nextafter(lower, math.Inf(-1)); shown(lower) < micro {
			return strconv.FormatFloat(score, 'g', -1, 64)
		}
		score = lower
	}
}
