package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var _ store.Historian = (*Store)(nil)

var (
	readPoint  = statement("SELECT counts FROM ebb_point WHERE step = ? AND at = ? AND series = ?")
	writePoint = statement("INSERT OR REPLACE INTO ebb_point(step, at, series, counts) VALUES (?, ?, ?, ?)")
	sizePoints = statement("SELECT count(*) FROM ebb_point WHERE step = ? AND at = ?")
	findSeries = statement("SELECT id, used FROM ebb_series WHERE kind = ? AND queue = ? AND release = ?")
	addSeries  = statement("INSERT INTO ebb_series(kind, queue, release, used) VALUES (?, ?, ?, ?) RETURNING id")
	useSeries  = statement("UPDATE ebb_series SET used = ? WHERE id = ?")
	addMark    = statement("INSERT OR IGNORE INTO ebb_mark(at, release) VALUES (?, ?)")

	trimPoints = statement(`DELETE FROM ebb_point WHERE (step, at, series) IN
		(SELECT step, at, series FROM ebb_point WHERE step = ? AND at <= ? ORDER BY at LIMIT 0 + ?)`)
	trimSeries      = statement("DELETE FROM ebb_series WHERE id IN (SELECT id FROM ebb_series WHERE used < ? ORDER BY used LIMIT 0 + ?)")
	trimMarksByAge  = statement("DELETE FROM ebb_mark WHERE at <= ?")
	trimMarksBySize = statement("DELETE FROM ebb_mark WHERE id <= (SELECT id FROM ebb_mark ORDER BY id DESC LIMIT 1 OFFSET 0 + ?)")
)

const (
	listPoints = `SELECT p.at, coalesce(s.kind, ''), coalesce(s.queue, ''), coalesce(s.release, ''), p.counts
		FROM ebb_point p LEFT JOIN ebb_series s ON s.id = p.series
		WHERE p.step = ? AND p.at >= ? AND p.at < ? AND (?4 = '' OR s.kind = ?4) ORDER BY p.at, s.kind, s.queue, s.release`
	listMarks   = "SELECT at, release FROM ebb_mark WHERE at >= ? AND at > ? ORDER BY id"
	listEnded   = "SELECT id, ended FROM ebb_ended WHERE id < ? ORDER BY id DESC LIMIT ?"
	listEndedOf = "SELECT id, ended FROM ebb_ended WHERE jid = ? AND id < ? ORDER BY id DESC LIMIT ?"

	// usedEvery is how exactly it is known when a series was last counted.
	usedEvery = 24 * time.Hour
	// pointsMax is how many points of a step go at a time: the writers' lock is not
	// held for long where all of them have become old.
	pointsMax = 2000
)

// countRuns counts runs in the steps that tell them apart.
func (t *tx) countRuns(r store.Runs, release string, at time.Time) error {
	series, err := t.findSeries(r.Kind, r.Queue, release, at)
	if err != nil {
		return err
	}
	for _, step := range store.Steps {
		if step.Total() {
			continue
		}
		into, known := series, false
		if series != 0 {
			if err := t.query(readPoint, func([]row) error { known = true; return nil }, seconds(step), step.Start(at).Unix(), series); err != nil {
				return err
			}
		}
		if !known {
			n := int64(0)
			if err := t.query(sizePoints, func(r []row) error { n = r[0].(int64); return nil }, seconds(step), step.Start(at).Unix()); err != nil {
				return err
			}
			switch {
			case n >= store.MaxSeries:
				into, err = t.seriesOf(store.Others, "", "", at)
			case series == 0:
				series, err = t.seriesOf(r.Kind, r.Queue, release, at)
				into = series
			}
			if err != nil {
				return err
			}
		}
		if err := t.addTo(step, at, into, r); err != nil {
			return err
		}
	}
	return nil
}

func seconds(step store.Step) int64 { return int64(time.Duration(step) / time.Second) }

// findSeries returns the number of a series, 0 if it has none, and notes that it is used.
func (t *tx) findSeries(kind, queue, release string, at time.Time) (id int64, err error) {
	used := int64(0)
	err = t.query(findSeries, func(r []row) error { id, used = r[0].(int64), r[1].(int64); return nil }, kind, queue, release)
	if err == nil && id != 0 && at.Unix() > used+int64(usedEvery/time.Second) {
		_, err = t.exec(useSeries, at.Unix(), id)
	}
	return id, err
}

// seriesOf returns the number of a series, which is made if it is new.
func (t *tx) seriesOf(kind, queue, release string, at time.Time) (id int64, err error) {
	if id, err = t.findSeries(kind, queue, release, at); err == nil && id == 0 {
		err = t.query(addSeries, func(r []row) error { id = r[0].(int64); return nil }, kind, queue, release, at.Unix())
	}
	return id, err
}

// addTo adds runs to a point.
func (t *tx) addTo(step store.Step, at time.Time, series int64, more store.Runs) error {
	var sum store.Runs
	start := step.Start(at).Unix()
	if err := t.query(readPoint, func(r []row) error { sum = unpack(blob(r[0])); return nil }, seconds(step), start, series); err != nil {
		return err
	}
	_, err := t.exec(writePoint, seconds(step), start, series, pack(sum.Plus(more)))
	return err
}

