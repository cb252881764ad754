package sqlitestore

import (
	"strconv"
	"strings"

	"github.com/ebbjobs/ebb/store"
)

// grip is a token in parts: the job's row, the fetch that took it, and the queue
// it came from, for the books. The row alone would not do, since its holder may
// give it back and fetch it again.
type grip struct {
	id    int64
	lane  int64
	seq   int64
	queue int64
}

func (g grip) token() store.Token {
	b := make([]byte, 0, 32)
	for i, n := range [...]int64{g.id, g.lane, g.seq, g.queue} {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendInt(b, n, 36)
	}
	return store.Token(b)
}

// parseGrip reads a token; one that this package did not make is held by nobody.
func parseGrip(t store.Token) (g grip, ok bool) {
	rest := string(t)
	for i, into := range [...]*int64{&g.id, &g.lane, &g.seq, &g.queue} {
		part := rest
		if i < 3 {
			if part, rest, ok = strings.Cut(rest, "."); !ok {
				return grip{}, false
			}
		}
		n, err := strconv.ParseInt(part, 36, 64)
		if err != nil {
			return grip{}, false
		}
		*into = n
	}
	return g, true
}

var (
	raiseLane = statement(`INSERT INTO ebb_lane(boot, lane, seq, at, answer) VALUES (?, ?, ?, ?, '')
		ON CONFLICT(boot, lane) DO UPDATE SET seq = excluded.seq, at = excluded.at, answer = '' WHERE excluded.seq > seq`)
	readLane   = statement("SELECT seq, answer FROM ebb_lane WHERE boot = ? AND lane = ?")
	answerLane = statement("UPDATE ebb_lane SET answer = ? WHERE boot = ? AND lane = ?")
)

// memo is what is remembered of a numbered call.
type memo int

const (
	first memo = iota // not seen before
	again             // a repetition of the last
	stale             // older than the last
)

// remember notes that c was asked, and tells whether it had been before; answer
// is then what was kept of it.
func (t *tx) remember(boot int64, c store.Call) (m memo, answer string, err error) {
	if c.Seq == 0 {
		return first, "", nil
	}
	n, err := t.exec(raiseLane, boot, int64(c.Lane), int64(c.Seq), t.now)
	if err != nil || n > 0 {
		return first, "", err
	}
	return t.recall(boot, c)
}

// recall is remember without noting anything.
func (t *tx) recall(boot int64, c store.Call) (m memo, answer string, err error) {
	m = first
	err = t.query(readLane, func(r []row) error {
		switch last := uint64(r[0].(int64)); {
		case last == c.Seq:
			m, answer = again, r[1].(string)
		case last > c.Seq:
			m = stale
		}
		return nil
	}, boot, int64(c.Lane))
	return m, answer, err
}

// answer keeps what a repetition of c is to be told.
func (t *tx) answer(boot int64, c store.Call, text string) error {
	if c.Seq == 0 || text == "" {
		return nil
	}
	_, err := t.exec(answerLane, text, boot, int64(c.Lane))
	return err
}
