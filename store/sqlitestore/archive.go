package sqlitestore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var _ store.Archiver = (*Store)(nil)

// A backup is a SQLite file with the tables of ebb, which any SQLite can open, and
// a last line with the checksum of all before it.
const (
	backupMagic = "SQLite format 3\x00"
	backupSeal  = "\nebb backup 1 sha256 %x\n"
)

var sealSize = int64(len(seal(nil)))

func seal(sum []byte) []byte {
	return fmt.Appendf(nil, backupSeal, append(sum, make([]byte, sha256.Size-len(sum))...))
}

// Backup implements [store.Archiver]. It copies what one transaction sees into a
// file beside the leases first, since whoever reads it from w may be slow, and a
// reader that stays keeps the WAL from being reused.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	if err := s.backup(ctx, w); err != nil {
		return fmt.Errorf("sqlitestore: backup: %w", s.readError(err))
	}
	return nil
}

func (s *Store) backup(ctx context.Context, w io.Writer) (err error) {
	if s.isClosed() {
		return store.ErrClosed
	}
	if err := s.intact(); err != nil {
		return err
	}
	f, err := s.tempCopy()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	err = s.fillCopy(ctx, f.Name())
	// Its name is not needed any more, and a process that dies leaves nothing.
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), &reader{ctx, f}); err != nil {
		return err
	}
	_, err = w.Write(seal(sum.Sum(nil)))
	return err
}

// tempCopy makes a file in the folder of the leases, from which it is swept like
// they are if this process dies.
func (s *Store) tempCopy() (*os.File, error) {
	dir := s.path + ".d"
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, explainFile(err)
	}
	f, err := os.CreateTemp(dir, "copy-*")
	return f, explainFile(err)
}

const ebbTables = `SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND name LIKE 'ebb\_%' ESCAPE '\'`

// fillCopy writes the tables of ebb to the empty file at path. Indexes are made
// anew by those who restore it.
func (s *Store) fillCopy(ctx context.Context, path string) error {
	return s.beside(ctx, path, func(conn *sql.Conn) error {
		pages, err := s.copyRoom()
		if err != nil {
			return err
		}
		setup := fmt.Sprintf("PRAGMA copy.journal_mode = OFF; PRAGMA copy.synchronous = OFF; PRAGMA copy.max_page_count = %d; BEGIN", pages)
		if _, err := conn.ExecContext(ctx, setup); err != nil {
			return err
		}
		rows, err := conn.QueryContext(ctx, ebbTables)
		if err != nil {
			return err
		}
		var script strings.Builder
		for rows.Next() {
			var name, text string
			if err := rows.Scan(&name, &text); err != nil {
				return errors.Join(err, rows.Close())
			}
			fmt.Fprintf(&script, "CREATE TABLE copy.%s;\n", strings.TrimPrefix(text, "CREATE TABLE "))
			fmt.Fprintf(&script, "INSERT INTO copy.%s SELECT * FROM main.%[1]s;\n", name)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, script.String()+"COMMIT")
		if noSpace(err) {
			return store.WithHint(fmt.Errorf("%w: %w", store.ErrFull, err), "free some space in %s, where the copy is made first; the store goes on", filepath.Dir(s.path))
		}
		return err
	})
}

// copyRoom is how many pages a copy may have, so that the store still has room
// afterwards.
func (s *Store) copyRoom() (int64, error) {
	free, err := s.opts.space()(s.path)
	if err != nil {
		return 0, explainFile(err)
	}
	const pageSize = 4096
	return max((free-4*reserveSize)/pageSize, 1), nil
}

// beside calls do with a connection to the store that has the file at path
// attached as copy. What do leaves open is rolled back.
func (s *Store) beside(ctx context.Context, path string, do func(*sql.Conn) error) error {
	db := sql.OpenDB(s.opts.connect(s.path, lending))
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return explain(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "ATTACH ? AS copy", path); err != nil {
		return explain(err)
	}
	return explain(do(conn))
}

// reader is r until ctx ends.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

//go:embed schema/restore.sql
var restoreScript string

// Restore implements [store.Archiver]. Tables of users in the same file stay as
// they are. It is one transaction, which keeps others from writing meanwhile.
//
// A process whose lease file is missing may be alive, and makes another with its
// next beat: Restore waits for up to twelve seconds to see. What processes held
// when the backup was made may be rescued at once, since here they have no lease.
func (s *Store) Restore(ctx context.Context, r io.Reader, replace bool) error {
	if err := s.restore(ctx, r, replace); err != nil {
		return fmt.Errorf("sqlitestore: restore: %w", s.readError(err))
	}
	return nil
}

