package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Attempt is one job in this process's keeping, from its fetch to its verdict. A
// handler finds its own with From.
type Attempt struct {
	runner *Runner
	group  *group
	token  store.Token
	queue  string // where it was fetched from
	raw    []byte
	job    *wire.Job // what of raw can be read; Active Job's own, unless its wrapper has a handler
	unread error     // why it cannot all be read

	epoch uint64 // of the beats: a gap since then puts the keeping in doubt

	// Set when the handler begins and not changed after.
	slot  string
	since time.Time

	mu      sync.Mutex
	ctx     context.Context // the handler's; nil until it begins
	cancel  context.CancelCauseFunc
	history wire.History
	marked  time.Time // when this run last gave a checkpoint
	changed bool      // history is not what the payload says
	unsaved bool      // it has a checkpoint that no call to the store carries yet
	lost    bool      // another process has it
	judged  bool      // its verdict is handed to the recorder
	deaf    bool      // still running when its process gave up waiting
}

func newAttempt(g *group, held store.Held) *Attempt {
	a := &Attempt{runner: g.runner, group: g, token: held.Token, queue: held.Queue, raw: held.Payload}
	if a.job, a.unread = wire.Parse(held.Payload); a.job == nil {
		a.job = &wire.Job{Count: -1}
	}
	if inner := a.job.Unwrapped(); inner != nil && g.runner.opt.Handlers[a.job.Kind] == nil {
		a.job = inner
	}
	a.history = a.job.History
	return a
}

type attemptKey struct{}

// From returns the attempt whose handler was given ctx, or nil.
func From(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey{}).(*Attempt)
	return a
}

// Job returns the job as it was fetched.
func (a *Attempt) Job() *wire.Job { return a.job }

// Queue returns the name of the queue that the job was fetched from.
func (a *Attempt) Queue() string { return a.queue }

// Process returns the identity of the process that runs it.
func (a *Attempt) Process() store.Identity { return a.runner.opt.ID }

// Stopping returns a channel that is closed once the process is to stop, and the
// hour of the kill, zero while there is none.
func (a *Attempt) Stopping() (<-chan struct{}, time.Time) { return a.runner.notice.get() }

// Log returns a logger that says which job it is.
func (a *Attempt) Log() *slog.Logger {
	return a.runner.log.With("jid", a.job.JID, "kind", a.job.Name(), "queue", a.queue, "attempt", a.Number())
}

// Number is 1 for the first attempt and counts those that were billed.
func (a *Attempt) Number() int { return a.job.Count + 2 }

// History returns what the job remembers, changes of this attempt included.
func (a *Attempt) History() wire.History {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.history
}

// maxCheckpoint bounds what a checkpoint adds to every later write of its job.
const maxCheckpoint = 256 << 10

// ErrCheckpointSize says that a checkpoint is too large to travel with its job.
var ErrCheckpointSize = errors.New("ebb: checkpoint is larger than 256 KiB")

// Checkpoint remembers value for the next run. It is written with the next beat,
// or at once while the process stops, together with whatever was remembered later.
func (a *Attempt) Checkpoint(value json.RawMessage) error {
	if err := a.remember(value); err != nil {
		return err
	}
	if a.runner.stopping() {
		a.runner.record.save(a, nil)
	}
	return nil
}

// saveLinger is how long CheckpointNow goes on waiting once its job's context has
// ended: the process is about to go, but the write is likely to be on its way.
const saveLinger = 2 * time.Second

// CheckpointNow remembers value and returns once it is written.
func (a *Attempt) CheckpointNow(ctx context.Context, value json.RawMessage) error {
	if err := a.remember(value); err != nil {
		return err
	}
	written := make(chan error, 1)
	a.runner.record.save(a, written)
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
	}
	t := time.NewTimer(saveLinger)
	defer t.Stop()
	select {
	case err := <-written:
		return err
	case <-t.C:
		return context.Cause(ctx)
	}
}

