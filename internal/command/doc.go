// Package command makes any program a job handler, under the guarantees that a
// handler in Go has.
//
// A program finds its job, the whole payload, on standard input, and in its
// environment EBB_JID, EBB_KIND, EBB_QUEUE, EBB_ATTEMPT, EBB_INTERRUPTIONS, with a
// timeout EBB_DEADLINE in Unix seconds, and EBB_CHECKPOINT. Nothing of a payload is
// ever part of a command line. It says by its exit code what is to become of the
// job: 0 is done, 75 asks for another try later, unbilled, and any other is a
// failure, whose message is the end of its standard error.
//
// EBB_CHECKPOINT names a file. It holds what the last run of the job left in it, or
// does not exist. The program replaces it, by writing another file and renaming
// that, whenever it has something worth going on from.
//
// When a stop begins, nothing is sent unless the program is declared to take a
// notice. When its job's context ends, all of its process group gets TERM, and KILL
// where that does not help in time. A program that dies of our signal, or that
// exits with 143 after it, was interrupted, which is not billed.
//
// # Guards
//
// No program outlives its worker, not even one that is killed. A worker starts its
// programs through guards, each a small process of the same executable that runs
// one program at a time. A guard sees the end of its worker as the end of its
// control socket, ends everything that its program started, and only then lets go
// of the worker's lease, where the lease is a file; so nobody can rescue a job
// whose program still runs.
//
// On Linux a guard is the reaper of all that its program leaves, so that a daemon,
// in a session of its own and orphaned, is found as well. Elsewhere only the
// process group is. What a program starts through others, such as a container
// daemon or cron, is nobody's child here, and stays.
package command
