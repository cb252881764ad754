package sqlitestore

import (
	"context"
	"fmt"
	"strings"

	"github.com/ebbjobs/ebb/store"
)

// begin has a walk over a set begin at the moment that is asked for.
func (w *walk) begin() {
	if w.q.From.IsZero() || w.q.Place == store.Ready || w.q.Place == store.Keeping {
		return
	}
	if w.first = w.q.From.UnixMicro() - 1; w.q.Newest {
		w.first = w.q.From.UnixMicro() + 1
	}
}

// pass passes over the jobs that are to be skipped, along the index alone. It reports
// that there is nothing behind them.
func (w *walk) pass(ctx context.Context) (all bool, err error) {
	query, from := skipQuery(w.next, w.q.Place), []any{w.first}
	if w.begun {
		query, from = skipQuery(w.same, w.q.Place), []any{w.first, w.id}
	}
	all = true
	args := append(append(append([]any{}, w.args...), from...), int64(1), w.q.Skip-1)
	err = w.s.rows(ctx, query, func(r []row) bool {
		all, w.begun, w.id, w.first = false, true, r[0].(int64), r[1].(int64)
		return false
	}, args...)
	return all, err
}

// skipQuery is a query of a walk that reads no payload, and only the last of many rows.
func skipQuery(walk string, p store.Place) string {
	_, rest, _ := strings.Cut(walk, " FROM ")
	return fmt.Sprintf("SELECT id, %s FROM %s OFFSET ?", walkIndex[p], rest)
}
