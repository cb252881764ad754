package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Call numbers a call so that repeating it is harmless. By asks; on one Lane it
// asks one thing at a time, and Seq rises, not always by one. A zero Seq is
// remembered by nobody: such a call must not be repeated.
//
// The number of lanes that a boot ever uses bounds what stores remember of it.
type Call struct {
	By   Identity
	Lane int
	Seq  uint64
}

// The lanes of a boot. All verdicts go over one lane, Leave included. Each group
// of slots fetches on a lane of its own, LaneFetch plus the group's number; each
// push under way takes one from LanePush upward.
const (
	LaneVerdict = 0
	LaneFetch   = 1
	LanePush    = 100
)

// Place is where a job is.
type Place int

// The places. Their numbers are stored by drivers and never change.
const (
	Ready     Place = 0 // waiting in its queue
	Scheduled Place = 1 // for a later time
	Retrying  Place = 2 // failed, waiting for another try
	Keeping   Place = 3 // held by a process
	Dead      Place = 4 // out of tries, kept to look at
)

func (p Place) String() string {
	if p < Ready || p > Dead {
		return fmt.Sprintf("place %d", int(p))
	}
	return [...]string{"ready", "scheduled", "retry", "held", "dead"}[p]
}

// Item is a job on its way in. The store keeps Payload as it is; the other
// fields are what it must know beside it, and agree with it.
type Item struct {
	JID, Queue, Kind string
	Payload          []byte
	Delay            time.Duration // Schedule: due this long after the store's now …
	At               time.Time     // … or at the moment that the user named, unless zero
}

// Result is the fate of one item.
type Result struct {
	// Repeated: an earlier call with the same Call had stored it.
	Repeated bool
}

// Token is the right to one verdict on one held job. It is not the jid, of which
// there may be two. Opaque; made by the driver.
type Token string

// Held is a job in a process's keeping.
type Held struct {
	Token   Token
	Queue   string
	Payload []byte
}

// Woken says how a Fetch came to its jobs.
type Woken int

const (
	Idle   Woken = iota // no jobs
	Got                 // they were there
	Pushed              // a push ended the wait
	Polled              // found by looking again
)

func (w Woken) String() string { return [...]string{"idle", "got", "pushed", "polled"}[w] }

// Plan says which queues a Fetch takes from. Strict: in order, a later queue only
// when those before it are empty. Else: n is shared out by weight, and what one
// queue cannot give the others may. Empty plans fetch nothing and just wait.
type Plan struct {
	Strict bool
	Queues []Share
}

// Share is a queue and its weight; 0 counts as 1, and strict plans ignore it.
type Share struct {
	Queue  string `json:"queue"`
	Weight int    `json:"weight,omitempty"`
}

// Outcome is how an acked job ended, for the books.
type Outcome int

const (
	Finished  Outcome = iota // the handler returned nil
	Discarded                // it said that the job is not worth another try
	Expired                  // too old to begin
)

func (o Outcome) String() string { return [...]string{"done", "discarded", "expired"}[o] }

// Done is a verdict that forgets a job.
type Done struct {
	Token   Token
	Outcome Outcome
	// Failed counts the run among the failures that people see.
	Failed bool
}

// Later is a verdict on a job that goes on elsewhere, or a checkpoint.
type Later struct {
	Token   Token
	Payload []byte // nil keeps the payload as it is
	// Queue is where the job runs next; empty: where it was fetched from.
	Queue string
	// Set is Retrying or Scheduled; only Retry reads it, and zero means Retrying.
	Set   Place
	Delay time.Duration // Retry: due this long after the store's now
	// Failed counts the run among the failures that people see.
	Failed bool
}

