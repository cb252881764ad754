package drain

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// DefaultTimeout is how long jobs may go on where nobody says.
const DefaultTimeout = 120 * time.Second

const (
	// glance is the time between two looks at a target. Those that are dear to ask
	// answer from memory meanwhile.
	glance = 200 * time.Millisecond
	// within is when a worker that was told to go quiet should show it: the longest
	// heartbeat is 10 s.
	within = 12 * time.Second
	// patience is for one question, or one order.
	patience = 2 * time.Second
	// margin is kept between the time that a drain was given and the KILL.
	margin = 5 * time.Second
)

// Options say whom to drain and how.
type Options struct {
	Workers []Worker
	// Timeout is how long jobs may go on; then TERM is sent. Zero: DefaultTimeout.
	Timeout time.Duration
	// Grace is the time from now on until the platform's KILL. Zero: not known.
	Grace time.Duration
	// NoTerm leaves TERM to the platform.
	NoTerm bool
	// Dirs are folders in one of which a second run finds the clock of the first. None,
	// or none that can be written to: only runs at the same time know of each other.
	Dirs []string
	// Note is told each change, one at a time. Nil: nobody.
	Note func(Event)
	// Watch is shown how things stand after every look, one call at a time. Nil: nobody.
	Watch func(Report)
}

// Event is a change of one worker.
type Event struct {
	At     time.Time
	Worker string
	PID    int
	Text   string
}

// Outcome is how the drain of one worker ended.
type Outcome int

const (
	Underway Outcome = iota
	Drained          // it became idle, or has ended
	Late             // its jobs still ran when the time was over
	Refused          // it could not be told
)

func (o Outcome) String() string {
	return [...]string{"under way", "drained", "late", "refused"}[o]
}

// Result is how things stand with one worker.
type Result struct {
	Name     string
	Outcome  Outcome
	State    State         // as last seen
	Since    time.Duration // what has passed of its clock
	Deadline time.Time     // when TERM comes at the latest
	Joined   bool          // another run is at it
	Err      error         // why it could not be told
}

// Report is how things stand with all of them, in the order of Options.
type Report struct{ Workers []Result }

// Outcome is the gravest of all.
func (r Report) Outcome() Outcome {
	worst := Drained
	for _, w := range r.Workers {
		if w.Outcome == Underway {
			return Underway
		}
		worst = max(worst, w.Outcome)
	}
	return worst
}

// Drain drains all workers at once and returns when each has ended or is past its
// time. Its error is the cause of ctx if that ended first; the workers then stay as
// quiet as they are, and a further call goes on with the same clock.
func Drain(ctx context.Context, o Options) (Report, error) {
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	d := &drain{Options: o, report: Report{Workers: make([]Result, len(o.Workers))}}
	var runs sync.WaitGroup
	for i, w := range o.Workers {
		d.report.Workers[i] = Result{Name: w.Name(), State: State{Blind: true}}
		runs.Go(func() {
			r := &run{Worker: w, drain: d, result: &d.report.Workers[i], clock: openClock(o.Dirs, w), began: time.Now()}
			defer r.close()
			r.drainOne(ctx)
		})
	}
	runs.Wait()
	if d.report.Outcome() == Underway {
		return d.report, context.Cause(ctx)
	}
	return d.report, nil
}

// drain is what the runs of one call share.
type drain struct {
	Options
	mu     sync.Mutex
	report Report
}

func (d *drain) note(w Worker, text string) {
	if d.Note == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Note(Event{time.Now(), plain(w.Name()), w.PID, plain(text)})
}

// update changes one result, and shows all of them.
func (d *drain) update(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	if d.Watch != nil {
		d.Watch(Report{slices.Clone(d.report.Workers)})
	}
}

// kill is the hour of the KILL of a drain that began then. With NoTerm and no grace
// none is foreseen, and a worker that was told one would end by itself.
func (o Options) kill(began time.Time) time.Time {
	switch {
	case o.Grace > 0:
		return began.Add(o.Grace)
	case o.NoTerm:
		return time.Time{}
	}
	return began.Add(o.Timeout + margin)
}

// term is when TERM is sent at the latest.
func (o Options) term(began time.Time, needs time.Duration) time.Time {
	wait := o.Timeout
	if o.Grace > 0 {
		wait = min(wait, max(0, o.Grace-needs))
	}
	return began.Add(wait)
}

// pause waits for the next look.
func pause(ctx context.Context) error {
	select {
	case <-time.After(glance):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// bounded calls f with little time.
func bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, end := context.WithTimeout(ctx, patience)
	defer end()
	return f(ctx)
}
