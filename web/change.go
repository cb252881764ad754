package web

import (
	"context"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/store"
)

// noting makes a change by hand that the audit trail tells of, and returns its id.
func (ui *UI) noting(r *request, c store.Change, change func(ctx context.Context) (done int64, err error)) (string, error) {
	c.By, c.Why = r.Who(), r.PostFormValue("why")
	c, err := bulk.Note(r.Context(), ui.store, c, change)
	if err != nil {
		return "", err
	}
	return c.ID, nil
}
