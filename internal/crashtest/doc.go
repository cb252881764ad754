// Package crashtest kills real processes, at named points and at any moment, and
// counts afterwards: every job that was accepted is done, and one that ran twice was
// held by a process when that was killed.
//
// It is all tests; the test binary runs itself as the processes to kill.
package crashtest
