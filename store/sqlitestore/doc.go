// Package sqlitestore keeps jobs in one SQLite file that any number of processes
// of one machine share.
//
//	import _ "github.com/ebbjobs/ebb/store/sqlitestore"
//
//	client, err := ebb.Open(ctx, "sqlite:ebb.db")
//
// # Files
//
// Beside ebb.db and SQLite's own ebb.db-wal and ebb.db-shm stand
//
//	ebb.db-lock     the turnstile: writers of all processes queue for it
//	ebb.db-wake     written after a commit that made a job ready; idle workers watch it
//	ebb.db-reserve  room for verdicts when the disk is full
//	ebb.db.d/       one lease a process: a file locked by its owner as long as it lives;
//	                and for a moment each backup that is made or restored
//
// All may be deleted while no process has the store open, except SQLite's own.
// Nothing but SQLite may open the database file: closing any descriptor of it
// lets go of every lock that this process has on it. Back it up with
// [Store.Backup], which copies the tables of ebb, or as a whole with sqlite3's
// .backup or VACUUM INTO, never with cp.
//
// # Durability
//
// A call that returned nil survives a power cut. With durability=may-lose-last-moments
// it survives the end of any process, but a power cut may take back what was
// written since the last checkpoint, never half of a transaction.
//
// # Leases
//
// A lease is a lock that the kernel lets go of when its owner dies, so death is
// known at once and for sure, and load or a stepped clock raise no false alarm.
// The price: a process that is frozen keeps its jobs until it is thawed or
// killed. [Store.Processes] names it.
//
// A process may share its lease with others, by [Store.LeaseFile]: what it started
// is then waited for too.
//
// # Transactions of the user
//
// Tables of ebb are prefixed with ebb_, so that a program may keep its own in the
// same file and enqueue in its own transaction; see [OpenDB] and [Store.Accepts].
package sqlitestore