func (a *Attempt) remember(value json.RawMessage) error {
	if len(value) > maxCheckpoint {
		return ErrCheckpointSize
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost {
		return verdict.ErrLeaseLost
	}
	a.history.Checkpoint, a.marked = value, time.Now()
	a.changed, a.unsaved = true, true
	return nil
}

// Progress shows how far the job is. It travels with each beat, and with the next
// checkpoint.
func (a *Attempt) Progress(p wire.Progress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.history.Progress = &p
	a.changed = true
}

// end ends the job's context, if its handler runs.
func (a *Attempt) end(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cancel != nil {
		a.cancel(cause)
	}
}

// lose notes that another process has the job. It reports false if that is known,
// or of no interest any more since a verdict is on its way.
func (a *Attempt) lose() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost || a.judged {
		return false
	}
	a.lost = true
	if a.cancel != nil {
		a.cancel(verdict.ErrLeaseLost)
	}
	return true
}

// note adds an event to the job's history.
func (a *Attempt) note(what, cause, note string) {
	a.history.Add(wire.Event{At: time.Now(), What: what, Cause: cause, By: string(a.runner.opt.ID), Note: note})
	a.changed = true
}

// waits reports whether a checkpoint waits to be written.
func (a *Attempt) waits() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unsaved && !a.judged && !a.lost
}

// fate is the attempt's line in a stop report, after a run that took so long.
func (a *Attempt) fate(fate string, cause error, took time.Duration) store.Fate {
	f := store.Fate{JID: a.job.JID, Kind: a.job.Name(), Queue: a.queue, Fate: fate}
	if cause != nil {
		f.Note = fmt.Sprint(cause) // which survives an Error method that panics
	}
	switch fate {
	case "handed back", "checkpointed", "deaf", "lost lease", "not recorded":
		a.mu.Lock()
		defer a.mu.Unlock()
		f.Wasted = took
		if !a.since.IsZero() && a.marked.After(a.since) {
			f.Wasted = max(0, took-a.marked.Sub(a.since))
		}
	}
	return f
}

// unsavedPayload returns the payload with the latest checkpoint, or nil if that is
// on its way already or a verdict, which carries it, is.
func (a *Attempt) unsavedPayload() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.unsaved || a.judged || a.lost {
		return nil
	}
	a.unsaved = false
	return a.job.WithHistory(a.history)
}

// runs describes the attempt for the process's presence, if its handler runs.
func (a *Attempt) runs() (store.Run, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cancel == nil || a.judged {
		return store.Run{}, false
	}
	run := store.Run{
		Slot: a.slot, Token: a.token, JID: a.job.JID, Kind: a.job.Name(), Queue: a.queue,
		Payload: a.raw, Since: a.since, Deaf: a.deaf,
	}
	if p := a.history.Progress; p != nil {
		run.Note = progressNote(p)
	}
	return run, true
}

// giveUp marks an attempt that still runs as deaf. It reports false if it has
// returned meanwhile.
func (a *Attempt) giveUp() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deaf = a.cancel != nil && !a.judged
	return a.deaf
}

// skip marks an attempt that no handler has seen as judged. It reports false if
// another process has the job.
func (a *Attempt) skip() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.judged = true
	return !a.lost
}

func (a *Attempt) took() time.Duration {
	if a.since.IsZero() {
		return 0
	}
	return time.Since(a.since)
}

// attrs are what every line about the job says.
func (a *Attempt) attrs() []any {
	return []any{"jid", a.job.JID, "kind", a.job.Name(), "queue", a.queue, "attempt", a.Number()}
}

func (a *Attempt) logEnd(fate string, cause error) {
	level, msg := slog.LevelDebug, "job done"
	switch {
	case fate == "expired":
		level, msg = slog.LevelInfo, "job expired"
	case fate == "buried":
		level, msg = slog.LevelError, "job buried"
	case cause != nil:
		level, msg = slog.LevelWarn, "job "+fate
	}
	if !a.runner.log.Enabled(a.runner.jobs, level) {
		return
	}
	attrs := append(a.attrs(), "took", a.took())
	if cause != nil {
		attrs = append(attrs, "cause", cause)
	}
	a.runner.log.Log(a.runner.jobs, level, msg, attrs...)
}

// progressNote is progress in words, for a list of running jobs.
func progressNote(p *wire.Progress) string {
	switch {
	case p.Total > 0:
		return strings.TrimSpace(fmt.Sprintf("%d/%d %s", p.Done, p.Total, p.Note))
	case p.Done > 0:
		return strings.TrimSpace(fmt.Sprintf("%d %s", p.Done, p.Note))
	default:
		return p.Note
	}
}
