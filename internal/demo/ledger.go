package demo

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store/sqlitestore"
)

// ledger is this program's own table, in the file that also keeps the jobs. A row
// is one job: a file below DIR, or the walk through all of them, which is row 0.
type ledger struct{ db *sql.DB }

// result is what a job leaves behind.
type result struct {
	SHA256 string
	Gzip   int64  // size; 0 for the walk
	Of     int64  // when the file had last been changed, in nanoseconds
	Note   string // why the file could not be read to its end; empty: it could
}

func openLedger(ctx context.Context, file string) (*ledger, error) {
	db, err := sqlitestore.OpenDB(file)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS demo(
		id INTEGER PRIMARY KEY, path BLOB NOT NULL,
		began INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0,
		sha256 TEXT NOT NULL DEFAULT '', gzip INTEGER NOT NULL DEFAULT 0,
		of INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '')`)
	if err == nil {
		_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS demo_resumed(
			id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, file INTEGER NOT NULL, at INTEGER NOT NULL)`)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &ledger{db}, nil
}

// plan writes the rows and enqueues their jobs in one transaction, so that a kill
// leaves all of it or nothing.
func (l *ledger) plan(ctx context.Context, client *ebb.Client, paths []string) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after the commit
	files := make([]fileArgs, len(paths))
	for i, path := range append([]string{""}, paths...) {
		if _, err := tx.ExecContext(ctx, `INSERT INTO demo(id, path) VALUES(?, ?)`, i, []byte(path)); err != nil {
			return err
		}
		if i > 0 {
			files[i-1].ID = int64(i)
		}
	}
	if _, err := walkFiles.Enqueue(ctx, client.InTx(tx), walkArgs{}); err != nil {
		return err
	}
	if _, err := measureFile.EnqueueMany(ctx, client.InTx(tx), files); err != nil {
		return err
	}
	return tx.Commit()
}

// begin counts a run of a job, and returns the path of its file.
func (l *ledger) begin(ctx context.Context, id int64) (string, error) {
	var path []byte
	err := l.db.QueryRowContext(ctx, `UPDATE demo SET began = began + 1 WHERE id = ? RETURNING path`, id).Scan(&path)
	return string(path), err
}

// finish keeps a result. Finishing twice keeps the second one.
func (l *ledger) finish(ctx context.Context, id int64, r result) error {
	// What was computed is kept even if the process is stopping by now.
	_, err := l.db.ExecContext(context.WithoutCancel(ctx),
		`UPDATE demo SET done = 1, sha256 = ?, gzip = ?, of = ?, note = ? WHERE id = ?`,
		r.SHA256, r.Gzip, r.Of, r.Note, id)
	return err
}

// resumed notes that the walk goes on, in this process, after a file.
func (l *ledger) resumed(ctx context.Context, file int64) error {
	_, err := l.db.ExecContext(ctx, `INSERT INTO demo_resumed(pid, file, at) VALUES(?, ?, ?)`, os.Getpid(), file, time.Now().UnixMicro())
	return err
}

// resumption is where and when the walk went on.
type resumption struct {
	id   int64
	pid  int
	file int64
	at   time.Time
}

// lastResumed returns the latest resumption, the zero one if there is none.
func (l *ledger) lastResumed(ctx context.Context) (r resumption, err error) {
	var at int64
	err = l.db.QueryRowContext(ctx, `SELECT id, pid, file, at FROM demo_resumed ORDER BY id DESC LIMIT 1`).Scan(&r.id, &r.pid, &r.file, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return resumption{}, nil
	}
	r.at = time.UnixMicro(at)
	return r, err
}

// path returns the path of a file; fs.ErrNotExist means that there are no more.
func (l *ledger) path(ctx context.Context, id int64) (string, error) {
	var path []byte
	err := l.db.QueryRowContext(ctx, `SELECT path FROM demo WHERE id = ?`, id).Scan(&path)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fs.ErrNotExist
	}
	return string(path), err
}

// counts are jobs of files; the walk is told apart.
type counts struct {
	files, done, twice int
	walked             bool
}

func (l *ledger) counts(ctx context.Context) (c counts, err error) {
	err = l.db.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE id > 0), count(*) FILTER (WHERE id > 0 AND done),
		count(*) FILTER (WHERE id > 0 AND began > 1), count(*) FILTER (WHERE id = 0 AND done) FROM demo`).
		Scan(&c.files, &c.done, &c.twice, &c.walked)
	return c, err
}

// finished: there is nothing left to do.
func (c counts) finished() bool { return c.walked && c.done == c.files }

// results calls visit with every file that is done, in the order of the walk.
func (l *ledger) results(ctx context.Context, visit func(path string, r result) error) error {
	rows, err := l.db.QueryContext(ctx, `SELECT path, sha256, gzip, of, note FROM demo WHERE id > 0 AND done ORDER BY id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var path []byte
		var r result
		if err := rows.Scan(&path, &r.SHA256, &r.Gzip, &r.Of, &r.Note); err != nil {
			return err
		}
		if err := visit(string(path), r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// walk returns the sum that the walk has left.
func (l *ledger) walk(ctx context.Context) (sum string, err error) {
	err = l.db.QueryRowContext(ctx, `SELECT sha256 FROM demo WHERE id = 0`).Scan(&sum)
	return sum, err
}

func (l *ledger) Close() error { return l.db.Close() }
