package sqlitestore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/ebbjobs/ebb/store"
)

// How much of a walk is read at once: little at first, for whoever wants to see
// something, and never more than pageBytes of payloads, give or take one. Nothing
// is held open between two pages: a reader that stays keeps the WAL from being
// reused.
const (
	firstPage = 100
	page      = 1000
	pageBytes = 1 << 20
)

// Jobs implements [store.Inspector].
func (s *Store) Jobs(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		w, err := s.walk(ctx, q)
		if w != nil && err == nil && q.Skip > 0 {
			var all bool
			if all, err = w.pass(ctx); all {
				return
			}
		}
		for seen, size := 0, firstPage; w != nil && err == nil; size = page {
			if q.Limit > 0 {
				size = min(size, q.Limit-seen)
			}
			var entries []store.Entry
			var more bool
			if entries, more, err = w.page(ctx, size); err != nil {
				break
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if seen += len(entries); !more || seen == q.Limit {
				return
			}
		}
		if err != nil {
			yield(store.Entry{}, fmt.Errorf("sqlitestore: jobs: %w", err))
		}
	}
}

// walk is one run of Jobs.
type walk struct {
	s    *Store
	q    store.Query
	args []any // what the queries begin with
	// What comes after the last job seen takes two queries. SQLite would use only the
	// first column of (at, id) > (?, ?), and pass by the jobs of one hour, of which
	// there may be a million, one by one for every page.
	same, next string // the rest of the same hour, and later ones; next may be ""

	begun     bool
	first, id int64 // the last job seen
	queues    map[int64]string
	holders   map[int64]string
}

const bootName = "SELECT name FROM ebb_boot WHERE id = ?"

// walk prepares a walk; nil: there is nothing to see.
func (s *Store) walk(ctx context.Context, q store.Query) (*walk, error) {
	if q.Place < store.Ready || q.Place > store.Dead {
		return nil, fmt.Errorf("there is no %v", q.Place)
	}
	if q.Place == store.Ready && q.Queue == "" {
		return nil, errors.New("name the queue to walk")
	}
	w := &walk{s: s, q: q, first: math.MinInt64, queues: map[int64]string{}, holders: map[int64]string{}}
	if q.Newest {
		w.first = math.MaxInt64
	}
	w.begin()
	w.same, w.next = walkQueries(q)
	if q.JID != "" {
		w.args = append(w.args, q.JID)
	}
	if q.Queue != "" {
		queue, err := s.lookUp(ctx, nameStatements[queueNames].find, q.Queue)
		if queue == nil || err != nil {
			return nil, err
		}
		w.args = append(w.args, queue)
	}
	if q.Place == store.Keeping && q.Key != "" {
		boot, err := s.lookUp(ctx, nameStatements[bootNames].find, string(q.Key))
		if boot == nil || err != nil {
			return nil, err
		}
		// All that it holds has the same first column.
		w.next, w.begun, w.first = "", true, boot.(int64)
		if q.Newest {
			w.id = math.MaxInt64
		}
	}
	return w, nil
}

// walkIndex is what each place is walked by, before the id.
var walkIndex = [...]string{store.Ready: "ord", store.Scheduled: "at", store.Retrying: "at", store.Keeping: "holder", store.Dead: "at"}

func walkQueries(q store.Query) (same, next string) {
	by, hint, where := walkIndex[q.Place], "", fmt.Sprintf("state = %d", q.Place)
	if q.JID != "" {
		hint, where = " INDEXED BY ebb_job_jid", where+" AND jid = ?" // not through all of the place
	}
	if q.Queue != "" {
		where += " AND queue = ?"
	}
	after, order := ">", ""
	if q.Newest {
		after, order = "<", " DESC"
	}
	query := fmt.Sprintf("SELECT id, %s, seq, queue, payload FROM ebb_job%s WHERE %s AND ", by, hint, where)
	same = fmt.Sprintf("%s%s = ? AND id %s ? ORDER BY id%s LIMIT ?", query, by, after, order)
	next = fmt.Sprintf("%s%s %s ? ORDER BY %[2]s%[4]s, id%[4]s LIMIT ?", query, by, after, order)
	return same, next
}

