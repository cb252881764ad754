// Package drain ends processes that run jobs without cutting a job short: it tells
// them to fetch nothing new, waits until nothing runs, and only then sends TERM. It
// does so from outside, for Ruby's Sidekiq as for ebb's own workers, from a hook, a
// unit file or a terminal.
//
//	told ──▶ quiet ──▶ idle ──▶ TERM ──▶ gone
//	  │        │ time is over             ▲
//	  └────────┴────────▶ TERM ───────────┘
//
// It never sends KILL: TERM is what makes a worker give unfinished jobs back. All that
// it tells is a level and may be told again, so a lost signal, a second run and a run
// that died on the way do no harm: whoever drains a worker second shares the clock of
// the first.
//
// A [Target] is asked and told by the control socket of ebb's workers, by signals and
// the title that Sidekiq gives its process, or through the store. [Search] finds them.
package drain
