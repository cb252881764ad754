package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/ebbjobs/ebb/internal/bulk"
)

// bulkUndo takes a change back. It goes on when the browser that asked for it is gone,
// and stops between two batches when the pages are closed; asked again, it goes on.
func (ui *UI) bulkUndo(w http.ResponseWriter, r *request) error {
	c, err := bulk.Lookup(r.Context(), ui.store, r.PathValue("id"))
	if errors.Is(err, bulk.ErrUnknownChange) {
		return missing("there is no change %q", r.PathValue("id"))
	}
	if err != nil {
		return err
	}
	if err := r.allows(c.Verb); err != nil {
		return err
	}
	if ui.bulk.runs(c.ID) {
		return fault(http.StatusConflict, errors.New("the change still runs"), "stop it first")
	}
	ctx, end := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer end(nil)
	defer context.AfterFunc(ui.bulk.ctx, func() { end(errClosing) })()
	undone, err := bulk.Undo(ctx, ui.store, c, nil)
	if errors.Is(err, bulk.ErrNotUndoable) {
		return fault(http.StatusConflict, err, "what is kept for it is kept for ten minutes")
	}
	if err != nil {
		return err
	}
	if undone.Back == 0 && undone.Passed > 0 {
		return fault(http.StatusConflict, errors.New("none of the jobs was put back: all have moved on since"), "")
	}
	return ui.back(w, r, c.ID)
}
