// Package stopseq reads, explains and runs stop sequences: the signals that a
// worker gets when it must end, and the waits between them.
//
//	TSTP;idle<=1h;TERM;25s;KILL
//
// says: go quiet; wait until nothing runs, an hour at most; end; wait 25 seconds;
// what is left is killed. Every step ends early once the process is gone, and then
// nothing more is sent.
//
// The spelling of others is read too: "tstp, 120, term, 30, kill". Steps stand
// between semicolons or commas, in any case, signals with SIG in front or not, or by
// number. A wait is a Go duration or a number of seconds. A bare number is a wait
// behind a signal, and the number of a signal anywhere else; SIG15 is a signal in
// any place.
//
// No KILL is added to a sequence that has none.
package stopseq