// page reads the next entries, at most size. Unless more is set they are the last.
func (w *walk) page(ctx context.Context, size int) (entries []store.Entry, more bool, err error) {
	var jobs []walked
	if w.begun {
		jobs, more, err = w.read(ctx, jobs, size, w.same, w.first, w.id)
	}
	if err == nil && !more && w.next != "" {
		jobs, more, err = w.read(ctx, jobs, size, w.next, w.first)
	}
	if err != nil || len(jobs) == 0 {
		return nil, false, err
	}
	last := jobs[len(jobs)-1]
	w.begun, w.first, w.id = true, last.first, last.id
	entries = make([]store.Entry, len(jobs))
	for i := range jobs {
		if entries[i], err = w.entry(ctx, &jobs[i]); err != nil {
			return nil, false, err
		}
	}
	return entries, more, nil
}

// walked is a row of a walk.
type walked struct {
	id, first, seq, queue int64
	payload               []byte
}

// read adds rows to jobs until there are size or enough bytes; more: it stopped
// for that.
func (w *walk) read(ctx context.Context, jobs []walked, size int, query string, from ...any) (_ []walked, more bool, err error) {
	bytes := 0
	for i := range jobs {
		bytes += len(jobs[i].payload)
	}
	args := slices.Concat(w.args, from, []any{int64(size - len(jobs))})
	err = w.s.rows(ctx, query, func(r []row) bool {
		j := walked{r[0].(int64), r[1].(int64), r[2].(int64), r[3].(int64), blob(r[4])}
		jobs = append(jobs, j)
		bytes += len(j.payload)
		more = len(jobs) == size || bytes >= pageBytes
		return !more
	}, args...)
	return jobs, more, err
}

func (w *walk) entry(ctx context.Context, j *walked) (e store.Entry, err error) {
	e = store.Entry{Place: w.q.Place, Payload: j.payload}
	if e.Queue, err = w.name(ctx, w.queues, statements[readQueueName], j.queue); err != nil {
		return e, err
	}
	k := entryKey{place: w.q.Place, id: j.id, stamp: j.first}
	switch w.q.Place {
	case store.Ready:
	case store.Keeping:
		k.stamp = j.seq
		var holder string
		holder, err = w.name(ctx, w.holders, bootName, j.first)
		e.Holder = store.Identity(holder)
	default:
		e.At = moment(j.first)
	}
	e.Key = k.key()
	return e, err
}

// name looks a number up once a walk.
func (w *walk) name(ctx context.Context, known map[int64]string, query string, id int64) (string, error) {
	name, ok := known[id]
	if ok {
		return name, nil
	}
	err := w.s.each(ctx, query, func(rows *sql.Rows) error { return rows.Scan(&name) }, id)
	if err == nil {
		known[id] = name
	}
	return name, err
}

// lookUp returns the number of a name, or nil.
func (s *Store) lookUp(ctx context.Context, find stmt, name string) (number any, err error) {
	err = s.each(ctx, statements[find], func(rows *sql.Rows) error { return rows.Scan(&number) }, name)
	return number, err
}

// rows runs a query and calls each with every row until it returns false, as
// writeConn.query does: past the pool's copying, which takes as long as a row.
func (s *Store) rows(ctx context.Context, query string, each func([]row) bool, args ...any) error {
	conn, err := s.reads.Conn(ctx)
	if err != nil {
		return s.readError(err)
	}
	defer conn.Close()
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	err = conn.Raw(func(raw any) error {
		rows, err := raw.(driver.QueryerContext).QueryContext(ctx, query, named)
		if err != nil {
			return err
		}
		into := make([]row, len(rows.Columns()))
		for err == nil {
			if err = rows.Next(into); err == nil && !each(into) {
				break
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return errors.Join(err, rows.Close())
	})
	return s.readError(err)
}
