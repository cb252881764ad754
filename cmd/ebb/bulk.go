package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// bulkFlags are how a change to many jobs is made.
type bulkFlags struct {
	limit  int64
	rate   float64
	resume string
	noUndo bool
	words  []string // what names the jobs, and where they go, when it is typed again
}

func (f *bulkFlags) flags(a *app, cmd *cobra.Command) {
	cmd.Flags().Int64VarP(&f.limit, "limit", "n", 0, "at most so many, those in front (default: all)")
	cmd.Flags().Float64Var(&f.rate, "rate", 0, "at most so many a second (default: as fast as it goes)")
	cmd.Flags().StringVar(&f.resume, "resume", "", "go on with the change of this `ID`, which was stopped or killed")
	cmd.Flags().BoolVar(&f.noUndo, "no-undo", false, "for good: where the store has no room for what ebb undo needs")
	a.changeFlags(cmd)
	a.showFlags(cmd)
}

// past is what a verb has done.
var past = map[bulk.Verb]string{
	bulk.Retry: "retried", bulk.Reschedule: "rescheduled", bulk.Bury: "buried", bulk.Delete: "deleted", bulk.Move: "moved", bulk.Clear: "deleted",
}

// changeResult is what a change to many jobs came to.
type changeResult struct {
	ID        string    `json:"id"`
	Verb      string    `json:"verb"`
	Wanted    int64     `json:"wanted"` // how many were found
	Done      int64     `json:"done"`
	Missed    int64     `json:"missed"`              // had moved on when their turn came
	Finished  bool      `json:"finished"`            // false: it was stopped half way
	UndoUntil time.Time `json:"undo_until,omitzero"` // absent: it cannot be undone
	DryRun    bool      `json:"dry_run,omitempty"`   // nothing was changed
	Searched  int64     `json:"searched,omitempty"`  // among how many jobs they were found
	Resume    string    `json:"resume,omitempty"`    // the command that goes on with it
}

// changeJobs is a change to many jobs from the question to the last word. With jids it
// is about so many that were named one by one.
func (a *app) changeJobs(ctx context.Context, s store.Store, o bulk.Order, f *bulkFlags, jids int) error {
	began := time.Now()
	f.limit = o.Limit
	frozen, err := a.freezing(func(looked func(n, of int64)) (*bulk.Frozen, error) { return bulk.Freeze(ctx, s, o, looked) })
	if err != nil {
		return untouched(ctx, err)
	}
	if frozen.Count == 0 {
		return nothingTo(o)
	}
	if jids > 0 && frozen.Count > int64(jids) {
		err := fmt.Errorf("%s, and %s end so", prose.Plural(jids, "jid"), prose.Plural(frozen.Count, "job"))
		return code(exitUsage, store.WithHint(err, "give more digits; ebb jobs ls %s lists them", quoted(o.Query.String())))
	}
	return a.confirmBulk(ctx, frozen, f, time.Since(began))
}

// untouched says of an interruption that it came before the first change.
func untouched(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return code(exitInterrupted, store.WithHint(errInterrupted, "nothing was changed; running it again is safe"))
	}
	return err
}

func nothingTo(o bulk.Order) error {
	err := fmt.Errorf("no job to %s matches", o.Verb)
	held := o.Query.And(query.InPlaces(o.Verb.Places()...))
	if len(held.Places()) == 0 {
		return code(exitNothing, store.WithHint(err, "it takes jobs that are %s; those that run are left alone", statesFor(o.Verb)))
	}
	return code(exitNothing, store.WithHint(err, "ebb jobs ls %s shows what there is", quoted(o.Query.String())))
}

// statesFor are the states of the jobs that a verb is for.
func statesFor(v bulk.Verb) string {
	var names []string
	for _, p := range v.Places() {
		names = append(names, query.StateOf(p))
	}
	return strings.Join(names, ", ")
}

// freezing shows how far the search for jobs is.
func (a *app) freezing(freeze func(looked func(n, of int64)) (*bulk.Frozen, error)) (*bulk.Frozen, error) {
	var search query.Search
	progress := a.searching(&search)
	defer progress.End()
	return freeze(search.Looked)
}

// surely is the number of jobs above which a y is too easily typed.
const surely = 1000

func (a *app) confirmBulk(ctx context.Context, frozen *bulk.Frozen, f *bulkFlags, took time.Duration) error {
	frozen.ForGood = f.noUndo
	count := frozen.Count
	what := fmt.Sprintf("%s (searched %s in %s).", matching(count), prose.Count(max(frozen.Searched, count)), prose.Span(took))
	if n := frozen.Soon; n > 0 && frozen.Order.Verb == bulk.Retry {
		what += fmt.Sprintf(" %s due within a minute anyway.", prose.Plural(n, "job"))
	}
	if n := frozen.Order; n.Verb == bulk.Bury && count > 10_000 {
		what += " The dead set keeps 10,000: the oldest will be gone."
	}
	switch {
	case frozen.ForGood:
		what += " " + console.Warn("This cannot be undone.")
	case !frozen.Undoable():
		what += " " + console.Warn(fmt.Sprintf("This cannot be undone: %s of payloads are more than is kept.", prose.Bytes(frozen.Bytes)))
	}
	word := ""
	if count > surely {
		word = fmt.Sprint(count)
	}
	verb := string(frozen.Order.Verb)
	ok, err := a.confirmTyping(ctx, fmt.Sprintf("%s\n%s %s?", what, strings.ToUpper(verb[:1])+verb[1:], allOf(count)), word)
	switch {
	case err != nil:
		return err
	case ok:
		return a.runBulk(ctx, frozen, f)
	case a.flags.dryRun && a.flags.output == formJSON:
		return a.show(changeResult{Verb: verb, Wanted: count, DryRun: true, Searched: frozen.Searched}, nil)
	}
	return nil
}

