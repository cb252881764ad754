// Package crashtest kills real processes, at named points and at any moment, and
// counts afterwards: every job that was accepted is done, and one that ran twice was
// held by a process when that was killed.
//
// It also stops a process as a platform does, and follows a job that listens, one
// that checkpoints and one that is deaf.
//
// It is all tests; the test binary runs itself as the processes to kill.
package crashtest
