// Package interop runs Ruby's Sidekiq and ebb side by side on one Redis. It has only
// tests: what either enqueues, fails, buries, lists or moves is looked at from the
// other side.
//
// Ruby 3.1 with Sidekiq 6.4.1, as Debian has it, is run for real. What 7 and 8 write
// otherwise lies in testdata, as it was captured from 7.3.10 and 8.1.7.
//
// One Ruby process, the driver, serves all tests of the binary: see rubyEval. Workers
// are internal/sidekiqtest's.
package interop
