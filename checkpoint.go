package ebb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ebbjobs/ebb/internal/runner"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// ErrNoJob says that a context is not that of a handler, nor made from it.
var ErrNoJob = errors.New("ebb: the context is not that of a job")

// Stopping returns a channel that is closed when the process begins to stop, and
// the hour at which the platform is going to kill it; the hour is zero until it is
// known, and may move earlier. The job's context goes on until shortly before that
// hour, so that there is time to finish what can be finished. Outside a handler the
// channel is never closed.
func Stopping(ctx context.Context) (<-chan struct{}, time.Time) {
	if a := runner.From(ctx); a != nil {
		return a.Stopping()
	}
	return nil, time.Time{}
}

// Checkpoint remembers v for the next run of this job, should this one be cut off
// or fail, in place of what was remembered before. It is cheap enough for every item
// of a loop: it is written with the next heartbeat, and at once when the process
// stops. A crash before that costs what was done since the last one that was
// written.
//
// v is encoded as JSON at once, and may be changed afterwards. It must fit into 256
// KiB. The error is [ErrLeaseLost] if another process has taken the job, and
// [ErrNoJob] outside a handler. The end of ctx does not matter.
func Checkpoint(ctx context.Context, v any) error {
	a, raw, err := checkpoint(ctx, v)
	if err != nil {
		return err
	}
	return a.Checkpoint(raw)
}

// CheckpointNow is Checkpoint, and returns when the store has v. While the store
// is away it waits, until two seconds after the end of ctx.
func CheckpointNow(ctx context.Context, v any) error {
	a, raw, err := checkpoint(ctx, v)
	if err != nil {
		return err
	}
	return a.CheckpointNow(ctx, raw)
}

func checkpoint(ctx context.Context, v any) (*runner.Attempt, json.RawMessage, error) {
	a := runner.From(ctx)
	if a == nil {
		return nil, nil, ErrNoJob
	}
	raw, err := appendJSON(nil, v)
	if err != nil {
		return nil, nil, fmt.Errorf("ebb: checkpoint: %w", err)
	}
	return a, raw, nil
}

// Resume returns what the last [Checkpoint] of this job remembered, be it of this
// run or an earlier one, and whether there is one. An error means that it is not a
// T, as after a change of the type; the job may start over or fail. Outside a
// handler there is none.
func Resume[T any](ctx context.Context) (v T, resumed bool, err error) {
	a := runner.From(ctx)
	if a == nil {
		return v, false, nil
	}
	raw := a.History().Checkpoint
	if len(raw) == 0 {
		return v, false, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		var zero T
		return zero, false, fmt.Errorf("ebb: resume from a checkpoint: %w", err)
	}
	return v, true, nil
}

// Progress shows people how far a job is: done of total, and what it is at. A
// total of 0 is not known. It is seen with the next heartbeat. Outside a handler it
// does nothing.
func Progress(ctx context.Context, done, total int64, note string) {
	if a := runner.From(ctx); a != nil {
		a.Progress(wire.Progress{Done: done, Total: total, Note: note})
	}
}

// Logger returns a logger whose lines say which job they are about. Outside a
// handler it is [slog.Default].
func Logger(ctx context.Context) *slog.Logger {
	if a := runner.From(ctx); a != nil {
		return a.Log()
	}
	return slog.Default()
}

// JobInfo is what a handler may want to know of its job, beside the arguments.
type JobInfo struct {
	JID, Kind, Queue string
	// Attempt is 1 for the first, and counts up with each failure. Interruptions cost
	// none.
	Attempt int
	// Interruptions counts the runs that were cut off, by whatever cause, and Crashes
	// those of them whose process vanished.
	Interruptions, Crashes int
	Snoozes                int
	Tags                   []string
	Created, Enqueued      time.Time
	Process                store.Identity // that runs it
}

// Info tells about the job whose handler was given ctx. Outside a handler it is
// zero.
func Info(ctx context.Context) JobInfo {
	a := runner.From(ctx)
	if a == nil {
		return JobInfo{}
	}
	job, h := a.Job(), a.History()
	return JobInfo{
		JID: job.JID, Kind: job.Kind, Queue: a.Queue(), Attempt: a.Number(),
		Interruptions: h.Interruptions, Crashes: h.Crashes, Snoozes: h.Snoozes,
		Tags: job.Tags, Created: job.CreatedAt, Enqueued: job.EnqueuedAt, Process: a.Process(),
	}
}