func (s *Store) restore(ctx context.Context, r io.Reader, replace bool) error {
	if s.isClosed() {
		return store.ErrClosed
	}
	if err := s.intact(); err != nil {
		return err
	}
	path, err := s.receive(ctx, r)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	if err := s.settle(ctx); err != nil {
		return err
	}
	gate, err := openTurnstile(s.path + "-lock")
	if err != nil {
		return explainFile(err)
	}
	defer gate.close()
	if err := gate.lockWithin(ctx, s.opts.lockWait()); err != nil {
		return err
	}
	defer gate.unlock()
	var were []store.Identity
	err = s.beside(ctx, path, func(conn *sql.Conn) error {
		were, err = s.replace(ctx, conn, replace)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range were {
		s.layDown(id)
	}
	s.wake.ring()
	return s.intact()
}

// receive writes a backup to a file, without its seal, and checks it.
func (s *Store) receive(ctx context.Context, r io.Reader) (path string, err error) {
	in := bufio.NewReader(&reader{ctx, r})
	if head, err := in.Peek(len(backupMagic)); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	} else if string(head) != backupMagic {
		return "", badBackup("it is no backup of a SQLite store")
	}
	f, err := s.tempCopy()
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err == nil {
			err = s.inspectCopy(f.Name())
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := lockFile(f, exclusive); err != nil { // or it is swept, if r is slow
		return "", err
	}
	n, err := io.Copy(f, in)
	if err != nil {
		return "", explainFile(err)
	}
	n -= sealSize
	sum, got := sha256.New(), make([]byte, sealSize)
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, n)); err != nil {
		return "", err
	}
	if _, err := f.ReadAt(got, max(n, 0)); err != nil || !bytes.Equal(got, seal(sum.Sum(nil))) {
		return "", badBackup("it is cut short or damaged")
	}
	return f.Name(), f.Truncate(n)
}

// inspectCopy refuses what this code cannot read, and brings what an earlier
// release wrote to its own layout.
func (s *Store) inspectCopy(path string) (err error) {
	raw, err := s.opts.connect(path, lending).Connect(context.Background())
	if err != nil {
		return badBackup(err.Error())
	}
	c := &writeConn{raw: raw}
	defer func() { err = errors.Join(err, c.close()) }()
	switch version, err := layoutOf(c); {
	case err != nil:
		return explain(err)
	case version == 0:
		return badBackup("it holds no store")
	case version > layout:
		return store.WithHint(fmt.Errorf("%w: the backup's layout is %d; this is %d", store.ErrTooNew, version, layout), "run the release that made it, or a later one")
	}
	return explain(ensureSchema(c))
}

func badBackup(why string) error {
	return store.WithHint(fmt.Errorf("%w: %s", store.ErrCorrupt, why), "take another backup; nothing was changed")
}

// settle waits until it is known of every process whether it lives, and fails if
// one does.
func (s *Store) settle(ctx context.Context) error {
	for look := time.NewTimer(0); ; look.Reset(100 * time.Millisecond) {
		select {
		case <-look.C:
		case <-s.closed:
			return store.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
		all, err := s.registered(ctx)
		if err != nil {
			return err
		}
		unsure := false
		for i := range all {
			v := s.probe(all[i].id)
			if v == alive {
				return inUse(all[i].id)
			}
			unsure = unsure || v == unknown
		}
		if !unsure {
			return nil
		}
	}
}

func inUse(id store.Identity) error {
	return store.WithHint(fmt.Errorf("%w: %s", store.ErrInUse, id), "stop it first, and all others: ebb processes stop")
}

// replace does it, and returns who had a lease when the backup was made.
func (s *Store) replace(ctx context.Context, conn *sql.Conn, replace bool) (were []store.Identity, err error) {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, err
	}
	var version, jobs int64
	if err := conn.QueryRowContext(ctx, "SELECT version, EXISTS (SELECT 1 FROM main.ebb_job) FROM main.ebb_meta").Scan(&version, &jobs); err != nil {
		return nil, err
	}
	if version > layout {
		return nil, store.WithHint(fmt.Errorf("%w: its layout is %d; this is %d", store.ErrTooNew, version, layout), "restore with the release that it is used by")
	}
	// Again: nobody can register from here on.
	are, err := registeredOn(ctx, conn)
	for _, id := range are {
		if s.probe(id) != gone {
			return nil, inUse(id)
		}
	}
	if err == nil && jobs != 0 && !replace {
		err = store.ErrNotEmpty
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, restoreScript)
	}
	if err == nil {
		were, err = registeredOn(ctx, conn)
	}
	if err == nil {
		_, err = conn.ExecContext(context.WithoutCancel(ctx), "COMMIT")
	}
	return were, err
}

func registeredOn(ctx context.Context, conn *sql.Conn) (ids []store.Identity, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT b.name FROM main.ebb_process p JOIN main.ebb_boot b ON b.id = p.boot")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id store.Identity
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
