package bulk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var (
	// ErrUnknownChange says that no change has that id, or that it was too long ago.
	ErrUnknownChange = errors.New("no such change")
	// ErrNotUndoable says that a change cannot be taken back, or not any more.
	ErrNotUndoable = errors.New("cannot be undone")
)

// Lookup finds a change by its id, or the beginning of it.
func Lookup(ctx context.Context, st store.Inspector, id string) (store.Change, error) {
	var found []store.Change
	for c, err := range st.Changes(ctx) {
		switch {
		case err != nil:
			return store.Change{}, fmt.Errorf("bulk: find change %s: %w", id, err)
		case c.ID == id:
			return c, nil
		case id != "" && strings.HasPrefix(c.ID, id):
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return store.Change{}, fmt.Errorf("bulk: %q: %w", id, ErrUnknownChange)
	case 1:
		return found[0], nil
	}
	err := fmt.Errorf("bulk: %q: %w: %d begin so", id, ErrUnknownChange, len(found))
	return store.Change{}, store.WithHint(err, "give more of it, such as %s", found[0].ID)
}

// LastUndoable returns the change that was begun last of those that can be undone.
func LastUndoable(ctx context.Context, st store.Inspector) (store.Change, error) {
	for c, err := range st.Changes(ctx) {
		if err != nil {
			return store.Change{}, fmt.Errorf("bulk: find the last change: %w", err)
		}
		if Undoable(&c, time.Now()) == nil {
			return c, nil
		}
	}
	return store.Change{}, fmt.Errorf("bulk: %w that can be undone", ErrUnknownChange)
}

// Undoable says why a change cannot be undone now, nil if it can.
func Undoable(c *store.Change, now time.Time) error {
	switch {
	case !c.Undone.IsZero():
		return fmt.Errorf("%w: it was, at %s", ErrNotUndoable, c.Undone.UTC().Format(time.TimeOnly))
	case c.Until.IsZero():
		return ErrNotUndoable
	case now.After(c.Until):
		return fmt.Errorf("%w any more: that was possible until %s", ErrNotUndoable, c.Until.UTC().Format(time.TimeOnly))
	}
	return nil
}

// Undone is what came of an undo.
type Undone struct {
	Back   int64 // jobs that are where they were, to the byte
	Passed int64 // jobs that have moved on since
}

// Undo takes a change back, a batch at a time, and returns what it did. The end of ctx
// stops it between two batches; called again, it goes on.
func Undo(ctx context.Context, st store.Inspector, c store.Change, progress func(n, of int64)) (Undone, error) {
	var sum Undone
	err := Undoable(&c, time.Now())
	for more := err == nil; more; {
		var n store.Undone
		if n, err = undoBatch(ctx, st, c.ID); err != nil {
			break
		}
		sum.Back += int64(n.Back)
		sum.Passed += int64(n.Passed)
		if progress != nil {
			progress(sum.Back+sum.Passed, max(c.Done, sum.Back+sum.Passed))
		}
		more = n.More
	}
	if err == nil {
		c.Undone = time.Now().UTC()
		call, cancel := sure(ctx)
		defer cancel()
		err = st.Record(call, c)
	}
	if err != nil {
		return sum, fmt.Errorf("bulk: undo %s: %w", c.ID, err)
	}
	return sum, nil
}

func undoBatch(ctx context.Context, st store.Inspector, id string) (store.Undone, error) {
	if ctx.Err() != nil {
		return store.Undone{}, context.Cause(ctx)
	}
	call, cancel := sure(ctx)
	defer cancel()
	return st.Undo(call, id, batchJobs)
}

// NewID makes an id that no change has: what is recorded and kept under another's
// would be mixed with it.
func NewID(ctx context.Context, st store.Inspector) (string, error) {
	var taken []string
	for c, err := range st.Changes(ctx) {
		if err != nil {
			return "", fmt.Errorf("bulk: name a change: %w", err)
		}
		taken = append(taken, c.ID)
	}
	for {
		var raw [4]byte
		rand.Read(raw[:])
		if id := hex.EncodeToString(raw[:]); !slices.Contains(taken, id) {
			return id, nil
		}
	}
}
