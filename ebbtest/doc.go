// Package ebbtest is for the tests of programs that enqueue jobs or handle them.
// It needs no server and no file.
//
//   - [Fake] keeps what is enqueued, to look at with [Enqueued]. Nothing runs,
//     unless [Recorder.Drain] is asked to run what waits.
//   - [Inline] runs every job within the call that enqueues it.
//
// Both are clients like any other, for code to be given instead of its own, and no
// two of them know of each other: there is no mode to switch on or to forget to
// switch off, and tests may run in parallel.
//
// Where jobs run, a real process runs them from a store in memory: arguments
// travel as JSON, middleware of both sides is called, and panics, timeouts,
// checkpoints and verdicts mean what they mean in production. What handlers need
// is given to them by the function that registers them, best the same one that the
// program's main calls:
//
//	func handlers(p *ebb.Process, m Mailer) {
//		SendWelcome.Handle(p, m.SendWelcome)
//	}
//
// A client's InTx takes any transaction, and enqueues without regard to it: also
// what is rolled back is there.
package ebbtest
