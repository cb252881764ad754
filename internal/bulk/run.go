package bulk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Options say how a change is run.
type Options struct {
	// Rate is the most jobs a second; 0: as fast as it goes.
	Rate float64
	// Progress, if not nil, is told after every batch how many jobs have had their
	// turn, of how many.
	Progress func(n, of int64)
}

const (
	// A batch is one transaction of the store, which others wait for.
	batchJobs  = 500
	batchBytes = 4 << 20
	// No batch takes longer unless the store is away.
	batchTime = 30 * time.Second
)

// Run changes the jobs that were frozen, and returns what was recorded of it. The end
// of ctx stops it between two batches: what it returns then has no Ended, and beside
// it comes an error. Run is called once.
func (f *Frozen) Run(ctx context.Context, o Options) (store.Change, error) {
	if f.resume == nil {
		f.change = store.Change{
			ID: f.ID, By: f.Order.By, Verb: string(f.Order.Verb), What: f.Order.what(), Why: f.Order.Why,
			Wanted: f.Count, Began: time.Now().UTC(),
		}
	}
	r := runner{Frozen: f, opt: o, began: time.Now()}
	if err := r.run(ctx); err != nil {
		return f.change, fmt.Errorf("bulk: %s: %w", f.Order.Verb, err)
	}
	return f.change, nil
}

// What is which jobs the order is about, in words.
func (f *Frozen) What() string { return f.Order.what() }

// what is the order in words.
func (o *Order) what() string {
	words := o.Query.String()
	if words == "" {
		words = "all"
	}
	const most = 300
	if len(words) > most {
		words = words[:most] + "…"
	}
	switch o.Verb {
	case Reschedule:
		words += " to " + o.At.Format(time.RFC3339)
	case Move:
		words += " to " + o.Queue
	}
	return words
}

// runner is one run of a frozen order.
type runner struct {
	*Frozen
	opt   Options
	began time.Time
	ran   int64 // jobs that had their turn

	batch []store.Pick
	bytes int
	to    store.Place
	// doubt: a batch was sent and nobody knows what became of it.
	doubt bool
}

// run walks over the places again and again until nothing of the set is found any
// more: a queue from which jobs are taken shifts under the walk.
func (r *runner) run(ctx context.Context) error {
	for r.set.left > 0 {
		before := r.set.left
		if err := r.pass(ctx); err != nil {
			return r.stopped(ctx, err)
		}
		if r.set.left == before {
			break
		}
	}
	r.change.Missed += r.set.left
	r.change.Ended = time.Now().UTC()
	return r.record(ctx, nil)
}

// stopped records how far the run came, and returns why it ends: one that was stopped
// before its first batch can be gone on with as well. Of a batch in doubt it leaves
// the record that was made before.
func (r *runner) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if !r.doubt && (ctx.Err() != nil || r.change.Done+r.change.Missed > 0) {
		err = errors.Join(err, r.record(ctx, nil))
	}
	return err
}

func (r *runner) pass(ctx context.Context) error {
	walks, err := r.query.Walks(ctx, r.st)
	if err != nil {
		return err
	}
	for _, walk := range walks {
		for again := true; again && r.set.left > 0; {
			if again, err = r.walk(ctx, walk); err != nil {
				return err
			}
		}
	}
	return nil
}

// walk goes once through a place. It reports that it should begin again where that
// costs next to nothing and keeps a queue's order: when most of what it came by is
// gone by now.
func (r *runner) walk(ctx context.Context, walk store.Query) (again bool, err error) {
	looked := 0
	r.to = r.Order.target(walk.Place)
	for e, err := range r.st.Jobs(ctx, walk) {
		if err != nil {
			return false, err
		}
		looked++
		if !r.set.take(e.Key) {
			continue
		}
		r.batch = append(r.batch, r.Order.pick(&e))
		r.bytes += len(e.Payload)
		if len(r.batch) < r.most() && r.bytes < batchBytes && r.set.left > 0 {
			continue
		}
		taken := len(r.batch)
		if err := r.flush(ctx); err != nil {
			return false, err
		}
		if again := walk.Place == store.Ready && looked < 2*taken; again || r.set.left == 0 {
			return again, nil
		}
	}
	return false, r.flush(ctx)
}

// most is how many jobs a batch may have: at most a second's worth.
func (r *runner) most() int {
	if r.opt.Rate <= 0 {
		return batchJobs
	}
	return min(batchJobs, max(1, int(r.opt.Rate)))
}

// flush sends the batch. The end of ctx stops it before, never on the way.
func (r *runner) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	if err := r.pause(ctx); err != nil {
		return err
	}
	if err := r.record(ctx, r.batch); err != nil {
		return err
	}
	call, cancel := sure(ctx)
	defer cancel()
	n, err := r.send(call)
	if err != nil {
		r.doubt = true
		return err
	}
	r.change.Done += int64(n)
	r.change.Missed += int64(len(r.batch) - n)
	r.ran += int64(len(r.batch))
	r.batch, r.bytes = r.batch[:0], 0
	if r.opt.Progress != nil {
		r.opt.Progress(r.change.Done+r.change.Missed, r.change.Wanted)
	}
	return nil
}

func (r *runner) send(ctx context.Context) (int, error) {
	u := store.Undoable{}
	if r.Undoable() {
		u = store.Undoable{Change: r.ID, For: UndoFor}
	}
	if v := r.Order.Verb; v == Delete || v == Clear {
		return r.st.Delete(ctx, u, r.batch...)
	}
	return r.st.Move(ctx, u, r.to, r.batch...)
}

// pause waits until the rate allows the next batch.
func (r *runner) pause(ctx context.Context) error {
	if r.opt.Rate > 0 {
		due := r.began.Add(time.Duration(float64(r.ran) / r.opt.Rate * float64(time.Second)))
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(due)):
		}
	}
	return ctx.Err()
}

// record keeps how far the change is, and what is sent next.
func (r *runner) record(ctx context.Context, batch []store.Pick) error {
	if r.Undoable() {
		r.change.Until = time.Now().Add(UndoFor).UTC()
	}
	r.change.Rest = r.rest(batch)
	call, cancel := sure(ctx)
	defer cancel()
	return r.st.Record(call, r.change)
}

// sure is the context of what must not be cut off half way.
func sure(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), batchTime)
}
