package sqlitestore

import (
	"context"
	"fmt"

	"github.com/ebbjobs/ebb/store"
)

var (
	// A name whose time is over is free again: what it stood for is not.
	endUndo  = statement("UPDATE ebb_undo SET change = NULL WHERE change = ? AND until <= ?")
	openUndo = statement(`INSERT INTO ebb_undo(change, until) VALUES (?, ?)
		ON CONFLICT(change) DO UPDATE SET until = excluded.until RETURNING id`)
	findUndo   = statement("SELECT id FROM ebb_undo WHERE change = ? AND until > ?")
	oldestUndo = statement("SELECT id FROM ebb_undo WHERE until <= ? ORDER BY until LIMIT 1")
	forgetUndo = statement("DELETE FROM ebb_undo WHERE id = ?")

	keepWas = statement(`INSERT INTO ebb_was(mark, undo, left_state, left_queue, left_at, job, jid, queue, kind, state, at, seq, payload)
		SELECT ?, ?, ?, ?, ?, id, jid, queue, kind, state, at, seq, CASE WHEN ? THEN payload END FROM ebb_job WHERE id = ?`)
	lastWas = statement(`SELECT mark, left_state, left_queue, left_at, job, jid, queue, kind, state, at, seq, payload
		FROM ebb_was WHERE undo = ? ORDER BY mark DESC LIMIT 0 + ?`)
	dropWas = statement("DELETE FROM ebb_was WHERE undo = ? AND mark >= ?")
	trimWas = statement("DELETE FROM ebb_was WHERE mark IN (SELECT mark FROM ebb_was WHERE undo = ? ORDER BY mark LIMIT 0 + ?)")

	putBack = statement(`UPDATE ebb_job SET state = ?, queue = ?, ord = ?, at = ?, seq = ?, payload = coalesce(?, payload)
		WHERE id = ? AND state = ? AND queue = ? AND at = ? AND seq = ?`)
	bringBack = statement("INSERT INTO ebb_job(id, jid, queue, kind, state, ord, at, seq, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
)

// undoable notes that the calls of u go on, and returns the number to keep jobs
// under; 0: nothing is kept.
func (t *tx) undoable(u store.Undoable) (undo int64, err error) {
	if u.Change == "" || u.For <= 0 {
		return 0, nil
	}
	if _, err := t.exec(endUndo, u.Change, t.now); err != nil {
		return 0, err
	}
	if err := t.forgetUndos(store.MaxBatch); err != nil {
		return 0, err
	}
	err = t.query(openUndo, func(r []row) error { undo = r[0].(int64); return nil }, u.Change, t.now+u.For.Microseconds())
	return undo, err
}

// left is what a change makes of a job.
type left struct {
	state     store.Place
	queue, at int64
	repaid    bool // with another payload
}

// keep notes how a job is before it is moved, or deleted (nil), and returns the
// mark that the job must bear afterwards.
func (t *tx) keep(undo, job int64, l *left) (mark int64, err error) {
	if undo == 0 {
		return 0, nil
	}
	if mark, err = t.next(); err != nil {
		return 0, err
	}
	if l == nil {
		_, err = t.exec(keepWas, mark, undo, nil, nil, nil, true, job)
	} else {
		_, err = t.exec(keepWas, mark, undo, int64(l.state), l.queue, l.at, l.repaid, job)
	}
	return mark, err
}

// was is a job as it was before a change.
type was struct {
	mark, job, queue, kind, at, seq int64
	state                           store.Place
	jid                             string
	payload                         any // nil: as it is now
	left                            *left
}

// Undo implements [store.Inspector].
func (s *Store) Undo(ctx context.Context, change string, max int) (done store.Undone, err error) {
	most := store.MaxBatch
	if max > 0 {
		most = min(max, most)
	}
	err = s.writer.do(ctx, &call{class: other, jobs: most, apply: func(t *tx) (err error) {
		if err = t.forgetUndos(store.MaxBatch); err == nil {
			done, err = t.undo(change, most)
		}
		return err
	}})
	if err != nil {
		return store.Undone{}, fmt.Errorf("sqlitestore: undo %s: %w", change, err)
	}
	return done, nil
}

func (t *tx) undo(change string, most int) (done store.Undone, err error) {
	undo := int64(0)
	if err := t.query(findUndo, func(r []row) error { undo = r[0].(int64); return nil }, change, t.now); err != nil || undo == 0 {
		return done, err
	}
	all := make([]was, 0, most+1)
	err = t.query(lastWas, func(r []row) error {
		w := was{mark: r[0].(int64), job: r[4].(int64), jid: r[5].(string), queue: r[6].(int64), kind: r[7].(int64),
			state: store.Place(r[8].(int64)), at: r[9].(int64), seq: r[10].(int64), payload: r[11]}
		if r[1] != nil {
			w.left = &left{state: store.Place(r[1].(int64)), queue: r[2].(int64), at: r[3].(int64)}
		}
		all = append(all, w)
		return nil
	}, undo, int64(most+1))
	if err != nil {
		return done, err
	}
	if done.More = len(all) > most; done.More {
		all = all[:most]
	} else if _, err := t.exec(forgetUndo, undo); err != nil {
		return done, err
	}
	for i := range all {
		back, err := t.takeBack(&all[i])
		if err != nil {
			return done, err
		}
		if back {
			done.Back++
		} else {
			done.Passed++
		}
	}
	if len(all) > 0 {
		_, err = t.exec(dropWas, undo, all[len(all)-1].mark)
	}
	return done, err
}

// takeBack puts a job where it was, unless it has moved on. The books are as if
// nothing had been done to it.
func (t *tx) takeBack(w *was) (bool, error) {
	ord := int64(0)
	if w.state == store.Ready {
		var err error
		if ord, err = t.front(w.queue); err != nil {
			return false, err
		}
	}
	if l := w.left; l == nil {
		if _, err := t.exec(bringBack, w.job, w.jid, w.queue, w.kind, int64(w.state), ord, w.at, w.seq, blob(w.payload)); err != nil {
			return false, err
		}
		t.count(w.queue, deleted, -1)
	} else {
		n, err := t.exec(putBack, int64(w.state), w.queue, ord, w.at, w.seq, w.payload, w.job, int64(l.state), l.queue, l.at, w.mark)
		if n == 0 || err != nil {
			return false, err
		}
		t.exit(l.queue, l.state)
		if l.queue != w.queue {
			t.count(l.queue, accepted, -1)
			t.count(w.queue, moved, -1)
		}
	}
	t.enter(w.queue, w.state)
	t.ready = t.ready || w.state == store.Ready
	return true, nil
}

// forgetUndos forgets at most max jobs of changes that can be taken back no more.
func (t *tx) forgetUndos(max int64) error {
	for max > 0 {
		undo := int64(0)
		if err := t.query(oldestUndo, func(r []row) error { undo = r[0].(int64); return nil }, t.now); err != nil || undo == 0 {
			return err
		}
		n, err := t.exec(trimWas, undo, max)
		if err != nil {
			return err
		}
		if n < max {
			if _, err := t.exec(forgetUndo, undo); err != nil {
				return err
			}
		}
		max -= n + 1
	}
	return nil
}