// Presence is what a process says of itself with every beat.
type Presence struct {
	ID          Identity      `json:"id"`
	Host        string        `json:"host"`
	PID         int           `json:"pid"`
	Tag         string        `json:"tag,omitempty"`
	Release     string        `json:"release,omitempty"`
	Version     string        `json:"version,omitempty"` // of ebb
	Labels      []string      `json:"labels,omitempty"`
	Started     time.Time     `json:"started"`
	Concurrency int           `json:"concurrency"`
	Groups      []Group       `json:"groups,omitempty"`
	State       string        `json:"state"` // running, quiet, draining
	Grace       time.Duration `json:"grace,omitempty"`
	KillAt      time.Time     `json:"kill_at,omitzero"` // known once a stop has begun
	Socket      string        `json:"socket,omitempty"` // control socket
	RSS         int64         `json:"rss,omitempty"`    // bytes
	Embedded    bool          `json:"embedded,omitempty"`
	Busy        []Run         `json:"busy,omitempty"`

	// Turns are the states that this process was in since it last ran undisturbed, with
	// when each began by its own clock; one that runs has one.
	Turns []Turn `json:"turns,omitempty"`
	// Settings are those that took effect, Warnings what the process found wrong with
	// where it runs.
	Settings []Setting `json:"settings,omitempty"`
	Warnings []string  `json:"warnings,omitempty"`

	// Runs is how runs have ended here, by kind and queue.
	Runs []Runs `json:"-"`
	// Ended are jobs that left the store at the end of their run here since the last
	// beat that was answered, the oldest first. Numbers of one process rise: a store
	// that has seen one of them already passes it over.
	Ended []Numbered `json:"-"`

	// Known is every token that this process holds, begun or not, as of when the
	// beat was made up.
	Known []Token `json:"-"`
	// Suspicion is what is left of the lease when others find the connection of this
	// process gone. It is longer than the time between two beats. 0: all of it.
	Suspicion time.Duration `json:"-"`
	// Ring is called when there is a reason to beat at once: a command waits, or the
	// store has lost sight of this process. From any goroutine; it must not block, and
	// may be called after the process has left. nil: nobody is told.
	Ring func() `json:"-"`
}

// Turn is the moment at which a process came into a state.
type Turn struct {
	State string    `json:"state"` // running, quiet, draining
	At    time.Time `json:"at"`
}

// Setting is a setting as it took effect, and where it came from.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from,omitempty"` // flag, environment, ebb.yml, platform, default
}

// Group is one set of queues with slots of its own.
type Group struct {
	Name        string  `json:"name"`
	Strict      bool    `json:"strict,omitempty"`
	Concurrency int     `json:"concurrency"`
	Queues      []Share `json:"queues"`
}

// Run is a job that runs now.
type Run struct {
	Slot    string    `json:"slot"`
	Token   Token     `json:"-"`
	JID     string    `json:"jid"`
	Kind    string    `json:"kind"`
	Queue   string    `json:"queue"`
	Payload []byte    `json:"-"`
	Since   time.Time `json:"since"`
	Note    string    `json:"note,omitempty"` // last progress, in words
	Deaf    bool      `json:"deaf,omitempty"`
}

// Orders is the answer to a beat.
type Orders struct {
	Commands []Command
	// Gone are tokens in Known that the store no longer has this process holding:
	// their jobs were rescued, or their verdict is already recorded.
	Gone []Token
	// Unknown are jobs that it does hold and that Known lacks. A process gives back
	// those it has not come to know two beats later.
	Unknown []Held
	// Paused queues, all of them.
	Paused []string
	// Renewed: the process was not registered, or its lease had ended, before this.
	Renewed bool
	// Reconnected: the store was out of reach, or another one answered, at some
	// moment since this boot's last beat.
	Reconnected bool
	// Look: the connection of another process was found gone, and when so much time
	// has passed its lease may have ended. 0: no news.
	Look time.Duration
}

// Command is an order to a process.
type Command struct {
	Verb Verb   `json:"verb"`
	JID  string `json:"jid,omitempty"` // Cancel only
}

// Verb is what a command asks for.
type Verb string

