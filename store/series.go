package store

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// Historian remembers for people how runs went. None of it decides anything, and all
// of it is bounded: by time, and by how many names are told apart. It is written with
// the beats of processes, so that the last moments of one that is killed are missing.
type Historian interface {
	// Series returns how runs went in the steps of q, in the order of time, and by
	// kind, queue and release within a step. A step in which nothing ended has no
	// point. What Ruby counts is there too where the store has it.
	Series(ctx context.Context, q SeriesQuery) ([]Point, error)
	// Marks returns the releases that began since then, the oldest first.
	Marks(ctx context.Context, since time.Time) ([]Mark, error)
	// Ended walks jobs that left the store at the end of a run, the latest first: the
	// last MaxEnded, of jid only if it is not empty. A process that ends more than it
	// can tell with a beat leaves out some.
	Ended(ctx context.Context, jid string) iter.Seq2[Ended, error]
}

// Step is how long a point of a series is.
type Step time.Duration

// The steps. Moment and Day tell all runs together: their points name no kind, queue
// or release.
const (
	Moment     = Step(10 * time.Second)
	Minute     = Step(time.Minute)
	TenMinutes = Step(10 * time.Minute)
	Hour       = Step(time.Hour)
	Day        = Step(24 * time.Hour)
)

// Steps are all of them, the shortest first.
var Steps = []Step{Moment, Minute, TenMinutes, Hour, Day}

// Kept is for how long points of a step are kept.
func (s Step) Kept() time.Duration {
	const day = 24 * time.Hour
	switch s {
	case Moment:
		return time.Hour
	case Minute:
		return 8 * time.Hour
	case TenMinutes:
		return 3 * day
	case Hour:
		return 30 * day
	}
	return 400 * day
}

// Total reports whether points of a step tell all runs together.
func (s Step) Total() bool { return s == Moment || s == Day }

// Start is when the step began that t is in.
func (s Step) Start(t time.Time) time.Time { return t.UTC().Truncate(time.Duration(s)) }

// What the store remembers of runs.
const (
	// MaxSeries bounds the kinds, queues and releases that a step tells apart. What
	// comes above it counts for a kind called Others.
	MaxSeries = 500
	// MaxEnded is how many jobs that have left are remembered.
	MaxEnded = 10_000
	// MaxMarks is how many releases are, each for 90 days.
	MaxMarks = 200
	MarkAge  = 90 * 24 * time.Hour
)

// Others is the kind of the runs that a full step does not tell apart. No job has it:
// it is no name that a program could define.
const Others = "(others)"

// SeriesQuery says which points are asked for.
type SeriesQuery struct {
	Step     Step
	From, To time.Time // steps that begin in [From, To); a zero To is now
	Kind     string    // empty: all
}

// Point is how the runs of one kind, queue and release went that ended within one step.
type Point struct {
	At      time.Time // when the step began, by the store's clock
	Release string    // of the process; empty: not known
	Runs              // Kind and Queue may be empty: not known, or all together
}

// Mark is the moment at which the first process of a release registered.
type Mark struct {
	At      time.Time
	Release string
}

// Ended is a job that left the store at the end of a run.
type Ended struct {
	JID     string    `json:"jid"`
	Kind    string    `json:"kind"`
	Queue   string    `json:"queue"`
	By      Identity  `json:"by,omitempty"`
	Release string    `json:"release,omitempty"`
	Attempt int       `json:"attempt"`           // 1 for the first
	Created time.Time `json:"created,omitzero"`  // by the clock of whoever made it
	Ready   time.Time `json:"ready,omitzero"`    // since when it waited in its queue
	Began   time.Time `json:"began,omitzero"`    // zero: it was too old to begin
	At      time.Time `json:"at"`                // when it ended
	Outcome Outcome   `json:"outcome,omitempty"` // finished, discarded or expired
	// Log is what the job remembered of its interruptions, as it stood in its payload.
	Log json.RawMessage `json:"log,omitempty"`
}

// Numbered is one of the ended jobs that a process tells of.
type Numbered struct {
	Number uint64
	Ended
}
