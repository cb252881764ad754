package query

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Position is between two jobs of a search. It goes on from there wherever others have
// moved meanwhile: in a set behind so many of a moment, elsewhere behind so many. The
// zero value is the beginning.
type Position struct {
	Place store.Place
	Queue string
	JID   string
	At    time.Time // of the last job, in a set
	Skip  int64     // jobs of that moment, or of the place, that were looked at
	Seen  int64     // jobs that were looked at from the beginning on
}

// behind moves p behind e, which a walk came by.
func (p *Position) behind(walk *store.Query, e *store.Entry) {
	at := e.At.Truncate(time.Microsecond) // as exact as every store keeps it
	if p.Place != walk.Place || p.Queue != walk.Queue || p.JID != walk.JID || !p.At.Equal(at) {
		*p = Position{Place: walk.Place, Queue: walk.Queue, JID: walk.JID, At: at, Seen: p.Seen}
	}
	p.Skip++
	p.Seen++
}

// IsZero reports whether p is the beginning.
func (p Position) IsZero() bool { return p.Skip == 0 }

// String returns p in a form that [ParsePosition] reads.
func (p Position) String() string {
	if p.IsZero() {
		return ""
	}
	micro := int64(0)
	if !p.At.IsZero() {
		micro = p.At.UnixMicro()
	}
	return fmt.Sprintf("%s.%d.%d.%d.%s.%s", StateOf(p.Place), micro, p.Skip, p.Seen, p.JID, p.Queue)
}

// ParsePosition reads what [Position.String] has written.
func ParsePosition(text string) (p Position, err error) {
	if text == "" {
		return p, nil
	}
	parts := strings.SplitN(text, ".", 6)
	if len(parts) != 6 {
		return p, errors.New("query: that is no place in a list")
	}
	var numbers [3]int64
	for i := range numbers {
		if numbers[i], err = strconv.ParseInt(parts[1+i], 10, 64); err != nil || numbers[i] < 0 {
			return p, errors.New("query: that is no place in a list")
		}
	}
	place, ok := PlaceOf(parts[0])
	if !ok {
		return p, errors.New("query: that is no place in a list")
	}
	p = Position{Place: place, Skip: numbers[1], Seen: numbers[2], JID: parts[4], Queue: parts[5]}
	if numbers[0] != 0 {
		p.At = time.UnixMicro(numbers[0]).UTC()
	}
	return p, nil
}

// Scan is as Find, but begins at a position, and keeps it behind the last job that was
// looked at. So a search that ended early, by the end of ctx too, can be gone on with.
func (q *Query) Scan(ctx context.Context, st store.Inspector, s Search, p *Position) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		m, err := q.informed(ctx, st)
		var walks []store.Query
		if err == nil {
			walks, err = q.Walks(ctx, st)
		}
		of := int64(0)
		if err == nil && s.Looked != nil {
			of, err = q.size(ctx, st, walks)
		}
		if err != nil {
			yield(store.Entry{}, err)
			return
		}
		for _, walk := range p.rest(walks) {
			walk.Newest = s.Newest
			for e, err := range st.Jobs(ctx, walk) {
				if err != nil {
					yield(store.Entry{}, err)
					return
				}
				p.behind(&walk, &e)
				if s.Looked != nil && p.Seen%lookedEvery == 0 {
					s.Looked(p.Seen, max(of, p.Seen))
				}
				if m.Match(e) && !yield(e, nil) {
					return
				}
			}
		}
		if s.Looked != nil {
			s.Looked(p.Seen, max(of, p.Seen))
		}
	}
}

// rest are the walks from p on. Of a queue that is gone nothing is left.
func (p *Position) rest(walks []store.Query) []store.Query {
	if p.IsZero() {
		return walks
	}
	here := slices.IndexFunc(places, func(place store.Place) bool { return place == p.Place })
	for i, w := range walks {
		there := slices.Index(places, w.Place)
		switch {
		case there == here && w.Queue == p.Queue && w.JID == p.JID:
			rest := slices.Clone(walks[i:])
			if rest[0].Skip = p.Skip; w.Place != store.Ready && w.Place != store.Keeping {
				rest[0].From = p.At
			}
			return rest
		case there > here || there == here && w.Queue > p.Queue:
			return walks[i:]
		}
	}
	return nil
}

// Seek returns the position behind the first n jobs of a query whose jobs can be
// counted, see [Query.Count]. Behind the last one it is behind that.
func (q *Query) Seek(ctx context.Context, st store.Inspector, n int64) (Position, error) {
	walks, err := q.Walks(ctx, st)
	if err != nil || n <= 0 {
		return Position{}, err
	}
	sizes, err := q.sizes(ctx, st, walks)
	if err != nil {
		return Position{}, err
	}
	left := n
	var p Position
	for i, w := range walks {
		size := sizes[i]
		if size == 0 {
			continue
		}
		p = Position{Place: w.Place, Queue: w.Queue, Skip: min(left, size), Seen: n - left + min(left, size)}
		if left -= p.Skip; left == 0 {
			break
		}
	}
	return p, nil
}
