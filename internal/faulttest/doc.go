// Package faulttest is what a program and its users see when something is wrong:
// jobs that nobody can read, a store that is full, away, frozen or taken away, and
// what must hold then all the same. Whole processes run on real stores, through the
// public library.
//
// It is all tests. Those of a full disk mount one, and so need root on Linux; one
// stops a thread of its server as a debugger does. What became of all jobs under a
// fault is told by the test's ledger.
package faulttest