func matching(n int64) string {
	if n == 1 {
		return "1 job matches"
	}
	return prose.Count(n) + " jobs match"
}

func allOf(n int64) string {
	if n == 1 {
		return "it"
	}
	return "all " + prose.Count(n)
}

// runBulk runs a frozen change, and says how it went on.
func (a *app) runBulk(ctx context.Context, frozen *bulk.Frozen, f *bulkFlags) error {
	verb := frozen.Order.Verb
	progress := a.term.Progress(string(verb), frozen.Total())
	c, err := frozen.Run(ctx, bulk.Options{Rate: f.rate, Progress: func(n, _ int64) { progress.Set(n, "") }})
	progress.End()

	result := changeResult{
		ID: c.ID, Verb: c.Verb, Wanted: c.Wanted, Done: c.Done, Missed: c.Missed, Finished: err == nil, UndoUntil: c.Until, Searched: frozen.Searched,
	}
	if err != nil {
		result.Resume = goOn(frozen, &c, f)
	}
	if a.flags.output == formJSON {
		if shown := a.show(result, nil); shown != nil {
			return errors.Join(err, shown)
		}
	}
	line := fmt.Sprintf("%s %s", prose.Count(c.Done), past[verb])
	if c.Missed > 0 {
		line += fmt.Sprintf(", %s had already moved on", prose.Count(c.Missed))
	}
	undo := ""
	if !c.Until.IsZero() && c.Done > 0 {
		undo = " · undo for " + prose.Span(bulk.UndoFor) + ": " + console.Code("ebb undo "+c.ID)
	}
	if err == nil {
		a.say("%s %s%s", console.Good("done:"), line, undo)
		return nil
	}
	a.say("%s %s of %s%s", console.Warn("stopped:"), line, prose.Count(c.Wanted), undo)
	if errors.Is(err, errInterrupted) {
		a.say("go on: %s", console.Code(result.Resume))
		return quietly(exitInterrupted)
	}
	if errors.Is(err, store.ErrFull) && frozen.Undoable() {
		return store.WithHint(err, "what undo needs has no room; go on without: %s --no-undo", result.Resume)
	}
	return store.WithHint(err, "go on: %s", result.Resume)
}

// goOn is the command that goes on with a change that did not come to its end.
func goOn(frozen *bulk.Frozen, c *store.Change, f *bulkFlags) string {
	o := frozen.Order
	name := "ebb jobs " + string(o.Verb)
	switch o.Verb {
	case bulk.Move, bulk.Clear:
		name = "ebb queues " + string(o.Verb)
	}
	if frozen.Resumable() {
		return name + " --resume " + c.ID
	}
	again := []string{name, "--limit", fmt.Sprint(max(1, o.Limit-c.Done-c.Missed))}
	for _, word := range f.words {
		again = append(again, quoted(word))
	}
	return strings.Join(again, " ")
}

// resumeBulk goes on with a change that was stopped or killed.
func (a *app) resumeBulk(ctx context.Context, verb bulk.Verb, f *bulkFlags) error {
	s, err := a.openExisting(ctx)
	if err != nil {
		return err
	}
	c, err := bulk.Lookup(ctx, s, f.resume)
	if err != nil {
		return noChange(err)
	}
	if c.Verb != string(verb) {
		return code(exitUsage, fmt.Errorf("%s is a %s of %s, not a %s", c.ID, c.Verb, c.What, verb))
	}
	began := time.Now()
	frozen, err := a.freezing(func(looked func(n, of int64)) (*bulk.Frozen, error) { return bulk.Resume(ctx, s, c.ID, looked) })
	if err != nil {
		return noChange(untouched(ctx, err))
	}
	a.say("%s of %s: %s of %s are done", c.Verb, prose.Plain(c.What), prose.Count(c.Done), prose.Count(c.Wanted))
	if frozen.Count == 0 {
		return a.runBulk(ctx, frozen, f) // which brings it to its end
	}
	return a.confirmBulk(ctx, frozen, f, time.Since(began))
}

// noChange gives an error about a change its exit code.
func noChange(err error) error {
	switch {
	case errors.Is(err, bulk.ErrUnknownChange):
		return code(exitNothing, store.WithHint(err, "%s", hintOr(err, "ebb audit lists what was changed")))
	case errors.Is(err, bulk.ErrNothingToResume), errors.Is(err, bulk.ErrNotUndoable):
		return code(exitNothing, err)
	}
	return err
}