// mark notes that a process of a release registered, unless one did before.
func (t *tx) mark(release string) error {
	if release == "" {
		return nil
	}
	// Else one whose time is over would be taken for known.
	if _, err := t.exec(trimMarksByAge, t.now-store.MarkAge.Microseconds()); err != nil {
		return err
	}
	n, err := t.exec(addMark, t.now, release)
	if err == nil && n > 0 {
		_, err = t.exec(trimMarksBySize, int64(store.MaxMarks))
	}
	return err
}

// forgetPoints drops what is too old to be shown, a little at a time.
func (t *tx) forgetPoints() error {
	now := moment(t.now)
	oldest := time.Duration(0)
	for _, step := range store.Steps {
		if _, err := t.exec(trimPoints, seconds(step), now.Add(-step.Kept()).Unix(), int64(pointsMax)); err != nil {
			return err
		}
		if !step.Total() {
			oldest = max(oldest, step.Kept())
		}
	}
	// Twice the time: a series with points that are still on their way out keeps its name.
	_, err := t.exec(trimSeries, now.Add(-2*oldest-usedEvery).Unix(), int64(pointsMax))
	return err
}

// Series implements [store.Historian].
func (s *Store) Series(ctx context.Context, q store.SeriesQuery) ([]store.Point, error) {
	now := moment(s.now())
	from, to := now.Add(-q.Step.Kept()).Unix()+1, now.Unix()+1
	if !q.From.IsZero() {
		from = max(from, ceil(q.From))
	}
	if !q.To.IsZero() {
		to = ceil(q.To)
	}
	var points []store.Point
	err := s.each(ctx, listPoints, func(rows *sql.Rows) error {
		var p store.Point
		var at int64
		var counts []byte
		var kind, queue string
		if err := rows.Scan(&at, &kind, &queue, &p.Release, &counts); err != nil {
			return err
		}
		p.At, p.Runs = time.Unix(at, 0).UTC(), unpack(counts)
		p.Kind, p.Queue = kind, queue
		points = append(points, p)
		return nil
	}, seconds(q.Step), from, to, q.Kind)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: series: %w", err)
	}
	return points, nil
}

// ceil is the first whole second that is not before t.
func ceil(t time.Time) int64 { return t.Add(time.Second - 1).Unix() }

// Marks implements [store.Historian].
func (s *Store) Marks(ctx context.Context, since time.Time) ([]store.Mark, error) {
	var marks []store.Mark
	err := s.each(ctx, listMarks, func(rows *sql.Rows) error {
		var m store.Mark
		var at int64
		err := rows.Scan(&at, &m.Release)
		m.At = moment(at)
		marks = append(marks, m)
		return err
	}, since.UnixMicro(), s.now()-store.MarkAge.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: marks: %w", err)
	}
	return marks, nil
}

// Ended implements [store.Historian].
func (s *Store) Ended(ctx context.Context, jid string) iter.Seq2[store.Ended, error] {
	return func(yield func(store.Ended, error) bool) {
		for below, n := int64(math.MaxInt64), page; n == page; {
			n = 0
			var ended []store.Ended
			query, args := listEnded, []any{below, page}
			if jid != "" {
				query, args = listEndedOf, []any{jid, below, page}
			}
			err := s.each(ctx, query, func(rows *sql.Rows) error {
				var text []byte
				if err := rows.Scan(&below, &text); err != nil {
					return err
				}
				n++
				var e store.Ended
				if json.Unmarshal(text, &e) == nil {
					ended = append(ended, e)
				}
				return nil
			}, args...)
			if err != nil {
				yield(store.Ended{}, fmt.Errorf("sqlitestore: ended: %w", err))
				return
			}
			for _, e := range ended {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// pack writes counts: the four sums, times in µs, then each spread as a word with a bit
// for each counter that is not 0, and those counters. All numbers are varints. What a
// later layout adds stands behind them.
func pack(r store.Runs) []byte {
	var b []byte
	for _, n := range []int64{r.Ended, r.Failed, r.Took.Microseconds(), r.Waited.Microseconds()} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, spread := range []*store.Spread{&r.Spread, &r.Waits} {
		bits := uint64(0)
		for i, n := range spread {
			if n != 0 {
				bits |= 1 << i
			}
		}
		b = binary.AppendUvarint(b, bits)
		for _, n := range spread {
			if n != 0 {
				b = binary.AppendUvarint(b, uint64(n))
			}
		}
	}
	return b
}

// unpack reads what pack wrote. What is cut short counts as far as it goes.
func unpack(b []byte) (r store.Runs) {
	next := func() int64 {
		n, size := binary.Uvarint(b)
		b = b[max(size, 0):]
		return int64(n)
	}
	r.Ended, r.Failed = next(), next()
	r.Took, r.Waited = time.Duration(next())*time.Microsecond, time.Duration(next())*time.Microsecond
	for _, spread := range []*store.Spread{&r.Spread, &r.Waits} {
		bits := uint64(next())
		for i := range spread {
			if bits&(1<<i) != 0 {
				spread[i] = next()
			}
		}
	}
	return r
}