const (
	Quiet  Verb = "quiet"
	Resume Verb = "resume"
	Stop   Verb = "stop"
	Dump   Verb = "dump"
	Cancel Verb = "cancel"
)

// Promotion says how much Promote may do.
type Promotion struct {
	By  Identity
	Max int // 0: MaxBatch
	// The dead set keeps at most DeadMax jobs (0: 10,000) for at most DeadAge
	// (0: 180 days). Those are Sidekiq's limits.
	DeadMax int
	DeadAge time.Duration
}

// Cause is why a process counts as gone.
type Cause string

const (
	Lapsed    Cause = "lapsed"    // its lease ended, or its lock was let go
	Left      Cause = "left"      // it left deaf jobs behind
	Witnessed Cause = "witnessed" // its parent saw it die
	Unclaimed Cause = "unclaimed" // Audit found jobs in its name, and it never beat again
)

// Lost is a process that is gone and what it held.
type Lost struct {
	ID    Identity
	Cause Cause
	Last  Presence  // as of its last beat; only ID is sure to be set
	Beat  time.Time // its last beat, by the store's clock; zero: not known
	Now   time.Time // by the store's clock, when this was seen
	// Seen is what the store saw, for Rescue to compare; opaque.
	Seen string
	// More: it holds more than Jobs lists.
	More bool
	Jobs []Held
}

// Rescued is a job to take from a lost process.
type Rescued struct {
	Token   Token
	Was     []byte // payload as Orphans gave it; a job that has another one stays
	Payload []byte // payload to go on with; nil: Was
	To      Place  // Ready (front of its queue), Retrying, Scheduled or Dead
	Delay   time.Duration
}

// Salvage is what a rescuer does with one lost process.
type Salvage struct {
	ID     Identity
	Cause  Cause
	Seen   string
	Jobs   []Rescued
	Report *StopReport // nil: none
}

// Farewell is a process's last word.
type Farewell struct {
	ID     Identity
	Back   []Later // returned unfinished, in the order they go to the front
	Deaf   []Token // still running
	Runs   []Runs  // as in Presence, for the last time
	Ended  []Numbered
	Report StopReport
}

// StopReport says how a process ended and what became of each job it touched.
// Reports of one process written by several (by itself, by rescuers) are read as
// one.
type StopReport struct {
	ID      Identity      `json:"id"`
	Release string        `json:"release,omitempty"`
	Tag     string        `json:"tag,omitempty"`
	Reason  string        `json:"reason"`       // "SIGTERM", "stop command", "context ended", "vanished", …
	By      Identity      `json:"by,omitempty"` // the rescuer, where one wrote it
	Cause   Cause         `json:"cause,omitempty"`
	Began   time.Time     `json:"began,omitzero"`
	Heard   time.Time     `json:"heard,omitzero"` // its last beat, where a rescuer wrote this
	Ended   time.Time     `json:"ended,omitzero"`
	Grace   time.Duration `json:"grace,omitempty"`
	Phases  []Phase       `json:"phases,omitempty"`
	Jobs    []Fate        `json:"jobs,omitempty"`
	Notes   []string      `json:"notes,omitempty"`
	// Blamed: a suspect that it held may have brought it down, so that its end proves
	// nothing about what others held.
	Blamed bool `json:"blamed,omitempty"`
}

// Phase is one step of a stop.
type Phase struct {
	Name     string        `json:"name"`
	Took     time.Duration `json:"took"`
	InFlight int           `json:"in_flight"` // jobs running when it began
}

// Fate is what a stop did to one job.
type Fate struct {
	JID   string `json:"jid"`
	Kind  string `json:"kind"`
	Queue string `json:"queue"`
	Fate  string `json:"fate"` // finished, failed, checkpointed, handed back, rescued, delayed, deaf, lost lease, not recorded, buried
	Note  string `json:"note,omitempty"`
	// Wasted is how long the job had run since it began or last saved a checkpoint, if
	// that work has to be done again.
	Wasted time.Duration `json:"wasted,omitempty"`
}

