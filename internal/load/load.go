// Package load measures what a store can do where its user has it: how fast jobs
// go in and out, how soon an idle process picks one up, and that none is lost when
// processes are killed.
package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

// Queue is where the jobs of a measurement are, and nothing else.
const Queue = "ebb-bench"

// Options says what is measured.
type Options struct {
	Client  *ebb.Client
	Jobs    int // enqueued, and drained again
	Payload int // bytes of an argument that does nothing
	Slots   int // of the process that drains
	Callers int // that enqueue at the same time
	// Kills is how often a worker process is killed; 0 leaves that part out.
	Kills     int
	LeaseOnly bool    // see Kill; the workers must know
	Worker    Starter // makes worker processes; only Kills needs it
	// Progress is told how far a part is; nil: nobody.
	Progress func(part string, done, total int64)
	Log      *slog.Logger
}

// Report is what was found.
type Report struct {
	Store    store.Description `json:"store"`
	Jobs     int               `json:"jobs"`
	Payload  int               `json:"payload_bytes"`
	Slots    int               `json:"slots"`
	Callers  int               `json:"callers"`
	Enqueue  Rate              `json:"enqueue"`
	Batches  Rate              `json:"batches"` // of store.MaxBatch
	Drain    Rate              `json:"drain"`
	PickUp   Latency           `json:"pick_up"` // from the call of Enqueue to the handler, one job at a time
	Kill     *Kill             `json:"kill,omitempty"`
	Finished time.Time         `json:"finished"`
}

// Rate is how fast jobs went.
type Rate struct {
	Jobs      int      `json:"jobs"`
	Seconds   float64  `json:"seconds"`
	PerSecond float64  `json:"per_second"`
	Call      *Latency `json:"call,omitempty"` // of each call
}

// Latency is a distribution, in seconds.
type Latency struct {
	Samples int64   `json:"samples"`
	P50     float64 `json:"p50_seconds"`
	P90     float64 `json:"p90_seconds"`
	P99     float64 `json:"p99_seconds"`
	P999    float64 `json:"p999_seconds"`
	Max     float64 `json:"max_seconds"`
}

// ErrBusy says that somebody else measures, or that a measurement that was killed
// has left its jobs.
var ErrBusy = errors.New("there are jobs in the queue " + Queue)

