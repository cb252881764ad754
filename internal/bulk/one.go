package bulk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Edit is Retry with another payload, which a person has written.
const Edit Verb = "edit"

// One changes one job, which somebody has just seen, if it still is where and as it was.
// If it is not, nothing is changed, and the change that is returned and recorded has
// missed it. payload, for Edit, is what it goes on with. The order's query names it.
func One(ctx context.Context, st store.Inspector, o Order, e store.Entry, payload []byte) (store.Change, error) {
	verb := o.Verb
	if verb == Edit {
		o.Verb = Retry
	}
	if err := o.check(); err != nil {
		return store.Change{}, fmt.Errorf("bulk: %s: %w", verb, err)
	}
	if !slices.Contains(from[o.Verb], e.Place) {
		return store.Change{}, fmt.Errorf("bulk: %s: not from among those that are %s", verb, query.StateOf(e.Place))
	}
	o.At = o.At.UTC().Truncate(time.Millisecond)
	id, err := NewID(ctx, st)
	if err != nil {
		return store.Change{}, err
	}
	job, _ := wire.Parse(e.Payload)
	f := &Frozen{ID: id, Order: o, Count: 1, Bytes: int64(len(e.Payload)), st: st, latest: query.Touched(&e, job)}
	f.change = store.Change{ID: id, By: o.By, Verb: string(verb), What: o.what(), Why: o.Why, Wanted: 1, Began: time.Now().UTC()}
	r := runner{Frozen: f, began: time.Now(), to: o.target(e.Place)}
	r.batch = []store.Pick{o.edited(&e, payload)}
	if err = r.flush(ctx); err == nil {
		r.change.Ended = time.Now().UTC()
		err = r.record(ctx, nil)
	}
	if err != nil {
		return f.change, fmt.Errorf("bulk: %s: %w", verb, err)
	}
	return f.change, nil
}

// edited is what is done to a job that goes on with another payload; nil: its own.
func (o *Order) edited(e *store.Entry, payload []byte) store.Pick {
	if payload == nil {
		return o.pick(e)
	}
	other := *e
	other.Payload = payload
	p := o.pick(&other)
	if p.Payload == nil {
		p.Payload = payload
	}
	return p
}

// Left counts those of the frozen jobs that still are as they were. ctx bounds how long
// that may take.
func (f *Frozen) Left(ctx context.Context) (int64, error) {
	left := set{hashes: f.set.hashes, counts: slices.Clone(f.set.counts), left: f.set.left}
	walks, err := f.query.Walks(ctx, f.st)
	if err != nil {
		return 0, err
	}
	for _, walk := range walks {
		for e, err := range f.st.Jobs(ctx, walk) {
			if err != nil {
				return 0, fmt.Errorf("bulk: count what is left: %w", err)
			}
			if left.take(e.Key); left.left == 0 {
				return f.Count, nil
			}
		}
	}
	return f.Count - left.left, nil
}