// Queue is a queue for people to see.
type Queue struct {
	Name    string
	Waiting int64
	Held    int64
	Oldest  time.Time // when its next job was enqueued; zero if empty or unknown
	Paused  bool
}

// Process is a process for people to see.
type Process struct {
	Presence
	Lang   string // "go" or "ruby"
	Beat   time.Time
	Lapsed bool // its lease has ended and nobody has rescued it yet
	Frozen bool // alive by its lock, but its beats are overdue
	Holds  int64
}

// Query says what Jobs walks.
type Query struct {
	Place Place
	Queue string   // empty: all, in the sets; a queue must be named for Ready
	JID   string   // empty: all
	Key   Identity // Keeping: of this holder; empty: all
	// Newest walks from the other end: the latest in a set, the back of a queue.
	Newest bool
	// From begins a set at that moment: with what is due then or later, or died then or
	// later; with Newest, then or before. It counts to the microsecond. Zero: at the end.
	// In other places it says nothing.
	From time.Time
	// Skip passes over so many of what is asked for first. Without a JID or, in a set, a
	// queue, stores do so without reading them.
	Skip  int64
	Limit int // 0: no limit
}

// Entry is a job for people to see.
type Entry struct {
	Key     Key
	Place   Place
	Queue   string
	Payload []byte
	At      time.Time // due, or dead since; zero in a queue
	Holder  Identity  // Keeping only
}

// Key finds an entry again, exactly. Opaque; made by the driver.
type Key string

// Pick is an entry to move or delete.
type Pick struct {
	Key     Key
	Payload []byte // Move: payload to go on with; nil: unchanged
	Queue   string // Move: where it runs next; empty: as before
	// Move to a set: due this long after the store's now …
	Delay time.Duration
	At    time.Time // … or at the moment that a person named, unless zero
	Front bool      // Move to Ready: at the front
}

// Undoable names the change that a Move or a Delete is part of, and says for how
// long Undo may take it back, counted from the latest call under that name. Without
// a name or a time it is a change for good.
type Undoable struct {
	Change string
	For    time.Duration
}

// Undone is what one call of Undo did.
type Undone struct {
	Back   int  // jobs that are where they were
	Passed int  // jobs that have moved on since
	More   bool // there are others to take back
}

// What the store remembers of changes by hand.
const (
	ChangeAge  = 30 * 24 * time.Hour
	MaxChanges = 1000
)

// Change is what a person did by hand to jobs, queues or processes: an entry of
// the audit trail, and for one of many jobs what a later run needs to go on with
// it. Whoever makes it counts; the store only keeps it.
type Change struct {
	ID   string `json:"id"`
	By   string `json:"by"`   // user@host, or who was logged in
	Verb string `json:"verb"` // retry, reschedule, bury, delete, move, clear, enqueue, pause, …
	What string `json:"what"` // the selection or the target, in words
	Why  string `json:"why,omitempty"`

	Wanted int64 `json:"wanted,omitempty"` // how many jobs it was confirmed for
	Done   int64 `json:"done,omitempty"`
	Missed int64 `json:"missed,omitempty"` // gone, or no longer as they were, when their turn came

	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended,omitzero"`  // zero: it runs, or was stopped half way
	Until  time.Time `json:"until,omitzero"`  // it may be undone until then; zero: it may not
	Undone time.Time `json:"undone,omitzero"` // when it was taken back

	// Rest is what going on needs; only the maker reads it.
	Rest json.RawMessage `json:"rest,omitempty"`
}

// Stats is the store in numbers.
type Stats struct {
	Processed int64 // runs that ended, failures included, as Sidekiq counts; not what expired, snoozed or went back
	Failed    int64
	Ready     int64
	Held      int64
	Scheduled int64
	Retrying  int64
	Dead      int64
	Books     []Books // by queue
}

