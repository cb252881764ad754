package sqlitestore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
)

var (
	findHolder = statement("SELECT b.id, b.gone, p.boot IS NOT NULL FROM ebb_boot b LEFT JOIN ebb_process p ON p.boot = b.id WHERE b.name = ?")
	// 0 + ?: SQLite plans anew for each value of a bare parameter of LIMIT.
	takeReady = statement(`UPDATE ebb_job SET state = 3, holder = ?, lane = ?, seq = ?
		WHERE id IN (SELECT id FROM ebb_job WHERE state = 0 AND queue = ? ORDER BY ord LIMIT 0 + ?) RETURNING id, ord, payload`)
	heldByFetch = statement("SELECT id, queue, payload FROM ebb_job WHERE state = 3 AND holder = ? AND lane = ? AND seq = ? ORDER BY id")
	pausedNames = statement("SELECT name FROM ebb_queue WHERE paused = 1")
)

// readyIn looks, without a transaction, whether one of the queues named in a JSON
// array has something to give.
const readyIn = `SELECT 1 FROM json_each(?) n CROSS JOIN ebb_queue q ON q.name = n.value
	WHERE q.paused = 0 AND EXISTS (SELECT 1 FROM ebb_job WHERE state = 0 AND queue = q.id) LIMIT 1`

// Fetch implements [store.Fetcher].
func (s *Store) Fetch(ctx context.Context, c store.Call, plan store.Plan, n int, wait time.Duration) ([]store.Held, store.Woken, error) {
	jobs, woken, err := s.fetch(ctx, c, plan, min(n, store.MaxBatch), wait)
	if err != nil {
		return nil, store.Idle, fmt.Errorf("sqlitestore: fetch: %w", err)
	}
	return jobs, woken, nil
}

func (s *Store) fetch(ctx context.Context, c store.Call, plan store.Plan, n int, wait time.Duration) ([]store.Held, store.Woken, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()

	f := &fetch{call: c, plan: plan, n: n, heard: s.asked.begin(c)}
	jobs, err := s.take(ctx, f)
	if len(jobs) > 0 || err != nil || f.heard == again {
		return jobs, wokenIf(len(jobs) > 0, store.Got), err
	}
	names, err := json.Marshal(queueNamesOf(plan))
	if err != nil {
		return nil, store.Idle, err
	}
	for woken := store.Got; ; {
		// The bell before the look: what comes between the two rings it.
		bell := s.wake.wait()
		ready, err := s.anyReady(ctx, names)
		if ctx.Err() != nil {
			return nil, store.Idle, nil
		}
		if err != nil {
			return nil, store.Idle, err
		}
		if ready && n > 0 {
			if jobs, err = s.take(ctx, f); len(jobs) > 0 || err != nil {
				return jobs, wokenIf(len(jobs) > 0, woken), err
			}
		}
		crashpoint.At(crashpoint.FetchWaiting)
		select {
		case <-bell:
			woken = store.Pushed
		case <-look.C:
			woken = store.Polled
			select {
			case <-bell: // at the same moment
				woken = store.Pushed
			default:
			}
		case <-deadline.C:
			return nil, store.Idle, nil
		case <-ctx.Done():
			return nil, store.Idle, nil
		case <-s.closed:
			return nil, store.Idle, store.ErrClosed
		}
	}
}

func wokenIf(any bool, w store.Woken) store.Woken {
	if !any {
		return store.Idle
	}
	return w
}

func queueNamesOf(plan store.Plan) []string {
	names := make([]string, len(plan.Queues))
	for i, share := range plan.Queues {
		names[i] = share.Queue
	}
	return names
}

func (s *Store) anyReady(ctx context.Context, names []byte) (bool, error) {
	found := false
	err := s.each(ctx, readyIn, func(*sql.Rows) error { found = true; return nil }, string(names))
	return found, err
}

// take asks the writer once. A caller whose ctx ends before the writer has begun
// gets nothing, and no error.
func (s *Store) take(ctx context.Context, f *fetch) ([]store.Held, error) {
	f.draw()
	c := &call{class: fills, jobs: max(f.n, 1)}
	c.apply = func(t *tx) error {
		err := f.apply(t)
		if len(f.jobs) > 0 {
			c.point = crashpoint.FetchMoved
		}
		return err
	}
	err := s.writer.do(ctx, c)
	switch {
	case err != nil:
		s.asked.forget(f.call)
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = nil
		}
		return nil, err
	case f.refused != nil: // an answer as good as any: a late copy of this call gets no jobs
		return nil, f.refused
	}
	return f.jobs, nil
}

// fetch is one Fetch on its way through the writer.
type fetch struct {
	call   store.Call
	plan   store.Plan
	n      int
	heard  memo // stale: not known, the file is asked
	shares []int

	jobs    []store.Held
	refused error
}

// draw shares n out among the queues of a plan that is not strict, each job by
// the weights.
func (f *fetch) draw() {
	if f.plan.Strict || len(f.plan.Queues) < 2 {
		return
	}
	total := 0
	for _, q := range f.plan.Queues {
		total += max(q.Weight, 1)
	}
	f.shares = make([]int, len(f.plan.Queues))
	for range f.n {
		pick := rand.IntN(total)
		for i, q := range f.plan.Queues {
			if pick -= max(q.Weight, 1); pick < 0 {
				f.shares[i]++
				break
			}
		}
	}
}

