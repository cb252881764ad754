package store

import (
	"context"
	"time"
)

// RubyWatcher is a store that Ruby's Sidekiq shares, as far as it can see what those of
// Sidekiq's processes run that keep their jobs in memory alone. Once such a process is
// gone, all that is known of its jobs is what it said at its last beat.
type RubyWatcher interface {
	// WatchRuby looks once at each of Ruby's processes, and remembers in the store what
	// each says that it runs: its own record ends a minute after its last beat. Looks of
	// several callers count as those of one. Beside an error it returns those that it
	// could look at.
	WatchRuby(context.Context, RubyWatch) ([]RubyProcess, error)

	// PutBack takes from a process the jobs of s, which are some of its Lost.Jobs, and
	// puts each where s says. It does nothing for a process that lives by its record,
	// unless its end was witnessed. The jobs of settled tokens are in nobody's need of
	// being put back, now or later, be their process alive or not. It returns how many
	// jobs it moved, and whether that was the last that was to be done for the process;
	// what others have put back, or the process no longer runs, is left alone, so that
	// no job is put back twice.
	PutBack(ctx context.Context, s Salvage, settled ...Token) (moved int, last bool, err error)
}

// RubyWatch says how sure one must be that a process of Ruby's is gone.
type RubyWatch struct {
	Gap     time.Duration // looks that are no further apart leave nothing unseen
	Silence time.Duration // for so long looks without a gap must have seen no beat
	Stale   time.Duration // what was seen so long before the end tells nothing of it
	Keep    time.Duration // for how long it is remembered what a process ran
	Dead    []Identity    // somebody has seen these end
	Known   bool          // look at these and at those that are remembered, and at no others
}

// RubyState is what a look has found of a process of Ruby's.
type RubyState string

const (
	RubyAlive  RubyState = "alive"
	RubyLeft   RubyState = "left"   // it has said goodbye, and runs nothing
	RubySilent RubyState = "silent" // its record is gone, and it may still come back
	RubyLost   RubyState = "lost"   // it vanished without a goodbye, or its end was witnessed
	// Its record is gone, and nobody looked when it went: it may have said goodbye, and
	// what is known of its jobs may be old.
	RubyDoubtful RubyState = "doubtful"
)

// RubyProcess is a process of Ruby's as one look found it.
type RubyProcess struct {
	State RubyState
	Busy  int  // alive: how many jobs it says it runs
	New   bool // alive: nobody has looked at it before
	Back  bool // alive: it was taken for lost, and jobs of its were put back
	Told  bool // doubtful: another look has found that before
	// Lost is what it runs, or ran: of one that lives only if it is quiet. A Held's Token
	// names the run, not the job.
	Lost Lost
	// Unreadable are runs of which nobody can tell the job.
	Unreadable []Token
}
