package sqlitestore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

const (
	// promoteEvery is how long a promoter may look away, since nobody tells it of a
	// job that was scheduled meanwhile. A look reads three rows.
	promoteEvery = 50 * time.Millisecond

	defaultDeadMax = 10_000
	defaultDeadAge = 180 * 24 * time.Hour

	// What is old goes a little at a time: a clock that jumped ahead must not empty
	// the dead set before somebody sees it.
	houseEvery = time.Minute
	oldMax     = 1000 // dead jobs a minute, by age

	keepStops    = 30 * 24 * time.Hour
	keepStopsMax = 1000
	keepLanes    = 7 * 24 * time.Hour
)

// soonest reads when the next job of each set is due, how many are dead and since
// when the first is, and when the next change can be taken back no more.
const soonest = `SELECT (SELECT at FROM ebb_job WHERE state = 1 ORDER BY at, id LIMIT 1),
	(SELECT at FROM ebb_job WHERE state = 2 ORDER BY at, id LIMIT 1), (SELECT coalesce(sum(dead), 0) FROM ebb_queue),
	(SELECT at FROM ebb_job WHERE state = 4 ORDER BY at, id LIMIT 1), (SELECT until FROM ebb_undo ORDER BY until LIMIT 1)`

var (
	dueScheduled = statement("SELECT id, at, queue, payload FROM ebb_job WHERE state = 1 AND at <= ? ORDER BY at, id LIMIT 0 + ?")
	dueRetrying  = statement("SELECT id, at, queue, payload FROM ebb_job WHERE state = 2 AND at <= ? ORDER BY at, id LIMIT 0 + ?")
	promoteJob   = statement("UPDATE ebb_job SET state = 0, ord = ?, at = ?, payload = ? WHERE id = ?")
	trimBySize   = statement("DELETE FROM ebb_job WHERE id IN (SELECT id FROM ebb_job WHERE state = 4 ORDER BY at, id LIMIT 0 + ?) RETURNING queue")
	trimByAge    = statement("DELETE FROM ebb_job WHERE id IN (SELECT id FROM ebb_job WHERE state = 4 AND at < ? ORDER BY at, id LIMIT 0 + ?) RETURNING queue")
	trimStops    = statement(`DELETE FROM ebb_stop WHERE at < ? OR boot NOT IN (SELECT boot FROM ebb_stop GROUP BY boot ORDER BY max(id) DESC LIMIT ?)`)
	trimLanes    = statement("DELETE FROM ebb_lane WHERE at < ?")
	trimBoots    = statement(`DELETE FROM ebb_boot WHERE gone < ? AND NOT EXISTS (SELECT 1 FROM ebb_lane WHERE boot = ebb_boot.id)
		AND NOT EXISTS (SELECT 1 FROM ebb_process WHERE boot = ebb_boot.id)`)
)

// Promote implements [store.Keeper]. It looks first, without the writers' lock.
func (s *Store) Promote(ctx context.Context, p store.Promotion) (moved int, next time.Duration, err error) {
	if moved, next, err = s.promote(ctx, p); err != nil {
		return moved, 0, fmt.Errorf("sqlitestore: promote: %w", err)
	}
	return moved, next, nil
}

func (s *Store) promote(ctx context.Context, p store.Promotion) (moved int, next time.Duration, err error) {
	most := min(cmp.Or(p.Max, store.MaxBatch), store.MaxBatch)
	sight, err := s.look(ctx)
	if err != nil {
		return 0, 0, err
	}
	now := s.now()
	over := min(sight.dead-int64(cmp.Or(p.DeadMax, defaultDeadMax)), store.MaxBatch)
	tooOld := now - cmp.Or(p.DeadAge, defaultDeadAge).Microseconds()
	old, sweep := s.house.due(sight.firstDead < tooOld)
	if sight.due <= now || over > 0 || old > 0 || sweep || sight.firstUndo <= now {
		trimmedOld := int64(0)
		err = s.writer.do(ctx, &call{class: other, jobs: most, apply: func(t *tx) (err error) {
			if moved, err = t.promote(most); err != nil {
				return err
			}
			if over > 0 {
				if _, err := t.trim(trimBySize, over); err != nil {
					return err
				}
			}
			if old > 0 {
				if trimmedOld, err = t.trim(trimByAge, tooOld, old); err != nil {
					return err
				}
			}
			if sweep {
				if err := t.keepHouse(); err != nil {
					return err
				}
			}
			return t.forgetUndos(store.MaxBatch)
		}})
		if err != nil {
			return 0, 0, err
		}
		s.house.did(trimmedOld)
		if sweep {
			s.sweepLeases(ctx)
		}
		if sight, err = s.look(ctx); err != nil {
			return moved, 0, err
		}
	}
	wait := min(max(sight.due-s.now(), 0), promoteEvery.Microseconds())
	return moved, time.Duration(wait) * time.Microsecond, nil
}

