package main

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// figures are what was measured of one system; NaN where nothing was.
type figures [numFigures]float64

const (
	enqueueAlone = iota // jobs/s of one goroutine
	enqueue16           // jobs/s of sixteen
	enqueueMany         // jobs/s, a thousand in each call
	drained             // jobs/s
	workerCPU           // µs/job
	serverCPU           // µs/job
	memory              // peak of the draining worker, MiB
	pickup50            // ms from before the enqueue to the handler's first line
	pickup99
	memory100 // peak of a worker with 100 slots, MiB
	numFigures
)

func noFigures() figures {
	var f figures
	for i := range f {
		f[i] = math.NaN()
	}
	return f
}

// load is how much work the systems are given.
type load struct {
	backlog int           // jobs that wait before anything is measured
	jobs    int           // drained
	probes  int           // of the pick-up, one by one
	span    time.Duration // of each way to enqueue, and of all probes but the first two
}

const (
	served = "default" // where the backlog is
	probed = "urgent"
	batch  = 1000
)

var errNoBulk = errors.New("bench: the system has no call for many jobs")

// stage is a system with a fresh store.
type stage struct {
	system
	load
	dir    string // of its own
	addr   string
	server *redisServer // nil for a file
	producer
}

// measure takes all the figures that the system has. Enqueueing comes last, because
// it makes the backlog longer.
func measure(ctx context.Context, s system, l load) (f figures, err error) {
	f = noFigures()
	dir, err := os.MkdirTemp("", "ebb-bench-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	st := &stage{system: s, load: l, dir: dir, addr: filepath.Join(dir, "bench.db")}
	if s.redis {
		if st.server, err = startRedis(ctx, dir); err != nil {
			return f, err
		}
		defer st.server.stop()
		st.addr = st.server.addr
	}
	if st.producer, err = s.open(ctx, st.addr); err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, st.producer.Close()) }()

	if err := st.fill(ctx, l.backlog); err != nil {
		return f, err
	}
	if s.work != nil {
		if err := st.pickup(ctx, &f); err != nil {
			return f, err
		}
	}
	if err := st.drain(ctx, &f); err != nil {
		return f, err
	}
	if s.command != nil { // its jobs were not enqueued by itself
		return f, nil
	}
	if err := st.slots(ctx, &f); err != nil {
		return f, err
	}
	return f, st.enqueue(ctx, &f)
}

// fill enqueues n jobs, as fast as the system can.
func (s *stage) fill(ctx context.Context, n int) error {
	for n > 0 {
		err := s.EnqueueMany(ctx, served, min(n, batch))
		if errors.Is(err, errNoBulk) {
			var left atomic.Int64
			left.Store(int64(n))
			return s.each(ctx, 16, func() bool { return left.Add(-1) >= 0 })
		}
		if err != nil {
			return err
		}
		n -= batch
	}
	return nil
}

// each enqueues from many goroutines while more says so.
func (s *stage) each(ctx context.Context, goroutines int, more func() bool) error {
	g, ctx := errgroup.WithContext(ctx)
	for range goroutines {
		g.Go(func() error {
			for more() {
				if err := s.Enqueue(ctx, served, time.Time{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (s *stage) pickup(ctx context.Context, f *figures) error {
	w, err := s.startWorker(ctx, []string{probed}, 10, s.probes)
	if err != nil {
		return err
	}
	defer w.stop()
	var took []time.Duration
	end := time.Now().Add(s.span)
	for ; len(took) < 2 || len(took) <= s.probes && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := s.Enqueue(ctx, probed, time.Now()); err != nil {
			return err
		}
		line, err := w.expect("took")
		if err != nil {
			return err
		}
		ns, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return err
		}
		took = append(took, time.Duration(ns))
	}
	took = took[1:] // the first one waited for the worker to start
	slices.Sort(took)
	f[pickup50] = took[len(took)/2].Seconds() * 1e3
	f[pickup99] = took[len(took)*99/100].Seconds() * 1e3
	return nil
}

func (s *stage) drain(ctx context.Context, f *figures) error {
	jobs := s.jobs
	if s.drains > 0 {
		jobs = min(jobs, s.drains)
	}
	if err := s.fill(ctx, jobs); err != nil {
		return err
	}
	var before time.Duration
	var err error
	if s.server != nil {
		if before, err = cpu(s.server.cmd.Process.Pid); err != nil {
			return err
		}
	}
	took, used, rss, err := s.run(ctx, 10, jobs)
	if err != nil {
		return err
	}
	perJob := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(jobs) }
	f[drained] = float64(jobs-1) / took.Seconds()
	f[workerCPU] = perJob(used)
	f[memory] = rss
	if s.server != nil {
		after, err := cpu(s.server.cmd.Process.Pid)
		if err != nil {
			return err
		}
		f[serverCPU] = perJob(after - before)
	}
	return nil
}

// slots looks at what many slots cost in memory.
func (s *stage) slots(ctx context.Context, f *figures) error {
	jobs := max(2, s.backlog/50)
	if err := s.fill(ctx, jobs); err != nil {
		return err
	}
	var err error
	_, _, f[memory100], err = s.run(ctx, 100, jobs)
	return err
}

// run lets a worker run n of the jobs that wait, and kills it then. It took the time
// from the first job to the last.
func (s *stage) run(ctx context.Context, concurrency, n int) (took, used time.Duration, mib float64, err error) {
	w, err := s.startWorker(ctx, []string{served}, concurrency, n)
	if err != nil {
		return 0, 0, 0, err
	}
	defer w.stop()
	if _, err := w.expect("first"); err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	if _, err := w.expect("last"); err != nil {
		return 0, 0, 0, err
	}
	took = time.Since(began)
	used, err = cpu(w.cmd.Process.Pid)
	if err != nil {
		return 0, 0, 0, err
	}
	bytes, err := peak(w.cmd.Process.Pid)
	return took, used, float64(bytes) / (1 << 20), err
}

func (s *stage) enqueue(ctx context.Context, f *figures) error {
	for figure, goroutines := range map[int]int{enqueueAlone: 1, enqueue16: 16} {
		var n atomic.Int64
		began := time.Now()
		err := s.each(ctx, goroutines, func() bool { n.Add(1); return time.Since(began) < s.span })
		if err != nil {
			return err
		}
		f[figure] = float64(n.Load()) / time.Since(began).Seconds()
	}
	var n int
	began := time.Now()
	for ; time.Since(began) < s.span; n += batch {
		err := s.EnqueueMany(ctx, served, batch)
		if errors.Is(err, errNoBulk) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	f[enqueueMany] = float64(n) / time.Since(began).Seconds()
	return nil
}