func (f *fetch) apply(t *tx) error {
	f.jobs, f.refused = nil, nil
	boot, registered := int64(0), false
	err := t.query(findHolder, func(r []row) error {
		boot, registered = r[0].(int64), r[2].(int64) != 0
		if r[1].(int64) != 0 {
			f.refused = store.ErrLeft
		}
		return nil
	}, string(f.call.By))
	if err != nil || f.refused != nil {
		return err
	}
	if !registered {
		f.refused = store.ErrLeaseLost
		return nil
	}
	if f.heard == stale {
		m, _, err := t.recall(boot, f.call)
		if err != nil {
			return err
		}
		if f.heard = first; m != first {
			f.heard = again
		}
	}
	if f.heard == again {
		return f.repeat(t, boot)
	}
	if err := f.fill(t, boot); err != nil || len(f.jobs) == 0 {
		return err
	}
	_, _, err = t.remember(boot, f.call)
	return err
}

// repeat answers with what this call took before, as far as it is still held.
func (f *fetch) repeat(t *tx, boot int64) error {
	var grips []grip
	err := t.query(heldByFetch, func(r []row) error {
		g := grip{r[0].(int64), int64(f.call.Lane), int64(f.call.Seq), r[1].(int64)}
		grips = append(grips, g)
		f.jobs = append(f.jobs, store.Held{Token: g.token(), Payload: blob(r[2])})
		return nil
	}, boot, int64(f.call.Lane), int64(f.call.Seq))
	for i, g := range grips {
		if err == nil {
			f.jobs[i].Queue, err = t.queueName(g.queue)
		}
	}
	return err
}

// fill takes jobs by the plan: each queue its share, then what is still wanted
// from those that may have more.
func (f *fetch) fill(t *tx, boot int64) error {
	paused, err := t.pausedQueues()
	if err != nil {
		return err
	}
	seq := int64(f.call.Seq)
	if seq == 0 {
		seq = -1 - rand.Int64() // not repeated by anybody, but its tokens must differ from all others
	}
	rest := make([]int64, 0, len(f.plan.Queues)) // queues that gave all they were asked for
	for i, q := range f.plan.Queues {
		want := f.n - len(f.jobs)
		if f.shares != nil {
			want = f.shares[i]
		}
		if slices.Contains(paused, q.Queue) {
			continue
		}
		queue, err := t.number(queueNames, q.Queue, false)
		if err != nil {
			return err
		}
		if queue == 0 {
			continue
		}
		got := 0
		if want > 0 {
			if got, err = f.takeFrom(t, boot, seq, queue, q.Queue, want); err != nil {
				return err
			}
		}
		if got == want {
			rest = append(rest, queue)
		}
	}
	for _, queue := range rest {
		want := f.n - len(f.jobs)
		if want <= 0 || f.shares == nil {
			break
		}
		name, err := t.queueName(queue)
		if err != nil {
			return err
		}
		if _, err := f.takeFrom(t, boot, seq, queue, name, want); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetch) takeFrom(t *tx, boot, seq, queue int64, name string, want int) (int, error) {
	type taken struct {
		ord  int64
		held store.Held
	}
	var batch []taken
	err := t.query(takeReady, func(r []row) error {
		g := grip{r[0].(int64), int64(f.call.Lane), seq, queue}
		batch = append(batch, taken{r[1].(int64), store.Held{Token: g.token(), Queue: name, Payload: blob(r[2])}})
		return nil
	}, boot, int64(f.call.Lane), seq, queue, int64(want))
	if err != nil {
		return 0, err
	}
	// RETURNING promises no order.
	slices.SortFunc(batch, func(a, b taken) int { return cmp.Compare(a.ord, b.ord) })
	for _, b := range batch {
		f.jobs = append(f.jobs, b.held)
	}
	n := int64(len(batch))
	if n > 0 {
		t.count(queue, fetched, n)
		t.count(queue, waiting, -n)
		t.count(queue, held, n)
	}
	return len(batch), nil
}

// pausedQueues is read once a transaction; a Pause counts for those after it.
func (t *tx) pausedQueues() ([]string, error) {
	if t.pausedRead {
		return t.paused, nil
	}
	err := t.query(pausedNames, func(r []row) error { t.paused = append(t.paused, r[0].(string)); return nil })
	t.pausedRead = err == nil
	return t.paused, err
}

// blob keeps an empty payload from coming back nil.
func blob(v row) []byte {
	b, _ := v.([]byte)
	return bytesOf(b)
}

// asked remembers in memory the highest number that this Store was asked on each
// lane of fetches, so that one that found nothing need not be written to the
// file, and one that is new need not be looked up.
type asked struct {
	mu   sync.Mutex
	last map[asker]uint64
}

type asker struct {
	by   store.Identity
	lane int
}

// begin notes c and says whether it is new, a repetition, or (stale) that only
// the file can tell.
func (a *asked) begin(c store.Call) memo {
	if c.Seq == 0 {
		return first
	}
	k := asker{c.By, c.Lane}
	a.mu.Lock()
	defer a.mu.Unlock()
	last, known := a.last[k]
	if known && c.Seq <= last {
		return again
	}
	if a.last == nil {
		a.last = make(map[asker]uint64)
	}
	a.last[k] = c.Seq
	if !known {
		return stale
	}
	return first
}

// forget has the file asked again: whether c was carried out is not known.
func (a *asked) forget(c store.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.last, asker{c.By, c.Lane})
}
