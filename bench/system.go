package main

import (
	"context"
	"time"
)

// system is one job system as the harness sees it. Its store is at an address: that
// of a Redis server, or the name of a file.
type system struct {
	name  string
	redis bool // else a file
	// drains is how many no-op jobs it is given to drain at most; 0: as many as asked for.
	drains int
	// open connects somebody who enqueues.
	open func(ctx context.Context, addr string) (producer, error)
	// work runs jobs of these queues until ctx ends, and calls ran for each. A system
	// whose worker is no Go program has command instead, which may write to dir.
	work    func(ctx context.Context, addr string, queues []string, concurrency int, ran func(sent time.Time)) error
	command func(dir, addr string, concurrency, jobs int) (name string, args, env []string)
}

// producer enqueues no-op jobs. Sent travels in the arguments; zero is fine.
type producer interface {
	Enqueue(ctx context.Context, queue string, sent time.Time) error
	// EnqueueMany enqueues n jobs in one call. A system that cannot answers errNoBulk.
	EnqueueMany(ctx context.Context, queue string, n int) error
	Close() error
}

var systems = []system{ebbRedis, ebbSQLite, asynqRedis, sidekiqRedis, riverSQLite, riverSQLiteTuned}

// noop is the arguments of every job: when it was enqueued, in nanoseconds.
type noop struct {
	Sent int64 `json:"sent"`
}

func sentAt(t time.Time) noop {
	if t.IsZero() {
		return noop{}
	}
	return noop{t.UnixNano()}
}

func (n noop) time() time.Time {
	if n.Sent == 0 {
		return time.Time{}
	}
	return time.Unix(0, n.Sent)
}
