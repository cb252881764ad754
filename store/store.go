package store

import (
	"context"
	"iter"
	"time"
)

// Store is everything a driver does. Consumers take only the role they use.
// All methods may be called from many goroutines at once, and by many
// processes that share the store.
type Store interface {
	Enqueuer
	Fetcher
	Keeper
	Inspector
	Historian

	// Describe tells what this store can do and what was found of its settings.
	Describe() Description
	// Close lets go of files and connections. A second call does nothing.
	// Calls still under way end with an error; they may or may not have moved.
	Close() error
}

// MaxBatch is the most elements that one call may carry. A larger batch is refused
// whole; an empty one does nothing and is not remembered.
const MaxBatch = 1000

// Enqueuer accepts jobs.
type Enqueuer interface {
	// Push puts items at the back of their queues. A nil error means that every
	// item is kept as durably as [Description.Durability] says. On an error none,
	// some or all may be; repeating the call with the same Call makes no second
	// copy of any. No items: nothing happens. A full store answers ErrFull.
	Push(ctx context.Context, call Call, items ...Item) ([]Result, error)
	// Schedule is Push into the scheduled set. Items that are due already go there
	// too, and are promoted at once.
	Schedule(ctx context.Context, call Call, items ...Item) ([]Result, error)
}

// Fetcher is the hands of a process. The process registers with Beat first.
type Fetcher interface {
	// Fetch moves at most n jobs into the keeping of call.By, in the order and
	// with the shares of plan, and returns them. When there are none it waits
	// until there may be, ctx ends or wait has passed, and then returns none and
	// a nil error. A job that became ready after the previous Fetch came back
	// always ends the wait, whoever pushed it. The end of ctx ends the waiting,
	// never a move: jobs that were moved are returned with a nil error.
	//
	// Repeating a call returns what of its jobs is still held and takes nothing
	// more; so does a Seq below the highest one asked for on the lane. A By without
	// a lease gets ErrLeaseLost, one that has left ErrLeft, and so does one that
	// waits when that happens. Paused queues give nothing. n above MaxBatch counts as
	// MaxBatch.
	Fetch(ctx context.Context, call Call, plan Plan, n int, wait time.Duration) ([]Held, Woken, error)

	// The verdicts. Each element is one atomic move out of keeping. A token that
	// call.By does not hold changes nothing and is named by the *NotHeldError that
	// is returned after all others have moved; any other error means that the call
	// must be repeated. One holder sends one verdict call at a time, on one lane.
	// They count after Leave too: a deaf job may finish after all.

	// Ack forgets jobs that are done with.
	Ack(ctx context.Context, call Call, done ...Done) error
	// Retry moves jobs to the retry set or, where Set says so, the scheduled set.
	Retry(ctx context.Context, call Call, later ...Later) error
	// Bury moves jobs to the dead set.
	Bury(ctx context.Context, call Call, later ...Later) error
	// Requeue moves jobs to the front of their queue, the first of the batch
	// foremost. No attempt is spent. Jobs of several queues that go to the same one
	// keep their order only where one server has both.
	Requeue(ctx context.Context, call Call, back ...Later) error
	// Checkpoint writes new payloads of jobs that stay held.
	Checkpoint(ctx context.Context, call Call, saves ...Later) error
}

