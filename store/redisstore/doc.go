// Package redisstore keeps jobs in Redis or Valkey, 6.2 or newer, together with Ruby's
// Sidekiq if it is there.
//
// # Keys
//
// Ready jobs, the sets, and what people see are where Sidekiq has them: queues,
// queue:<name>, schedule, retry, dead, processes, <id>, <id>:work and :workers,
// <id>-signals, stat:*, and those of job metrics, see metrics.go. ebb's own:
//
//	ebb:{queue:<q>}:held:<id>  hash    what a process holds: field → payload
//	ebb:{queue:<q>}:inbox      list    what a blocking move carried off and nobody has fetched
//	ebb:{queue:<q>}:books      hash    the counts of the queue; paused
//	ebb:holders                zset    process → end of its lease, in ms by the server's clock
//	ebb:last:<id>              hash    what is remembered of a boot's calls, an hour long; its
//	                                   last beat; left; unclaimed: the end of the lease
//	                                   that Audit gave it
//	ebb:doorbells              zset    "<id> <ms>" of each process that can be heard, with one
//	                                   score: its lease is cut to so many ms when it cannot
//	ebb:presence               hash    process → what it says of itself
//	ebb:commands:<id>          list    orders that it has not taken yet
//	ebb:queues                 set     every queue that ebb has worked on
//	ebb:paused                 set     paused queues, for people; Fetch looks into the books
//	ebb:promoter               string  whose part it is to promote, for a second
//	ebb:auditor                string  whose part it is to audit, for two minutes
//	ebb:due:schedule, :retry   zset    job that is due soon → the score that keeps it from
//	                                   Ruby's scheduler; only where there is one
//	ebb:mirrors                zset    process of Ruby's → when a guard last looked at it, in ms
//	ebb:mirror:<id>            hash    what it was last seen running; see scripts/mirror.lua
//	ebb:strays                 hash    member of a set → its queue, where its payload does not tell
//	ebb:stops, ebb:stop:<id>   zset, list  processes that have ended; the parts of their reports
//	ebb:runs:<step>:<start>    hash    how runs went in a step of time: kind, queue and release
//	                                   → sums; see series.go
//	ebb:ended                  list    jobs that have left the store, the latest first
//	ebb:marks                  zset    release → when its first process registered, in ms
//	ebb:undo:<change>          list    what moves by hand did, as long as they may be taken back
//	ebb:change                 hash    changes by hand: ID → what is said of it; two sorted sets,
//	                                   ebb:changes and :recorded, have their hours
//	ebb:restoring:<key>        any     what Restore has not put in its place yet
//	ebb:meta                   hash    layout, version, oldest version that may read
//
// The key queue:<q> and every key with {queue:<q>} in it have one slot in a cluster.
// With layout=cluster, which Ruby does not know, what is fleet-wide above is kept in
// the slot of each queue (holders, last, undo, schedule, retry, dead, and an outbox for
// jobs that go to another queue) or below {ebb}: (the rest, and another last, for what is
// remembered of runs).
//
// # Edges
//
// Each edge is one script in scripts/, called once on one server and once for each
// queue in a cluster. A script sees only the keys that it is given, and its first
// write never needs memory: a full server refuses a script at its first write or not
// at all, so that it can always be drained.
//
// A verdict counts if HDEL takes its field out of the holder's hash. Fields are made
// of the Seq of the Fetch and are never used twice. ebb:last:<id> keeps for each lane
// the highest Seq and its answer, so that a repeated call gets the same answer and a
// late copy of an older one changes nothing.
//
// Two jobs of the same bytes cannot be in one set; the second is kept with a tab, a
// space and a tab at its end, which JSON does not mind, and loses them when it leaves
// the set.
//
// # Doorbells
//
// A process listens to the channel ebb:bell:<id>. Each beat asks, in a script that
// reads and in the ordinary case writes nothing, whether anybody listens at the doorbells of
// the next three in ebb:doorbells, whose order is a ring; it shortens the leases of the
// others, and goes on round the ring where it hears none of three. Who takes itself out
// of the ring and back is the process alone, whoever has left or was rescued aside. In a
// cluster there are none: a lease is there once for each queue, in as many slots.
//
// # By hand
//
// Move and Delete find a job by its bytes. In a set that takes no time. In a list it
// takes as long as the way to the job, two or three tenths of a microsecond for each
// one that is passed, and no time for the next ones beside it; at the ends it takes
// none, so that a queue of 1,000,000 is cleared as quickly as one of 1,000. One that is
// gone already makes the server look at them all; a script that has done so twice ends,
// and comes back for the rest. Undo looks in the same way for what was put into a queue.
//
// A walk reads 1,000 jobs at a time and keeps its place by the one that comes next. A
// set tells its rank. A list is walked to from its nearer end, a node of some 8 KiB at a
// step, so that windows in the middle of a very long queue cost a few tens of
// microseconds more.
//
// # Waiting
//
// A Fetch that finds nothing lets a BLMOVE sit on each of its queues. Beyond eight
// queues one connection is told by CLIENT TRACKING that one of them has changed; that
// wakes every idle process for each job, not one. In a cluster, and where a server
// refuses either, it looks again after 20 ms, in doubling steps up to 500. The move carries the next job into the queue's inbox,
// which belongs to nobody: any fetch takes from it first. Whoever stops waiting ends
// its moves and gives back what they carried; Leave, Rescue and Open empty inboxes
// too, since Ruby does not look there.
package redisstore
