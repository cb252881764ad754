package redisstore

import (
	"context"
	"strings"
	"testing"
)

// long is a source of long rows, which remembers how many were asked for at once.
type long struct {
	rows []row
	asks []int64
}

func (l *long) slack() int64 { return 0 }

func (l *long) find(_ context.Context, _ row, at int64) (int64, bool, error) { return at, true, nil }

func (l *long) read(_ context.Context, at, n int64) ([]row, error) {
	l.asks = append(l.asks, n)
	return l.rows[at:min(at+n, int64(len(l.rows)))], nil
}

// The longer payloads are, the fewer are read at once: a server that copies a thousand
// of them serves nobody else meanwhile.
func TestWindowsFitPayloads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ size, most int }{
		"short":           {300, window},
		"of 10 KiB":       {10 << 10, windowBytes / (10 << 10)},
		"beyond a window": {2 * windowBytes, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := strings.Repeat("x", c.size)
			source := &long{rows: make([]row, 5*window)}
			for i := range source.rows {
				source.rows[i] = row{member: payload, score: float64(i)}
			}
			cur := newCursor(source, window)
			defer cur.close()
			for i := range source.rows {
				r, ok, err := cur.next(t.Context())
				if !ok || err != nil || r.score != float64(i) {
					t.Fatalf("row %d: %v, %v, %v", i, r.score, ok, err)
				}
			}
			if _, ok, _ := cur.next(t.Context()); ok {
				t.Error("there are more than there are")
			}
			for _, n := range source.asks[1:] {
				if n > int64(c.most)+1 { // and the one behind
					t.Fatalf("%d were asked for at once, want %d", n, c.most)
				}
			}
		})
	}
}
