package sqlitestore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func init() {
	store.Register("sqlite", func(ctx context.Context, rawURL string) (store.Store, error) {
		path, opts, err := parseURL(rawURL)
		if err != nil {
			return nil, err
		}
		s, err := Open(ctx, path, opts)
		if err != nil {
			return nil, err // not a nil *Store inside an interface
		}
		return s, nil
	})
}

// Options are what Open can be told. The zero value is right for production.
type Options struct {
	// MayLoseLastMoments trades safety at a power cut for speed: what was committed
	// since the last checkpoint may be gone then. Default: nothing that was
	// answered is ever lost.
	MayLoseLastMoments bool
	// AnyFS opens the file on a file system that is not known to be local. SQLite
	// needs shared memory and working locks there; on network file systems it
	// damages the database. Default: refuse.
	AnyFS bool
	// Clock is the store's clock, for tests. Default: time.Now.
	Clock func() time.Time
	// NoWatch keeps from watching the wake file: jobs of other processes are then found
	// by looking once a second. For tests under fake time, where a watcher would
	// stop the clock. Default: watch.
	NoWatch bool

	// Set only by tests of this package.
	vfs        string
	checkpoint int  // pages
	noWatcher  bool // as if none were left
	patience   time.Duration
	fsType     func(dir string) (string, error)
	freeSpace  func(dir string) (int64, error)
}

// lockWait is how long a call waits for another writer before it gives up.
func (o Options) lockWait() time.Duration { return cmp.Or(o.patience, 10*time.Second) }

// Store is one open file. Its methods are those of [store.Store].
type Store struct {
	path string // absolute, symlinks resolved
	opts Options
	file fileID // of the database, as opened

	writer    *writer
	reads     *sql.DB
	queries   queries // on reads
	wake      *wake
	leases    leases
	names     names
	histories histories
	asked     asked
	reserve   *reserve
	house     housekeeping
	warnings  []string
	closed    chan struct{}
	closing   sync.Once
	spawning  sync.Mutex
	closeErr  error
	tasks     sync.WaitGroup // the watcher, and whoever waits for a user's commit
	replaced  atomic.Bool
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the file at path, and makes it where there is none; the
// folder must be there. Two Stores may have one file open, in one process or in
// many.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	s, err := open(ctx, path, opts)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: open %s: %w", path, err)
	}
	return s, nil
}

func open(ctx context.Context, path string, opts Options) (_ *Store, err error) {
	path, err = resolve(path)
	if err != nil {
		return nil, err
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	s := &Store{path: path, opts: opts, closed: make(chan struct{})}
	if s.warnings, err = opts.inspectFS(filepath.Dir(path)); err != nil {
		return nil, err
	}
	var undo []func() error
	defer func() {
		if err != nil {
			for _, f := range slices.Backward(undo) {
				err = errors.Join(err, f())
			}
		}
	}()

	gate, err := openTurnstile(path + "-lock")
	if err != nil {
		return nil, explainFile(err)
	}
	undo = append(undo, gate.close)
	raw, err := opts.connect(path, writing).Connect(ctx)
	if err != nil {
		return nil, explain(err)
	}
	conn := &writeConn{raw: raw}
	undo = append(undo, conn.close)
	if err := prepareFile(ctx, conn, gate, opts.lockWait()); err != nil {
		return nil, explain(err)
	}
	if s.file, err = identify(path); err != nil {
		return nil, explainFile(err)
	}
	if err := os.MkdirAll(path+".d", 0o777); err != nil {
		return nil, explainFile(err)
	}
	s.reads = sql.OpenDB(opts.connect(path, reading))
	s.reads.SetMaxOpenConns(4)
	s.reads.SetMaxIdleConns(4)
	undo = append(undo, s.reads.Close)
	if s.wake, err = newWake(path+"-wake", s); err != nil {
		return nil, explainFile(err)
	}
	s.reserve = &reserve{path: path + "-reserve", free: opts.space()}
	s.reserve.fill()
	s.writer = newWriter(s, conn, gate)
	go s.writer.run()
	return s, nil
}

// resolve makes path absolute and follows symlinks, so that all who have the
// file open use one lock beside it.
func resolve(path string) (string, error) {
	if path == "" || path == ":memory:" {
		return "", store.WithHint(errors.New("no file named"), `write sqlite:ebb.db; for a store in memory there is mem:`)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
		if err != nil {
			return "", store.WithHint(fmt.Errorf("%w: %w", store.ErrUnreachable, err), "make the folder first: mkdir -p %s", filepath.Dir(abs))
		}
		return filepath.Join(dir, filepath.Base(abs)), nil
	}
	if err != nil {
		return "", explainFile(err)
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return "", explainFile(err)
	case !info.Mode().IsRegular():
		return "", store.WithHint(fmt.Errorf("%w: not a regular file", store.ErrCorrupt), "name a file, such as %s", filepath.Join(abs, "ebb.db"))
	case info.Mode()&0o222 == 0: // root could write all the same, but somebody meant it
		return "", explainFile(fs.ErrPermission)
	}
	return real, nil
}

// prepareFile makes the schema unless it is there, and refuses one that this code
// must not use.
func prepareFile(ctx context.Context, c *writeConn, gate *turnstile, wait time.Duration) error {
	if err := gate.lockWithin(ctx, wait); err != nil {
		return err
	}
	defer gate.unlock()
	journal := ""
	err := c.query(journalMode, func(r []row) error { journal, _ = r[0].(string); return nil })
	if err != nil {
		return err
	}
	if journal != "wal" {
		return fmt.Errorf("%w: its journal mode stays %s", store.ErrReadOnly, journal)
	}
	if _, err := c.exec(begin); err != nil {
		return err
	}
	err = ensureSchema(c)
	if err == nil {
		_, err = c.exec(commit)
	}
	if err != nil {
		c.exec(rollback)
	}
	return err
}

var journalMode = statement("PRAGMA journal_mode = WAL")

// Describe says what was found when the file was opened.
func (s *Store) Describe() store.Description {
	durability := "every commit is synced before it is answered"
	if s.opts.MayLoseLastMoments {
		durability = "a power cut may lose the last moments"
	}
	return store.Description{
		Driver:      "sqlite",
		URL:         "sqlite:" + s.path,
		Server:      "SQLite " + libraryVersion(),
		Durability:  durability,
		LeaseIsLock: true,
		Wake:        s.wake.describe(),
		Warnings:    slices.Clone(s.warnings),
	}
}

// Close lets go of the file and of every lease. A process that did not Leave
// before counts as gone from here on. A second call does nothing.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.spawning.Lock()
		close(s.closed)
		s.spawning.Unlock()
		s.closeErr = errors.Join(s.writer.stop(), s.wake.close())
		s.tasks.Wait()
		s.closeErr = errors.Join(s.closeErr, s.reads.Close(), s.leases.release())
	})
	return s.closeErr
}

