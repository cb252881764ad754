package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"math"

	"github.com/ebbjobs/ebb/store"
)

var (
	setChange = statement(`INSERT INTO ebb_change(name, began, at, change) VALUES (?, ?, ?, ?)
		ON CONFLICT(name) DO UPDATE SET began = excluded.began, at = excluded.at, change = excluded.change`)
	trimChangesByAge  = statement("DELETE FROM ebb_change WHERE at < ?")
	trimChangesBySize = statement("DELETE FROM ebb_change WHERE id IN (SELECT id FROM ebb_change ORDER BY began DESC, id DESC LIMIT -1 OFFSET 0 + ?)")
)

const listChanges = "SELECT id, began, change FROM ebb_change WHERE (began, id) < (?, ?) AND at >= ? ORDER BY began DESC, id DESC LIMIT ?"

// Record implements [store.Inspector].
func (s *Store) Record(ctx context.Context, c store.Change) error {
	text, err := json.Marshal(c)
	if err == nil {
		err = s.writer.do(ctx, &call{class: other, jobs: 1, apply: func(t *tx) error {
			if _, err := t.exec(setChange, c.ID, c.Began.UnixMicro(), t.now, string(text)); err != nil {
				return err
			}
			if _, err := t.exec(trimChangesByAge, t.now-store.ChangeAge.Microseconds()); err != nil {
				return err
			}
			_, err := t.exec(trimChangesBySize, int64(store.MaxChanges))
			return err
		}})
	}
	if err != nil {
		return fmt.Errorf("sqlitestore: record change %s: %w", c.ID, err)
	}
	return nil
}

// Changes implements [store.Inspector].
func (s *Store) Changes(ctx context.Context) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for began, id := int64(math.MaxInt64), int64(0); ; {
			var changes []store.Change
			n := 0
			err := s.each(ctx, listChanges, func(rows *sql.Rows) error {
				var text []byte
				if err := rows.Scan(&id, &began, &text); err != nil {
					return err
				}
				n++
				var c store.Change
				if json.Unmarshal(text, &c) == nil {
					changes = append(changes, c)
				}
				return nil
			}, began, id, s.now()-store.ChangeAge.Microseconds(), page)
			if err != nil {
				yield(store.Change{}, fmt.Errorf("sqlitestore: changes: %w", err))
				return
			}
			for _, c := range changes {
				if !yield(c, nil) {
					return
				}
			}
			if n < page {
				return
			}
		}
	}
}
