package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/ebbjobs/ebb/store"
)

// A queue is known once something came into it, and while it is paused.
const (
	listQueues = `SELECT name, waiting, held, paused, (SELECT at FROM ebb_job WHERE state = 0 AND queue = q.id ORDER BY ord LIMIT 1)
		FROM ebb_queue q WHERE accepted > 0 OR paused = 1 ORDER BY name`
	listBooks = `SELECT name, accepted, done, discarded, expired, deleted, trimmed, moved, fetched, retried, buried, requeued, rescued,
		waiting, held, scheduled, retrying, dead, processed, failed FROM ebb_queue WHERE accepted > 0 OR paused = 1 ORDER BY name`
	countHeld = "SELECT holder, count(*) FROM ebb_job WHERE state = 3 GROUP BY holder"
	listStops = "SELECT boot, max(id) FROM ebb_stop GROUP BY boot HAVING max(id) < ? ORDER BY max(id) DESC LIMIT ?"
	readStop  = "SELECT report FROM ebb_stop WHERE boot = ? ORDER BY id"
)

// readError explains what went wrong on a connection that reads.
func (s *Store) readError(err error) error {
	if err == nil {
		return nil
	}
	if s.isClosed() {
		return store.ErrClosed
	}
	if err = explain(err); errors.Is(err, store.ErrUnreachable) && s.intact() != nil {
		return errReplaced // a new connection has not found the file
	}
	return err
}

// queries keeps what was prepared: there are few texts, and parsing one takes
// longer than most take to run. The pool closes them with itself.
type queries struct {
	mu   sync.Mutex
	text map[string]*sql.Stmt
}

func (q *queries) prepare(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p := q.text[query]; p != nil {
		return p, nil
	}
	p, err := db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if q.text == nil {
		q.text = make(map[string]*sql.Stmt)
	}
	q.text[query] = p
	return p, nil
}

// each runs a query and calls scan for every row.
func (s *Store) each(ctx context.Context, query string, scan func(*sql.Rows) error, args ...any) error {
	prepared, err := s.queries.prepare(ctx, s.reads, query)
	if err != nil {
		return s.readError(err)
	}
	rows, err := prepared.QueryContext(ctx, args...)
	if err != nil {
		return s.readError(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return s.readError(rows.Err())
}

// Queues implements [store.Inspector].
func (s *Store) Queues(ctx context.Context) ([]store.Queue, error) {
	var queues []store.Queue
	err := s.each(ctx, listQueues, func(rows *sql.Rows) error {
		var q store.Queue
		var oldest *int64
		if err := rows.Scan(&q.Name, &q.Waiting, &q.Held, &q.Paused, &oldest); err != nil {
			return err
		}
		if oldest != nil {
			q.Oldest = moment(*oldest)
		}
		queues = append(queues, q)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: queues: %w", err)
	}
	return queues, nil
}

// Processes implements [store.Inspector]. A process whose beats are overdue and
// whose lock is held is frozen: stopped, or starved, and not to be rescued.
func (s *Store) Processes(ctx context.Context) ([]store.Process, error) {
	all, err := s.registered(ctx)
	holds := map[int64]int64{}
	if err == nil {
		err = s.each(ctx, countHeld, func(rows *sql.Rows) error {
			var boot, n int64
			if err := rows.Scan(&boot, &n); err != nil {
				return err
			}
			holds[boot] = n
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: processes: %w", err)
	}
	var processes []store.Process
	for i := range all {
		r := &all[i]
		p := store.Process{Presence: r.presence, Lang: "go", Beat: moment(r.beat), Holds: holds[r.boot]}
		p.Lapsed = s.causeOf(r, nil) != ""
		p.Frozen = !p.Lapsed && !r.left && s.now() > r.beat+r.ttl
		processes = append(processes, p)
	}
	return processes, nil
}

// Stats implements [store.Inspector].
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	var st store.Stats
	err := s.each(ctx, listBooks, func(rows *sql.Rows) error {
		var b store.Books
		var ran, didFail int64
		err := rows.Scan(&b.Queue, &b.Accepted, &b.Done, &b.Discarded, &b.Expired, &b.Deleted, &b.Trimmed, &b.Moved,
			&b.Fetched, &b.Retried, &b.Buried, &b.Requeued, &b.Rescued,
			&b.Waiting, &b.Held, &b.Scheduled, &b.Retrying, &b.Dead, &ran, &didFail)
		st.Books = append(st.Books, b)
		st.Processed, st.Failed = st.Processed+ran, st.Failed+didFail
		st.Ready, st.Held = st.Ready+b.Waiting, st.Held+b.Held
		st.Scheduled, st.Retrying, st.Dead = st.Scheduled+b.Scheduled, st.Retrying+b.Retrying, st.Dead+b.Dead
		return err
	})
	if err != nil {
		return store.Stats{}, fmt.Errorf("sqlitestore: stats: %w", err)
	}
	return st, nil
}

// Stops implements [store.Inspector].
func (s *Store) Stops(ctx context.Context) iter.Seq2[store.StopReport, error] {
	return func(yield func(store.StopReport, error) bool) {
		for below, more := int64(1<<62), true; more; {
			var ids []string
			err := s.each(ctx, listStops, func(rows *sql.Rows) error {
				var id string
				err := rows.Scan(&id, &below)
				ids = append(ids, id)
				return err
			}, below, page)
			more = len(ids) == page
			for i := 0; i < len(ids) && err == nil; i++ {
				var r store.StopReport
				if r, err = s.stopOf(ctx, ids[i]); err == nil && !yield(r, nil) {
					return
				}
			}
			if err != nil {
				yield(store.StopReport{}, fmt.Errorf("sqlitestore: stops: %w", err))
				return
			}
		}
	}
}

// stopOf merges what was told about the end of one process.
func (s *Store) stopOf(ctx context.Context, id string) (store.StopReport, error) {
	var parts []store.StopReport
	err := s.each(ctx, readStop, func(rows *sql.Rows) error {
		var text []byte
		var part store.StopReport
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if json.Unmarshal(text, &part) == nil {
			parts = append(parts, part)
		}
		return nil
	}, id)
	return store.MergeStops(parts), err
}
