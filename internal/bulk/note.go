package bulk

import (
	"context"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Note makes a change by hand and keeps in the audit trail that it was begun, by whom,
// and that it ended. One that failed or was cut off stays without an end. It returns
// the change as it was recorded last.
func Note(ctx context.Context, st store.Inspector, c store.Change, change func(ctx context.Context) (done int64, err error)) (store.Change, error) {
	var err error
	if c.ID, err = NewID(ctx, st); err != nil {
		return c, err
	}
	c.Began = time.Now().UTC()
	if err := st.Record(ctx, c); err != nil {
		return c, err
	}
	if c.Done, err = change(ctx); err != nil {
		return c, err
	}
	c.Ended = time.Now().UTC()
	// It is done: an interruption now must not hide that.
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer end()
	return c, st.Record(ctx, c)
}
