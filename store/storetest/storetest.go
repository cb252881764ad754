// Package storetest is what every driver of package store must pass: a group of
// tests for each edge of the state machine, in a file named like it.
//
// After every test the books must balance and agree with what is in each place.
//
// Beside them it plays histories: random steps of a few processes, after each of which
// the store must be as a model of it is. One that goes wrong is made as small as it
// goes, and told step by step. STORETEST_HISTORIES says how many are played,
// STORETEST_SEED which, and STORETEST_HISTORY plays one again that a failure names.
package storetest

import (
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Instance is one empty store, and what its driver can do to those who use it.
// Tests run in parallel, each with an Instance of its own.
type Instance struct {
	// Open returns another client of the store, as another process would have. The
	// suite closes it.
	Open func(t *testing.T) store.Store
	// Tick is the shortest lease and delay that the store can tell from none. The
	// suite lets a few of them go by in some tests. Default: 50 ms.
	Tick time.Duration
	// Pass lets d go by on the store's clock. nil: d goes by in real time.
	Pass func(d time.Duration)
	// Histories is how many histories of random steps the suite plays. Default: 10.
	Histories int
	// Crash makes the process that uses s vanish without a goodbye: its connections
	// end and its locks are let go. s is not used again, but closed. nil: it falls
	// silent.
	Crash func(t *testing.T, s store.Store)
	// Freeze stops the process that uses s, so that it does not beat but keeps its
	// connections and locks, until thaw. nil: it falls silent.
	Freeze func(t *testing.T, s store.Store) (thaw func())
	// Disown makes the store forget that id is registered, as an edit by hand may,
	// and keep what it holds.
	Disown func(t *testing.T, id store.Identity)
}

// group is the tests of one edge.
type group struct {
	edge  string
	tests []test
}

type test struct {
	name string
	run  func(s *suite)
}

// Run tests the driver whose empty stores open makes. Where it is a [store.Archiver],
// some tests call open twice and have two stores at once, one such test at a time.
func Run(t *testing.T, open func(t *testing.T) Instance) {
	for _, g := range []group{
		{"Push", pushTests},
		{"Schedule", scheduleTests},
		{"Fetch", fetchTests},
		{"Wait", waitTests},
		{"Ack", append(verdictTests(acks), ackTests...)},
		{"Retry", append(verdictTests(retries), retryTests...)},
		{"Bury", append(verdictTests(buries), buryTests...)},
		{"Requeue", append(verdictTests(requeues), requeueTests...)},
		{"Checkpoint", append(verdictTests(checkpoints), checkpointTests...)},
		{"Beat", beatTests},
		{"Promote", promoteTests},
		{"Orphans", orphansTests},
		{"Rescue", rescueTests},
		{"Audit", auditTests},
		{"Suspect", suspectTests},
		{"Leave", leaveTests},
		{"Inspect", inspectTests},
		{"Page", pageTests},
		{"Move", moveTests},
		{"Delete", deleteTests},
		{"Undo", undoTests},
		{"Changes", changesTests},
		{"Series", seriesTests},
		{"Marks", marksTests},
		{"Ended", endedTests},
		{"Archive", archiveTests},
		{"Books", booksTests},
		{"Ledger", ledgerTests},
		{"Close", closeTests},
	} {
		t.Run(g.edge, func(t *testing.T) {
			t.Parallel()
			for _, tt := range g.tests {
				t.Run(tt.name, func(t *testing.T) {
					if g.edge != "Archive" { // whose tests have two stores
						t.Parallel()
					}
					tt.run(newSuite(t, open))
				})
			}
		})
	}
	t.Run("Histories", func(t *testing.T) {
		t.Parallel()
		histories(t, open)
	})
}
