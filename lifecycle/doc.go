// Package lifecycle decides how a process stops: which notice means what, when
// jobs are told, when their contexts end, and when waiting for them ends. It is a
// table and some arithmetic; it reads no clock, starts no goroutine and touches
// nothing outside. Whoever runs jobs feeds a [Machine] with events and does what
// it answers.
//
//	             Quiet                Stop, Interrupt
//	running ───────────────▶ quiet ───────────────────▶ draining ──────▶ stopped
//	   │  ◀────────────────────┘ Resume                   ▲    Idle, or
//	   │                       └ JobsEnd of a told hour ──┤    GiveUp has come
//	   └──────────── Stop, Interrupt ─────────────────────┘
//
// # The clock
//
// Grace is what the platform allows between its notice and KILL. The clock starts
// with the first notice that carries an hour: Stop and Interrupt carry now plus
// grace, and any notice may tell the hour of the kill itself, as a drain hook
// does, which then stands in for grace during this stop. From then on the hour
// only moves earlier. A plain Quiet starts no clock.
//
//	notice                                JobsEnd          GiveUp   Goodbye  Kill
//	  ├──────────────────────────────────────┼────────────────┼────────┼──────┤
//	  Notify: jobs learn the hour            EndJobs          Leave
//	                                         ◀─────────── reserve ────────────▶
package lifecycle