// spawn runs f beside, until Close, which f must notice by s.closed or by what it
// waits for. After Close it does nothing.
func (s *Store) spawn(f func()) {
	s.spawning.Lock()
	defer s.spawning.Unlock()
	if !s.isClosed() {
		s.tasks.Go(f)
	}
}

func (s *Store) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// now is the store's clock, in the unit of the at column.
func (s *Store) now() int64 { return s.opts.Clock().UnixMicro() }

func moment(micros int64) time.Time { return time.UnixMicro(micros) }

// parseURL reads sqlite:PATH?PARAM=VALUE and sqlite:///PATH.
func parseURL(rawURL string) (path string, opts Options, err error) {
	_, rest, _ := strings.Cut(rawURL, ":")
	rest, rawQuery, _ := strings.Cut(rest, "?")
	fail := func(problem, hint string, args ...any) (string, Options, error) {
		return "", opts, store.WithHint(fmt.Errorf("sqlitestore: %q: %s", rawURL, problem), hint, args...)
	}
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		if !strings.HasPrefix(after, "/") {
			return fail("names a host", "write sqlite:%s for a file in this folder, sqlite:///path/to/ebb.db for another", cmp.Or(after, "ebb.db"))
		}
		rest = after
	}
	if path, err = url.PathUnescape(rest); err != nil {
		return fail(err.Error(), "write a percent sign in a file's name as %%25")
	}
	if path == "" {
		return fail("names no file", "write sqlite:ebb.db")
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return fail(err.Error(), "write parameters as sqlite:ebb.db?durability=full")
	}
	for name, values := range query {
		value := values[len(values)-1]
		set, ok := params[name]
		if !ok {
			return fail("unknown parameter "+name, "did you mean %s?", nearest(name))
		}
		if !set(&opts, value) {
			return fail(fmt.Sprintf("%s=%s means nothing", name, value), "write %s", paramHelp[name])
		}
	}
	return path, opts, nil
}

var params = map[string]func(o *Options, value string) bool{
	"durability": func(o *Options, v string) bool {
		o.MayLoseLastMoments = v == "may-lose-last-moments"
		return v == "full" || o.MayLoseLastMoments
	},
	"anyfs": func(o *Options, v string) bool {
		o.AnyFS = v == "1"
		return v == "0" || v == "1"
	},
}

var paramHelp = map[string]string{
	"durability": "durability=full or durability=may-lose-last-moments",
	"anyfs":      "anyfs=1",
}

// nearest returns the known parameter that takes the fewest edits from name.
func nearest(name string) string {
	best, least := "", -1
	for known := range params {
		d := edits(strings.ToLower(name), known)
		if least < 0 || d < least || d == least && known < best {
			best, least = known, d
		}
	}
	return best
}

func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
