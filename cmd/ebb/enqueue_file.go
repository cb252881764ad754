package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/export"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// A file of jobs goes in by batches. Before a batch is sent, what is recorded says
// which lines it has and under which number it goes. So whoever goes on after a KILL
// sends the last one again, the very same lines under the very same number, and the
// store, which remembers the number, takes no second copy.

const (
	batchBytes  = 8 << 20          // a batch ends with the line that exceeds it
	idleWait    = time.Second      // a batch waits that long for more lines
	patience    = 30 * time.Second // a batch is repeated while its fate is unknown
	toldBad     = 20               // bad lines that are named
	memoryOfAll = 50 * time.Minute // stores remember a number for an hour at least
)

// position is a place between two lines, and what was read up to there.
type position struct {
	Line   int64  `json:"line"`
	Offset int64  `json:"offset"`
	Sum    uint64 `json:"sum,string"`
}

// fileRest is what going on needs, kept with the change.
type fileRest struct {
	File string         `json:"file"`
	By   store.Identity `json:"by"`
	// Batch is the number of the last batch that was begun.
	Batch uint64 `json:"batch"`
	// All lines up to Done are in.
	Done position `json:"done"`
	// Sent is where the batch ends of which nobody knows yet whether it is in, nil if
	// there is none; Since, First and SkipBad are when it was sent first, a jid in it,
	// and whether bad lines in it were passed over.
	Sent    *position `json:"sent,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	First   string    `json:"first,omitempty"`
	SkipBad bool      `json:"skip_bad,omitempty"`
}

// fileResult is what became of a file.
type fileResult struct {
	ID        string  `json:"id"`
	File      string  `json:"file"`
	Lines     int64   `json:"lines"` // with a job or without, empty ones too
	Jobs      int64   `json:"jobs"`
	Scheduled int64   `json:"scheduled"` // of this run
	Bad       int64   `json:"bad"`
	Took      float64 `json:"took_seconds"`
}

// batches puts the jobs of one file, batch by batch.
type batches struct {
	a      *app
	flags  *enqueueFlags
	store  store.Store
	lines  *export.Reader
	size   int64 // of the file; 0 if unknown
	change store.Change
	rest   fileRest
	begun  time.Time // this run
	from   position  // where this run began
	shown  *console.Progress
	named  bool // the change's ID was told

	// The batch that is being gathered: lines up to end.
	ready, later []store.Item
	bytes        int
	end          position
	bad          int64

	// Settled: what the run before had sent is decided, so that new batches may go.
	settled bool
	failed  error // of idle

	scheduled, told int64
}

func newBatches(a *app, f *enqueueFlags) *batches { return &batches{a: a, flags: f} }

func (b *batches) run(ctx context.Context, stdin io.Reader) (err error) {
	b.begun = b.a.now()
	if b.flags.dryRun {
		b.store = blind{}
	} else if b.store, err = b.a.open(ctx); err != nil {
		return err
	}
	if err := b.begin(ctx); err != nil {
		return err
	}
	if !b.change.Ended.IsZero() {
		b.a.say("enqueue %s is complete: there is nothing to go on with", b.change.ID)
		return b.finish()
	}
	src, err := b.source(stdin)
	if err != nil {
		return err
	}
	defer src.Close()
	f := newFeed(ctx, src, func() error { return b.idle(ctx) })
	defer f.close()
	b.lines = export.NewReader(f, 0)
	if err := b.skip(); err != nil {
		return err
	}
	b.from = b.rest.Done
	b.shown = b.a.term.Progress("enqueue", 0)
	defer b.shown.End()
	err = b.all(ctx)
	b.shown.End()
	if err != nil {
		return b.stopped(ctx, err)
	}
	return b.finish()
}

// begin makes a new change, or finds the one to go on with.
func (b *batches) begin(ctx context.Context) error {
	if b.flags.resume == "" {
		id, err := bulk.NewID(ctx, b.store)
		if err != nil {
			return err
		}
		b.rest = fileRest{File: b.flags.from, By: store.NewIdentity()}
		b.change = store.Change{ID: id, By: b.a.who(), Verb: "enqueue", What: b.flags.from, Began: b.begun.UTC()}
		return nil
	}
	c, err := bulk.Lookup(ctx, b.store, b.flags.resume)
	switch {
	case errors.Is(err, bulk.ErrUnknownChange), err == nil && c.Verb != "enqueue":
		return code(exitNothing, store.WithHint(fmt.Errorf("there is no enqueue %q to go on with", b.flags.resume), "ebb audit lists them, for 30 days"))
	case err != nil:
		return err
	}
	b.change = c
	if err := json.Unmarshal(c.Rest, &b.rest); err != nil {
		return fmt.Errorf("read what is left of %s: %w", c.ID, err)
	}
	b.flags.from = cmp.Or(b.flags.from, b.rest.File)
	return nil
}

func (b *batches) source(stdin io.Reader) (io.ReadCloser, error) {
	if b.flags.from == "-" {
		return io.NopCloser(stdin), nil
	}
	file, err := os.Open(b.flags.from)
	if err != nil {
		return nil, code(exitUsage, err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", b.flags.from)
	}
	if err != nil {
		file.Close()
		return nil, code(exitUsage, err)
	}
	if info.Mode().IsRegular() {
		b.size = info.Size()
	}
	return file, nil
}

// here is behind the line that was read last.
func (b *batches) here() position { return position{b.lines.Line(), b.lines.Offset(), b.lines.Sum()} }

// skip reads up to where the run before came, and sees that it is the same file.
func (b *batches) skip() error {
	for b.lines.Offset() < b.rest.Done.Offset {
		if _, err := b.lines.Next(); err != nil && !errors.Is(err, export.ErrTooLong) {
			if err == io.EOF {
				break
			}
			return b.readError(err)
		}
	}
	b.end = b.here()
	if b.end != b.rest.Done {
		return b.changed(b.rest.Done)
	}
	return nil
}

// changed says that the file is another one than before.
func (b *batches) changed(p position) error {
	return store.WithHint(fmt.Errorf("%s is not what it was: its first %s differ from those that were read before", b.flags.from, prose.Plural(p.Line, "line")),
		"go on with the same file; only lines behind line %d may have changed", p.Line)
}

func (b *batches) readError(err error) error {
	if b.failed != nil {
		return b.failed // not to read, but to put what was read
	}
	return fmt.Errorf("read %s after line %d: %w", b.flags.from, b.lines.Line(), err)
}

// all puts what is left of the file.
func (b *batches) all(ctx context.Context) error {
	if b.rest.Sent != nil {
		if err := b.again(ctx); err != nil {
			return err
		}
	}
	b.settled = true
	for {
		more, err := b.gather(ctx)
		if err != nil && !isBadLine(err) {
			return err
		}
		// What stands before a bad line goes in all the same.
		if flushed := b.flush(ctx); flushed != nil {
			return flushed
		}
		if err != nil || !more {
			return err
		}
	}
}

// again settles the batch that the run before had sent.
func (b *batches) again(ctx context.Context) error {
	sent := *b.rest.Sent
	forget := b.a.now().Sub(b.rest.Since) > memoryOfAll
	if forget && b.flags.uncertain == "" {
		return code(exitUsage, store.WithHint(
			fmt.Errorf("nobody knows any more whether lines %d to %d are in: they were sent %s, and the store may have forgotten the answer",
				b.rest.Done.Line+1, sent.Line, prose.When(b.rest.Since, b.a.now())),
			"one of the jobs is %s: if it is there or has run, add --uncertain=skip, else --uncertain=put", b.rest.First))
	}
	for b.lines.Offset() < sent.Offset {
		more, err := b.next(ctx, b.rest.SkipBad)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	if b.end = b.here(); b.end != sent {
		return b.changed(sent)
	}
	if forget && b.flags.uncertain == "skip" {
		b.taken()
		return nil
	}
	return b.send(ctx, true)
}

// idle is called where the input pauses: what has been read need not wait for more.
func (b *batches) idle(ctx context.Context) error {
	if b.settled {
		b.failed = b.flush(ctx)
	}
	return b.failed
}

// gather reads lines until there is a batch, a bad line or the end.
func (b *batches) gather(ctx context.Context) (more bool, err error) {
	for len(b.ready)+len(b.later) < store.MaxBatch && b.bytes < batchBytes {
		if more, err = b.next(ctx, b.flags.skipBad); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// next reads one line into the batch.
func (b *batches) next(ctx context.Context, skipBad bool) (more bool, err error) {
	line, err := b.lines.Next()
	switch {
	case err == io.EOF:
		return false, nil
	case errors.Is(err, export.ErrTooLong):
		err = fmt.Errorf("it is longer than %s", prose.Bytes(export.DefaultMaxLine))
	case err != nil:
		return false, b.readError(err)
	}
	var job fileJob
	if err == nil {
		job, err = parseLine(ctx, line, b.change.Began)
	}
	if err != nil {
		err = &badLine{b.flags.from, b.lines.Line(), err}
		if !skipBad {
			return false, err
		}
		b.tellBad(err)
		b.end = b.here()
		return true, nil
	}
	if job.later {
		b.later = append(b.later, job.Item)
	} else {
		b.ready = append(b.ready, job.Item)
	}
	b.bytes += len(job.Payload)
	b.end = b.here()
	return true, nil
}

// badLine is a line that is no job.
type badLine struct {
	file string
	line int64
	err  error
}

func (l *badLine) Error() string {
	file := l.file
	if file == "-" {
		file = "input"
	}
	return fmt.Sprintf("%s:%d: %v", file, l.line, l.err)
}

func isBadLine(err error) bool {
	_, ok := errors.AsType[*badLine](err)
	return ok
}

func (b *batches) tellBad(err error) {
	b.bad++
	switch b.told++; {
	case b.told <= toldBad:
		b.shown.Say("%v", err)
	case b.told == toldBad+1:
		b.shown.Say("more bad lines are counted and not named")
	}
}

// flush sends what was gathered, if it is anything.
func (b *batches) flush(ctx context.Context) error {
	if b.end == b.rest.Done {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	first := b.ready
	if len(first) == 0 {
		first = b.later
	}
	if len(first) == 0 { // bad lines alone
		b.taken()
		return nil
	}
	b.rest.Batch++
	b.rest.Since, b.rest.SkipBad = b.a.now().UTC(), b.flags.skipBad
	b.rest.Sent, b.rest.First = new(b.end), first[0].JID
	if err := b.record(ctx); err != nil {
		b.rest.Sent = nil // nothing was sent
		return err
	}
	return b.send(ctx, false)
}

// taken notes that the batch is in. The next record tells it.
func (b *batches) taken() {
	b.change.Done += int64(len(b.ready) + len(b.later))
	b.change.Missed += b.bad
	b.scheduled += int64(len(b.later))
	b.rest.Done, b.rest.Sent, b.rest.First = b.end, nil, ""
	b.ready, b.later, b.bytes, b.bad = b.ready[:0], b.later[:0], 0, 0
	b.show()
}

func (b *batches) show() {
	note := ""
	if took, at := time.Since(b.begun), b.rest.Done.Offset; took > time.Second && at > b.from.Offset && b.size >= at {
		left := time.Duration(float64(took) * float64(b.size-at) / float64(at-b.from.Offset))
		note = fmt.Sprintf("%d %% of %s  %s left", 100*at/b.size, prose.Bytes(b.size), prose.Span(left))
	}
	if !b.named && time.Since(b.begun) > time.Second {
		b.named = true
		b.shown.Say("if this is cut short, run it again with --resume %s", b.change.ID)
	}
	b.shown.Set(b.rest.Done.Line-b.from.Line, note)
}

// stopped keeps how far it came, and says how to go on.
func (b *batches) stopped(ctx context.Context, err error) error {
	if b.flags.dryRun {
		return err
	}
	if errors.Is(context.Cause(ctx), errInterrupted) {
		err = code(exitInterrupted, errInterrupted)
	}
	if b.change.Done == 0 && b.rest.Sent == nil {
		if isBadLine(err) {
			err = store.WithHint(err, "nothing was put; --skip-bad passes over such lines")
		}
		return err // the command as it was begins anew
	}
	if b.rest.Sent == nil { // else that is what was recorded last
		if b.change.Rest, _ = json.Marshal(b.rest); b.store.Record(context.WithoutCancel(ctx), b.change) != nil {
			b.a.say("how far it came could not be recorded; going on within the hour is safe all the same")
		}
	}
	far := fmt.Sprintf("%s in, up to line %d", isAre(b.change.Done, "job"), b.rest.Done.Line)
	if isBadLine(err) {
		return store.WithHint(err, "%s; mend it and run it again with --resume %s, or with --skip-bad too", far, b.change.ID)
	}
	hint := store.Hint(err)
	if hint != "" {
		hint += "; "
	}
	return store.WithHint(err, "%s%s; to go on run it again with --resume %s", hint, far, b.change.ID)
}

// isAre is "1 job is" and "2 jobs are".
func isAre(n int64, word string) string {
	if n == 1 {
		return "1 " + word + " is"
	}
	return prose.Plural(n, word) + " are"
}

// finish says what became of it.
func (b *batches) finish() error {
	if b.change.Ended.IsZero() {
		b.change.Ended = b.a.now().UTC()
		if err := b.record(context.Background()); err != nil {
			return store.WithHint(err, "%s in: that was all", isAre(b.change.Done, "job"))
		}
	}
	r := fileResult{
		ID: b.change.ID, File: b.rest.File, Lines: b.rest.Done.Line, Jobs: b.change.Done, Scheduled: b.scheduled,
		Bad: b.change.Missed, Took: b.a.now().Sub(b.begun).Seconds(),
	}
	if err := b.print(&r); err != nil {
		return err
	}
	if r.Bad > 0 {
		return code(exitFailed, fmt.Errorf("%s of %s left out", isAre(r.Bad, "line"), prose.Count(r.Lines)))
	}
	return nil
}

func (b *batches) print(r *fileResult) error {
	if b.a.flags.output == formName {
		_, err := fmt.Fprintln(b.a.term.Out, r.ID)
		return err
	}
	return b.a.show(r, func(p *page) {
		if !p.plain {
			verb := "put"
			if b.flags.dryRun {
				verb = "checked"
			}
			p.line("%s: %s from %s in %s", console.Good(verb), prose.Plural(r.Jobs, "job"), prose.Plural(r.Lines, "line"), prose.Span(b.a.now().Sub(b.begun)))
			return
		}
		p.field("id", r.ID)
		p.field("jobs", r.Jobs)
		p.field("lines", r.Lines)
		p.field("bad", r.Bad)
	})
}