// Keeper is what every living process does for all. Every method may run in
// every process at once.
type Keeper interface {
	// Beat registers a process or renews its lease to ttl from the store's now,
	// and keeps p for people to see. Known is compared with what the store has the
	// process holding; see Orders. After Leave it answers ErrLeft.
	Beat(ctx context.Context, p Presence, ttl time.Duration) (Orders, error)
	// Promote moves jobs that are due from the scheduled and the retry set to the
	// back of their queues, the oldest of each set first, at most p.Max, and trims
	// the dead set. It may do nothing where another process is at it. next says when
	// to come again.
	Promote(ctx context.Context, p Promotion) (moved int, next time.Duration, err error)
	// Orphans lists processes that are gone, at most max of them with at most
	// MaxBatch jobs each: those whose lease ended, those that left deaf jobs behind,
	// and those in dead, whose end the caller has witnessed as a parent does.
	// A process that held nothing is listed without jobs.
	Orphans(ctx context.Context, max int, dead ...Identity) ([]Lost, error)
	// Rescue moves each job where it says, if s.ID still holds it and is still as
	// Orphans saw it; it returns how many moved. The holder is forgotten once it
	// holds nothing. The report is kept if anything moved or the holder was
	// forgotten by this call. A witnessed end needs neither s.Seen nor a lapsed lease.
	// Two calls, since no store knows what a payload says.
	Rescue(ctx context.Context, s Salvage) (moved int, err error)
	// Audit finds processes that hold jobs and that nobody has registered, as an edit
	// by hand or a server that evicts may leave them, and registers them for d from
	// the store's now. One that lives beats before that has passed, and nothing has
	// happened; another Orphans lists then as Unclaimed. d 0 only finds them.
	//
	// It may do nothing where another process is at it, and look at a part of the store
	// and go on there the next time. An empty by looks at everything at once.
	Audit(ctx context.Context, by Identity, d time.Duration) (found []Identity, err error)
	// Suspect shortens a lease to d, if it is longer and unchanged since the caller
	// looked; any beat of its owner restores it. For whoever saw a connection end.
	// A store that knows the living for sure ignores it.
	Suspect(ctx context.Context, id Identity, d time.Duration) error
	// Leave is deregistration: it keeps the stop report, requeues f.Back as
	// Requeue would, and frees the name for good. Jobs in f.Deaf still run: they
	// stay held, the lease ends in half a second marked as left, and whoever lives
	// rescues them. Anything else the process still holds goes back too.
	// A repeated call changes nothing.
	Leave(ctx context.Context, call Call, f Farewell) error
}

// Inspector reads for people, and moves by hand. No method costs more than the
// page that it returns.
type Inspector interface {
	// Queues lists every queue that is known, by name.
	Queues(ctx context.Context) ([]Queue, error)
	// Processes lists living processes and those whose end nobody has handled yet,
	// of every language that shares the store, by identity.
	Processes(ctx context.Context) ([]Process, error)
	// Jobs walks a place in its order: a queue from its front, a set by time.
	// Jobs that move meanwhile may be missed or seen twice. It holds no lock and no
	// cursor between two elements.
	Jobs(ctx context.Context, q Query) iter.Seq2[Entry, error]
	// Stats returns totals and the books of every queue.
	Stats(ctx context.Context) (Stats, error)
	// Stops walks stop reports, newest first.
	Stops(ctx context.Context) iter.Seq2[StopReport, error]

	// Move takes jobs by hand from where Jobs found them to another place, and
	// returns how many were still there. Held jobs do not move. A payload that goes
	// to a set under another queue's name must say that name itself. While u lasts,
	// Undo takes the move back.
	Move(ctx context.Context, u Undoable, to Place, picks ...Pick) (int, error)
	// Delete forgets jobs by hand, and returns how many were still there. While u
	// lasts, the store keeps what Undo needs to bring them back, and no longer.
	Delete(ctx context.Context, u Undoable, picks ...Pick) (int, error)
	// Undo takes back what Move and Delete did to at most max jobs under one change,
	// the last call first, and of a call the last job of each queue first: each is
	// again where it was, its payload and its hour to the byte, in a queue at its
	// front. A job that has moved on since, or runs, is left as it is. Each job is
	// taken back once, however often Undo is called, and a change that nobody knows,
	// or whose time is over, has none. max above MaxBatch, and 0, count as MaxBatch.
	Undo(ctx context.Context, change string, max int) (Undone, error)
	// Record keeps what c says of a change by hand, in place of what was recorded
	// under its ID before. The store forgets a change ChangeAge after it was last
	// recorded, and the oldest where there are more than MaxChanges.
	Record(ctx context.Context, c Change) error
	// Changes walks what Record kept, the latest begun first.
	Changes(ctx context.Context) iter.Seq2[Change, error]
	// Pause stops a queue from being fetched from, or lets it go on. It counts for
	// every Fetch that begins after it returned.
	Pause(ctx context.Context, queue string, paused bool) error
	// Command leaves an order for a process, which takes it with its next beat.
	// ErrUnknownProcess: nobody of that name is registered, or it has left.
	Command(ctx context.Context, id Identity, c Command) error
}
