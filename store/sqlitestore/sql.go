package sqlitestore

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// stmt names a statement of the write path. Each connection prepares it once.
type stmt int

// statements holds the text of every stmt, so that a test can read all plans.
var statements []string

func statement(text string) stmt {
	statements = append(statements, text)
	return stmt(len(statements) - 1)
}

var (
	begin    = statement("BEGIN IMMEDIATE")
	commit   = statement("COMMIT")
	rollback = statement("ROLLBACK")
)

// row is a row's columns: int64, string, []byte or nil.
type row = driver.Value

// session runs statements inside a transaction: on the writer's own connection,
// or in a transaction of the user.
type session interface {
	// exec returns how many rows changed.
	exec(s stmt, args ...any) (int64, error)
	// query calls each with every row; the slice is good for that call only, the
	// blobs in it may be kept. each runs no statement.
	query(s stmt, each func([]row) error, args ...any) error
}

// writeConn is the one connection of a Store that writes. It goes to the driver
// by database/sql's driver interfaces, without the pool: nobody else may use it, and
// the pool's bookkeeping costs as much as a small statement.
type writeConn struct {
	raw   driver.Conn
	stmts []driver.Stmt
	args  []driver.NamedValue
	row   []row
}

func (c *writeConn) prepared(s stmt) (driver.Stmt, error) {
	if c.stmts == nil {
		c.stmts = make([]driver.Stmt, len(statements))
	}
	if c.stmts[s] == nil {
		p, err := c.raw.Prepare(statements[s])
		if err != nil {
			return nil, err
		}
		c.stmts[s] = p
	}
	return c.stmts[s], nil
}

func (c *writeConn) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, a := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args
}

func (c *writeConn) exec(s stmt, args ...any) (int64, error) {
	p, err := c.prepared(s)
	if err != nil {
		return 0, err
	}
	r, err := p.(driver.StmtExecContext).ExecContext(context.Background(), c.bind(args))
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (c *writeConn) query(s stmt, each func([]row) error, args ...any) error {
	p, err := c.prepared(s)
	if err != nil {
		return err
	}
	rows, err := p.(driver.StmtQueryContext).QueryContext(context.Background(), c.bind(args))
	if err != nil {
		return err
	}
	n := len(rows.Columns())
	if cap(c.row) < n {
		c.row = make([]row, n)
	}
	row := c.row[:n]
	for {
		err = rows.Next(row)
		if err == nil {
			err = each(row)
		}
		if err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

func (c *writeConn) close() error {
	var errs []error
	for _, p := range c.stmts {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

// userTx is the session of a transaction that the user began.
type userTx struct {
	ctx context.Context
	tx  *sql.Tx
}

func (u userTx) exec(s stmt, args ...any) (int64, error) {
	r, err := u.tx.ExecContext(u.ctx, statements[s], args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (u userTx) query(s stmt, each func([]row) error, args ...any) error {
	rows, err := u.tx.QueryContext(u.ctx, statements[s], args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	row := make([]row, len(columns))
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range into {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range values {
			row[i] = v
		}
		if err := each(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// mark is a function that only connections of this package have, by which
// Accepts tells their transactions from others.
const mark = "ebb_sqlitestore"

var ours = func() *sqlite.Driver {
	d := &sqlite.Driver{}
	d.MustRegisterDeterministicScalarFunction(mark, 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		return int64(1), nil
	})
	return d
}()

// connector opens connections of ours to one file.
type connector struct{ dsn string }

func (c connector) Driver() driver.Driver { return ours }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return ours.Open(c.dsn)
}

// mode is what a connection is for.
type mode int

const (
	writing mode = iota
	reading
	lending // to the user
)

// connect describes how a connection to path is opened. Every pragma is set on
// every connection: SQLite remembers only the journal mode in the file.
func (o Options) connect(path string, m mode) connector {
	sync := "FULL"
	if o.MayLoseLastMoments {
		sync = "NORMAL"
	}
	q := url.Values{}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", o.lockWait()/time.Millisecond))
	q.Add("_pragma", "synchronous("+sync+")")
	q.Add("_pragma", "cache_size(-16384)") // KiB: a busy worker stays under 64 MiB
	q.Add("_pragma", "temp_store(MEMORY)")
	q.Add("_pragma", fmt.Sprintf("wal_autocheckpoint(%d)", cmp.Or(o.checkpoint, 1000)))
	q.Add("_pragma", "journal_size_limit(67108864)")
	q.Set("mode", "rw")
	switch m {
	case writing:
		q.Set("mode", "rwc")
	case reading:
		q.Add("_pragma", "query_only(1)")
	case lending:
		q.Set("_txlock", "immediate") // else a tx that reads first fails when it comes to write
	}
	if o.vfs != "" {
		q.Set("vfs", o.vfs)
	}
	return connector{"file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()}
}

// libraryVersion is the version of SQLite that is linked in.
func libraryVersion() string { return sqlite3.SQLITE_VERSION }