// Run measures one part after the other. Whatever happens, it leaves none of its
// jobs behind, unless it is killed.
func Run(ctx context.Context, o Options) (r Report, err error) {
	s := o.Client.Store()
	busy, err := waiting(ctx, s)
	if err != nil {
		return r, err
	}
	if busy {
		return r, ErrBusy
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	r = Report{Store: s.Describe(), Jobs: o.Jobs, Payload: o.Payload, Slots: o.Slots, Callers: o.Callers}
	defer func() { err = errors.Join(err, sweep(context.WithoutCancel(ctx), s)) }()
	pad := strings.Repeat("x", o.Payload)
	if r.Enqueue, err = o.enqueue(ctx, pad); err != nil {
		return r, fmt.Errorf("load: enqueue: %w", err)
	}
	if r.Drain, err = o.drain(ctx, o.Jobs); err != nil {
		return r, fmt.Errorf("load: drain: %w", err)
	}
	if r.Batches, err = o.batches(ctx, pad); err != nil {
		return r, fmt.Errorf("load: enqueue in batches: %w", err)
	}
	if err := sweep(ctx, s); err != nil {
		return r, err
	}
	if r.PickUp, err = o.pickUp(ctx, pad); err != nil {
		return r, fmt.Errorf("load: pick up: %w", err)
	}
	if o.Kills > 0 {
		if r.Kill, err = o.kill(ctx, pad); err != nil {
			return r, fmt.Errorf("load: kill: %w", err)
		}
	}
	r.Finished = time.Now().UTC()
	return r, nil
}

// noop is the arguments of a job that only is there.
type noop struct {
	N   int64
	Pad string
}

// Exits and failures would be noise here, so nothing is tried twice.
var job = ebb.Define[noop]("EbbBench", ebb.Queue(Queue), ebb.NoRetry())

// enqueue puts jobs in one by one, from several callers at once.
func (o *Options) enqueue(ctx context.Context, pad string) (Rate, error) {
	var next, done atomic.Int64
	var failed error
	var once sync.Once
	calls := make([]*hdrhistogram.Histogram, o.Callers)
	var callers sync.WaitGroup
	began := time.Now()
	for c := range calls {
		calls[c] = histogram()
		callers.Go(func() {
			for n := next.Add(1); n <= int64(o.Jobs) && ctx.Err() == nil; n = next.Add(1) {
				sent := time.Now()
				if _, err := job.Enqueue(ctx, o.Client, noop{n, pad}); err != nil {
					once.Do(func() { failed = err })
					return
				}
				record(calls[c], time.Since(sent))
				o.Progress("enqueue", done.Add(1), int64(o.Jobs))
			}
		})
	}
	callers.Wait()
	if err := errors.Join(failed, ctx.Err()); err != nil {
		return Rate{}, err
	}
	r := rate(o.Jobs, time.Since(began))
	for _, h := range calls[1:] {
		calls[0].Merge(h)
	}
	r.Call = new(latency(calls[0]))
	return r, nil
}

// batches puts as many in again, as many at a time as a store takes.
func (o *Options) batches(ctx context.Context, pad string) (Rate, error) {
	began := time.Now()
	err := o.enqueueFrom(ctx, 0, o.Jobs, pad, func(done int) { o.Progress("enqueue in batches", int64(done), int64(o.Jobs)) })
	if err != nil {
		return Rate{}, err
	}
	return rate(o.Jobs, time.Since(began)), nil
}

// enqueueFrom puts n jobs in, numbered from first on, and tells how many are.
func (o *Options) enqueueFrom(ctx context.Context, first, n int, pad string, told func(done int)) error {
	for done := 0; done < n; {
		batch := make([]noop, min(store.MaxBatch, n-done))
		for i := range batch {
			batch[i] = noop{int64(first + done + i), pad}
		}
		if _, err := job.EnqueueMany(ctx, o.Client, batch); err != nil {
			return err
		}
		done += len(batch)
		told(done)
	}
	return nil
}

// drain runs all that waits in a process of its own.
func (o *Options) drain(ctx context.Context, n int) (Rate, error) {
	var ran atomic.Int64
	all := make(chan struct{})
	p := o.process()
	job.Handle(p, func(context.Context, noop) error {
		if done := ran.Add(1); done == int64(n) {
			close(all)
		} else {
			o.Progress("drain", done, int64(n))
		}
		return nil
	})
	began := time.Now()
	if err := p.Start(context.WithoutCancel(ctx)); err != nil {
		return Rate{}, err
	}
	select {
	case <-all:
	case <-ctx.Done():
	case <-p.Done():
	}
	took := time.Since(began)
	if err := leave(p); err != nil {
		return Rate{}, err
	}
	if ran.Load() < int64(n) {
		return Rate{}, fmt.Errorf("%d of %d jobs ran: %w", ran.Load(), n, context.Cause(ctx))
	}
	return rate(n, took), nil
}

// pickUp enqueues one job at a time for an idle process.
func (o *Options) pickUp(ctx context.Context, pad string) (Latency, error) {
	const samples = 1000
	n := min(samples, o.Jobs)
	began := make(chan time.Time, 1)
	p := o.process()
	job.Handle(p, func(context.Context, noop) error { began <- time.Now(); return nil })
	if err := p.Start(context.WithoutCancel(ctx)); err != nil {
		return Latency{}, err
	}
	h := histogram()
	err := func() error {
		for i := range n {
			sent := time.Now()
			if _, err := job.Enqueue(ctx, o.Client, noop{int64(i), pad}); err != nil {
				return err
			}
			select {
			case at := <-began:
				record(h, at.Sub(sent))
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-p.Done():
				return errors.New("the process has ended")
			}
			o.Progress("pick-up", int64(i+1), int64(n))
		}
		return nil
	}()
	return latency(h), errors.Join(err, leave(p))
}

func (o *Options) process() *ebb.Process {
	return ebb.NewProcess(o.Client, ebb.Config{Queues: []string{Queue}, Concurrency: o.Slots, Logger: o.Log, Socket: ebb.NoSocket, Tag: tag})
}

// leave ends a process and waits for it, but not for ever.
func leave(p *ebb.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := p.Drain(ctx)
	return err
}

// waiting reports whether the queue has jobs.
func waiting(ctx context.Context, s store.Store) (bool, error) {
	for _, err := range s.Jobs(ctx, store.Query{Place: store.Ready, Queue: Queue, Limit: 1}) {
		return err == nil, err
	}
	return false, nil
}

// sweep takes away what is left in the queue.
func sweep(ctx context.Context, s store.Store) error {
	for {
		var picks []store.Pick
		for e, err := range s.Jobs(ctx, store.Query{Place: store.Ready, Queue: Queue, Limit: store.MaxBatch}) {
			if err != nil {
				return fmt.Errorf("load: clear %s: %w", Queue, err)
			}
			picks = append(picks, store.Pick{Key: e.Key})
		}
		if len(picks) == 0 {
			return nil
		}
		if _, err := s.Delete(ctx, store.Undoable{}, picks...); err != nil {
			return fmt.Errorf("load: clear %s: %w", Queue, err)
		}
	}
}

// The histograms hold from a microsecond to ten minutes, three digits exact.
func histogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	h.RecordValue(min(max(1, d.Microseconds()), h.HighestTrackableValue()))
}

func latency(h *hdrhistogram.Histogram) Latency {
	at := func(percent float64) float64 { return float64(h.ValueAtPercentile(percent)) / 1e6 }
	return Latency{Samples: h.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1e6}
}

func rate(jobs int, took time.Duration) Rate {
	return Rate{Jobs: jobs, Seconds: took.Seconds(), PerSecond: float64(jobs) / took.Seconds()}
}