// sight is what a promoter sees without a transaction; moments that never come
// are at the end of time.
type sight struct{ due, dead, firstDead, firstUndo int64 }

func (s *Store) look(ctx context.Context) (sight, error) {
	var scheduled, retrying, firstDead, firstUndo *int64
	var v sight
	err := s.each(ctx, soonest, func(rows *sql.Rows) error { return rows.Scan(&scheduled, &retrying, &v.dead, &firstDead, &firstUndo) })
	if err != nil {
		return v, err
	}
	never := int64(math.MaxInt64)
	v.due = min(*cmp.Or(scheduled, &never), *cmp.Or(retrying, &never))
	v.firstDead = *cmp.Or(firstDead, &never)
	v.firstUndo = *cmp.Or(firstUndo, &never)
	return v, nil
}

// promote puts the most overdue jobs of both sets at the back of their queues.
func (t *tx) promote(most int) (moved int, err error) {
	type job struct {
		id, at, queue int64
		payload       []byte
		from          store.Place
	}
	var jobs []job
	for from, due := range map[store.Place]stmt{store.Scheduled: dueScheduled, store.Retrying: dueRetrying} {
		err := t.query(due, func(r []row) error {
			jobs = append(jobs, job{r[0].(int64), r[1].(int64), r[2].(int64), blob(r[3]), from})
			return nil
		}, t.now, int64(most))
		if err != nil {
			return 0, err
		}
	}
	slices.SortFunc(jobs, func(a, b job) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	jobs = jobs[:min(len(jobs), most)]
	for _, j := range jobs {
		queue, err := t.queueName(j.queue)
		if err != nil {
			return 0, err
		}
		ord, err := t.next()
		if err != nil {
			return 0, err
		}
		if _, err := t.exec(promoteJob, ord, t.now, wire.Stamp(j.payload, queue, moment(t.now)), j.id); err != nil {
			return 0, err
		}
		crashpoint.At(crashpoint.DuringPromotion)
		t.exit(j.queue, j.from)
		t.enter(j.queue, store.Ready)
	}
	t.ready = t.ready || len(jobs) > 0
	return len(jobs), nil
}

// trim removes jobs from the dead set by a statement that returns their queues.
func (t *tx) trim(how stmt, args ...any) (n int64, err error) {
	err = t.query(how, func(r []row) error {
		t.exit(r[0].(int64), store.Dead)
		t.count(r[0].(int64), trimmed, 1)
		n++
		return nil
	}, args...)
	return n, err
}

// keepHouse forgets what nobody asks for any more.
func (t *tx) keepHouse() error {
	before := func(d time.Duration) int64 { return t.now - d.Microseconds() }
	if _, err := t.exec(trimStops, before(keepStops), int64(keepStopsMax)); err != nil {
		return err
	}
	if _, err := t.exec(trimLanes, before(keepLanes)); err != nil {
		return err
	}
	if _, err := t.exec(trimBoots, before(keepLanes)); err != nil {
		return err
	}
	return t.forgetPoints()
}

// housekeeping says how much of what is old may go now.
type housekeeping struct {
	mu    sync.Mutex
	since time.Time // when this minute began
	left  int64     // dead jobs that may still go in it
}

// due returns how many dead jobs may go if some are old, and once a minute true.
func (h *housekeeping) due(someOld bool) (old int64, sweep bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.since) >= houseEvery {
		h.since, h.left, sweep = time.Now(), oldMax, true
	}
	if someOld {
		old = h.left
	}
	return old, sweep
}

func (h *housekeeping) did(old int64) {
	h.mu.Lock()
	h.left -= old
	h.mu.Unlock()
}