// Books are the counts of one queue, each changed by the move that it counts.
type Books struct {
	Queue string `json:"queue"`
	// In and out of the store.
	Accepted  int64 `json:"accepted"`
	Done      int64 `json:"done"`
	Discarded int64 `json:"discarded"`
	Expired   int64 `json:"expired"`
	Deleted   int64 `json:"deleted"` // by hand
	Trimmed   int64 `json:"trimmed"` // from the dead set
	Moved     int64 `json:"moved"`   // to another queue, which accepted it
	// In and out of keeping.
	Fetched  int64 `json:"fetched"`
	Retried  int64 `json:"retried"`
	Buried   int64 `json:"buried"`
	Requeued int64 `json:"requeued"`
	Rescued  int64 `json:"rescued"`
	// Where jobs are now.
	Waiting   int64 `json:"waiting"`
	Held      int64 `json:"held"`
	Scheduled int64 `json:"scheduled"`
	Retrying  int64 `json:"retrying"`
	Dead      int64 `json:"dead"`
	// Shared: others push or pop here too, so that arrivals cannot be counted.
	Shared bool `json:"shared,omitempty"`
}

// Custody is what was fetched and is neither held nor accounted for; 0 when the
// books balance, which they always do.
func (b Books) Custody() int64 {
	return b.Fetched - b.Done - b.Discarded - b.Expired - b.Retried - b.Buried - b.Requeued - b.Rescued - b.Held
}

// Arrivals is what was accepted and is nowhere; 0 when the books balance. It
// says nothing where Shared.
func (b Books) Arrivals() int64 {
	return b.Accepted - b.Done - b.Discarded - b.Expired - b.Deleted - b.Trimmed - b.Moved -
		b.Waiting - b.Held - b.Scheduled - b.Retrying - b.Dead
}

// Uncounted is how many jobs a set has beyond what the books of all queues count
// there; negative if it has fewer. Others that share the set leave and take jobs which
// no books count; where nobody does it is 0.
func (s Stats) Uncounted(set Place) int64 {
	n := map[Place]int64{Scheduled: s.Scheduled, Retrying: s.Retrying, Dead: s.Dead}[set]
	for _, b := range s.Books {
		n -= map[Place]int64{Scheduled: b.Scheduled, Retrying: b.Retrying, Dead: b.Dead}[set]
	}
	return n
}

// Description is what a store can do, for log lines, doctor and the UI. Nothing
// branches on it but on RubyShares and LeaseIsLock.
type Description struct {
	Driver     string `json:"driver"`
	URL        string `json:"url"` // masked
	Server     string `json:"server,omitempty"`
	Durability string `json:"durability"` // in words
	Hosts      bool   `json:"hosts"`      // may be shared by several machines
	RubyShares bool   `json:"ruby_shares"`
	// LeaseIsLock: the end of a lease proves the end of its process. Elsewhere a
	// lease may end because the store was away, and a rescuer waits for one full
	// ttl of its own unbroken beats.
	LeaseIsLock bool     `json:"lease_is_lock"`
	Wake        string   `json:"wake"` // pushed or polled, and how
	Warnings    []string `json:"warnings,omitempty"`
}

// MergeStops reads the parts of one process's stop report, oldest first, as one. What
// the process says of its own end stands before what its rescuers thought.
func MergeStops(parts []StopReport) StopReport {
	if len(parts) == 0 {
		return StopReport{}
	}
	own := max(0, slices.IndexFunc(parts, func(part StopReport) bool { return part.By == "" }))
	merged := parts[own]
	merged.Phases, merged.Jobs, merged.Notes = nil, nil, nil
	for _, part := range parts {
		merged.Jobs = append(merged.Jobs, part.Jobs...)
		merged.Phases = append(merged.Phases, part.Phases...)
		merged.Notes = append(merged.Notes, part.Notes...)
		merged.Blamed = merged.Blamed || part.Blamed
		if part.Ended.After(merged.Ended) {
			merged.Ended = part.Ended
		}
	}
	return merged
}
