package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// OpenDB opens the file at path for tables of the user's own, with the settings
// that ebb needs of a connection whose transactions enqueue: see [Store.Accepts].
// Transactions begin IMMEDIATE. The user closes it.
func OpenDB(path string) (*sql.DB, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: open database %s: %w", path, err)
	}
	return sql.OpenDB(Options{}.connect(path, lending)), nil
}

// DB opens the store's own file as OpenDB does. The user closes it.
func (s *Store) DB() *sql.DB { return sql.OpenDB(s.opts.connect(s.path, lending)) }

// Accepts returns an Enqueuer that works inside tx, if that is a *[sql.Tx] on this
// store's file that began on a database of OpenDB or DB. Jobs that it pushes are
// there if and when the transaction commits.
//
// SQLite has one writer at a time: from its first write to its end the transaction
// keeps every worker from fetching and recording, and after ten seconds their
// calls fail. Within it, enqueue by it only: another call to the store from the
// same goroutine waits for a lock that this goroutine holds.
func (s *Store) Accepts(tx any) (store.Enqueuer, bool) {
	t, ok := tx.(*sql.Tx)
	if !ok {
		return nil, false
	}
	var yes int
	if t.QueryRow("SELECT "+mark+"()").Scan(&yes) != nil {
		return nil, false
	}
	var path string
	if t.QueryRow("SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path) != nil {
		return nil, false
	}
	if id, err := identify(path); err != nil || id != s.file {
		return nil, false
	}
	return &inTx{s, t}, true
}

// inTx enqueues in a user's transaction.
type inTx struct {
	s  *Store
	tx *sql.Tx
}

// Push implements [store.Enqueuer]. Workers are woken soon after the commit.
func (e *inTx) Push(ctx context.Context, c store.Call, items ...store.Item) ([]store.Result, error) {
	return e.add(ctx, "push", c, store.Ready, items)
}

// Schedule implements [store.Enqueuer].
func (e *inTx) Schedule(ctx context.Context, c store.Call, items ...store.Item) ([]store.Result, error) {
	return e.add(ctx, "schedule", c, store.Scheduled, items)
}

func (e *inTx) add(ctx context.Context, verb string, c store.Call, to store.Place, items []store.Item) ([]store.Result, error) {
	fail := func(err error) ([]store.Result, error) {
		return nil, fmt.Errorf("sqlitestore: %s in transaction: %w", verb, err)
	}
	switch {
	case e.s.isClosed():
		return fail(store.ErrClosed)
	case len(items) == 0:
		return nil, nil
	case e.s.reserve.isSpent():
		return fail(e.s.reserve.refusal())
	}
	if err := checkItems(items); err != nil {
		return fail(err)
	}
	if err := e.s.intact(); err != nil {
		return fail(err)
	}
	// Numbers of names that this transaction makes may be rolled back with it, so it
	// has a memory of its own.
	t := &tx{session: userTx{ctx, e.tx}, names: &names{}, now: e.s.now()}
	m, err := t.add(c, to, items)
	if err == nil {
		err = t.flush()
	}
	if err == nil && m == stale {
		err = store.ErrStale
	}
	if err != nil {
		return fail(explain(err))
	}
	e.s.wake.expect()
	return results(m, len(items)), nil
}

// How a user's commit is noticed: nothing of ours runs then.
const (
	expectFirst = 2 * time.Millisecond
	expectLast  = 50 * time.Millisecond
	expectFor   = time.Minute // past this, waiting Fetches find the jobs by looking
)

// expectation is a watch for commits of users' transactions.
type expectation struct {
	mu    sync.Mutex
	until time.Time
	on    bool
}

// expect rings after each commit of the next minute.
func (w *wake) expect() {
	e := &w.expected
	e.mu.Lock()
	defer e.mu.Unlock()
	e.until = time.Now().Add(expectFor)
	if e.on {
		return
	}
	e.on = true
	w.s.spawn(func() {
		w.poll(expectFirst, expectLast, w.ring, func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.on = time.Now().Before(e.until)
			return e.on
		})
		e.mu.Lock()
		e.on = false
		e.mu.Unlock()
	})
}
