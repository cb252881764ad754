package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var (
	findUnclaimed = statement(`SELECT DISTINCT j.holder, coalesce(b.name, '') FROM ebb_job j LEFT JOIN ebb_boot b ON b.id = j.holder
		WHERE j.state = 3 AND (b.id IS NULL OR NOT EXISTS (SELECT 1 FROM ebb_process p WHERE p.boot = j.holder))`)
	renameHolder = statement("UPDATE ebb_job SET holder = ? WHERE state = 3 AND holder = ?")
	// It has beaten 0 times: that tells its row from those of all who ever did.
	claimFor = statement("INSERT INTO ebb_process(boot, born, beat, ttl, beats, ends, presence) VALUES (?, ?, ?, ?, 0, ?, '{}')")
)

// nobody names a holder of whom only a number is left. Its jobs get another one,
// which has a name that was never given before.
func nobody(number int64) string { return "nobody:0:" + strconv.FormatInt(number, 10) }

// Audit implements [store.Keeper]. It always looks at all that is held, which an
// index has together. d is for people: the lock tells who lives.
func (s *Store) Audit(ctx context.Context, _ store.Identity, d time.Duration) ([]store.Identity, error) {
	found, err := s.audit(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: audit: %w", err)
	}
	return found, nil
}

func (s *Store) audit(ctx context.Context, d time.Duration) (found []store.Identity, err error) {
	err = s.each(ctx, statements[findUnclaimed], func(rows *sql.Rows) error {
		var holder int64
		var name string
		if err := rows.Scan(&holder, &name); err != nil {
			return err
		}
		if name == "" {
			name = nobody(holder)
		}
		found = append(found, store.Identity(name))
		return nil
	})
	slices.Sort(found)
	if err != nil || len(found) == 0 || d <= 0 {
		return found, err
	}
	err = s.writer.do(ctx, &call{class: other, jobs: len(found), apply: func(t *tx) (err error) {
		found, err = t.audit(d)
		return err
	}})
	return found, err
}

// audit looks again, since it writes only now.
func (t *tx) audit(d time.Duration) (found []store.Identity, err error) {
	type holder struct {
		boot int64
		name string
	}
	var holders []holder
	err = t.query(findUnclaimed, func(r []row) error {
		holders = append(holders, holder{r[0].(int64), r[1].(string)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, h := range holders {
		born, err := t.next()
		if err != nil {
			return nil, err
		}
		if h.name == "" {
			was := h.boot
			h.name = nobody(born)
			if h.boot, err = t.number(bootNames, h.name, true); err != nil {
				return nil, err
			}
			if _, err := t.exec(renameHolder, h.boot, was); err != nil {
				return nil, err
			}
		}
		if _, err := t.exec(claimFor, h.boot, born, t.now, d.Microseconds(), t.now+d.Microseconds()); err != nil {
			return nil, err
		}
		found = append(found, store.Identity(h.name))
	}
	slices.Sort(found)
	return found, nil
}
