package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/crew"
	"github.com/ebbjobs/ebb/internal/notes"
)

// Child is what a process of the fleet is told.
type Child struct {
	Dir   string        // of the notes
	Name  string        // of its own
	Queue string        // of this run of chaos, and its tag
	Lease time.Duration // of a worker; 0 makes it the producer
}

const (
	slots = 8
	grace = 5 * time.Second
	// A short job, a step of a long one, and how many of these that has.
	shortest = 10 * time.Millisecond
	step     = 100 * time.Millisecond
	steps    = 20
)

// work is what a job is told to do.
type work struct {
	Steps  int  // more than one: it saves its position after each
	Fails  bool // its first attempt does
	Snooze bool // it asks for another run first
}

// It is tried again soon, and often: verdicts of attempts that failed may get lost.
var job = ebb.Define[work]("EbbChaos", ebb.Retry(1000), ebb.Backoff(func(int, error) time.Duration { return shortest }))

// Run is a process of the fleet: a worker or the producer, until told ends.
func (c Child) Run(ctx context.Context, client *ebb.Client, told io.Reader, log *slog.Logger) error {
	ctx, end := crew.Leashed(ctx, told)
	defer end()
	page, err := notes.Open(c.Dir, c.Name)
	if err != nil {
		return err
	}
	defer page.Close()
	if c.Lease == 0 {
		return c.produce(ctx, client, page, log)
	}
	p := ebb.NewProcess(client, ebb.Config{
		Queues: []string{c.Queue}, Concurrency: slots, Release: "chaos", Tag: c.Queue,
		Stop: ebb.StopConfig{Grace: grace}, Lease: ebb.LeaseConfig{TTL: c.Lease},
		Poison: -1, // the processes die, and their jobs are not to blame
		Socket: ebb.NoSocket, Logger: log,
	})
	job.Handle(p, func(ctx context.Context, w work) error { return do(ctx, page, w) })
	return p.Run(ctx)
}

var errFirst = errors.New("the first attempt fails, as it was told to")

// do runs a job, and notes that it began and how it ended.
func do(ctx context.Context, page *notes.Page, w work) error {
	info := ebb.Info(ctx)
	from, _, err := ebb.Resume[int](ctx)
	if err != nil {
		return err
	}
	if err := page.Write(begun, info.JID, int64(from)); err != nil {
		return err
	}
	verdict := w.walk(ctx, page, from)
	switch {
	case verdict != nil:
	case w.Fails && info.Attempt == 1:
		verdict = errFirst
	case w.Snooze && info.Snoozes == 0:
		verdict = ebb.Snooze(10 * shortest)
	}
	outcome := again
	switch {
	case verdict == nil:
		outcome = ended
	case errors.Is(verdict, ebb.ErrLeaseLost):
		outcome = taken
	}
	if err := page.Write(outcome, info.JID, 0); err != nil {
		return err
	}
	return verdict
}

// walk takes the steps that are left. It gives up at a notice, and where it cannot
// save its position.
func (w work) walk(ctx context.Context, page *notes.Page, from int) error {
	stopping, _ := ebb.Stopping(ctx)
	pause := step
	if w.Steps == 1 {
		pause = shortest + rand.N(2*shortest)
	}
	for at := from; at < w.Steps; {
		select {
		case <-time.After(pause):
		case <-stopping:
			return ebb.ErrYield
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		at++
		if w.Steps == 1 {
			break
		}
		if err := ebb.CheckpointNow(ctx, at); err != nil {
			return fmt.Errorf("chaos: save step %d: %w", at, err)
		}
		if err := page.Write(saved, ebb.Info(ctx).JID, int64(at)); err != nil {
			return err
		}
	}
	return nil
}

// produce enqueues jobs of every sort until ctx ends.
func (c Child) produce(ctx context.Context, client *ebb.Client, page *notes.Page, log *slog.Logger) error {
	const callers, pause = 4, 60 * time.Millisecond
	var sent atomic.Int64
	var broken error // the notes
	var once sync.Once
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() {
			for ctx.Err() == nil {
				if err := c.one(ctx, client, page, int(sent.Add(1)), log); err != nil {
					once.Do(func() { broken = err })
					return
				}
				select {
				case <-time.After(pause/2 + rand.N(pause)):
				case <-ctx.Done():
				}
			}
		})
	}
	calling.Wait()
	return broken
}

// one enqueues a job. Its name is known before it is asked for, so that it is known
// however that ends.
func (c Child) one(ctx context.Context, client *ebb.Client, page *notes.Page, n int, log *slog.Logger) error {
	jid := fmt.Sprintf("%s-%s-%d", c.Queue, c.Name, n)
	w := work{Steps: 1}
	options := []ebb.Option{ebb.Queue(c.Queue), ebb.JID(jid)}
	switch n % 10 {
	case 1:
		w.Steps = steps
	case 3:
		w.Fails = true
	case 5:
		w.Snooze = true
	case 7:
		options = append(options, ebb.In(rand.N(2*time.Second)))
	}
	if err := page.Write(asked, jid, 0); err != nil {
		return err
	}
	what := accepted
	if _, err := job.Enqueue(ctx, client, w, options...); err != nil {
		log.Info("not enqueued", "jid", jid, "cause", err)
		what = refused
	}
	return page.Write(what, jid, 0)
}
