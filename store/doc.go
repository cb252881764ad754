// Package store is the seam between ebb and whatever keeps its jobs.
//
// A job is in exactly one place from the moment it is accepted until it is
// acked, discarded or deleted. Every arrow below is one method, one Lua script
// or transaction in each driver, and one group of subtests in storetest:
//
//	  Push                                Fetch
//	────────▶ ready ────────────────────────────────────────▶ held ──┐ Checkpoint
//	            ▲ ▲ ▲                                         │ │ │ ◀┘ (new payload,
//	            │ │ └────── Requeue · Rescue · Leave ─────────┘ │ │     still held)
//	            │ │                                             │ │
//	  Schedule  │ │ Promote                                     │ │ Ack
//	────────▶ scheduled ◀──────── Retry (without failure) ──────┤ └────▶ gone
//	              │                                             │
//	            retry ◀────────── Retry · Rescue ───────────────┤
//	                                                            │
//	            dead ◀─────────── Bury · Rescue ────────────────┘
//
//	Move and Delete take a job by hand from any place but held.
//
// # What every driver keeps to
//
//   - Each element of a batch moves atomically. A crash between any two
//     instructions, on either side, leaves every job in one place.
//   - The store's clock decides what is due and whose lease has ended.
//     Durations go in; the only moment that goes in is one the user named.
//   - A verdict counts if and only if its token is still held. The lease is
//     never asked: finished work counts unless somebody else took the job.
//   - Repeating a call with the same [Call] after a lost reply gives the first
//     call's answer and moves nothing twice, however late a copy of the first
//     request arrives.
//   - A payload comes back byte for byte, except for the time stamp that
//     Promote, Rescue and Move write when they put a job into its queue.
//   - The books are written by the move that they count.
//
// # Stability
//
// The methods below are used by ebb and by its own drivers. They may change
// between minor versions until 1.0; a driver outside this module should run
// [github.com/ebbjobs/ebb/store/storetest] against the version it is built with.
package store
