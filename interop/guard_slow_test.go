//go:build slow

package interop

import (
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/guard"
	"github.com/ebbjobs/ebb/internal/redistest"
)

// With the minute that it really takes.
func TestGuardAfterKillWaits(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := killedWorker(t, server, func() { runGuard(t, server, guard.Usual) })
	for deadline := time.Now().Add(2 * time.Minute); server.Do("EXISTS", w.id) == "1"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the record of the dead does not expire")
		}
	}
	runsAgain(t, w)
}
