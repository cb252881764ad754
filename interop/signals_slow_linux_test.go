//go:build slow

package interop

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	"github.com/ebbjobs/ebb/store"
)

// ebbLines runs the command and reads the lines of JSON that it prints.
func ebbLines[T any](t testing.TB, server *redistest.Server, args ...string) (all []T) {
	t.Helper()
	text := ebbCommand(t, server, append(args, "-o", "jsonl")...)
	for line := range strings.Lines(text) {
		var one T
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("ebb %s: %v\n%s", strings.Join(args, " "), err, text)
		}
		all = append(all, one)
	}
	return all
}

// The command shows a Sidekiq, which beats as often as it always does, and has it go
// quiet and stop.
func TestCommandsForRuby(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := sidekiqtest.Start(t, p.server, "-q", "critical,3", "-q", "default", "-g", "shop", "-t", "1")
	jid := w.Push(10 * time.Minute)
	w.Await("the job that runs", func() bool { return len(p.process().Busy) == 1 })
	id := string(p.process().ID)

	type process struct {
		ID, Lang, State         string
		Busy, Concurrency, Held int
		Queues                  []string
	}
	if diff := cmp.Diff([]process{{id, "ruby", "running", 1, 2, 1, []string{"critical", "default"}}}, ebbLines[process](t, p.server, "processes", "ls")); diff != "" {
		t.Errorf("processes ls (-want +got):\n%s", diff)
	}
	if shown := ebbCommand(t, p.server, "processes", "show", id); !strings.Contains(shown, "SleepJob") || !strings.Contains(shown, jid) {
		t.Errorf("processes show: %s", shown)
	}
	ebbCommand(t, p.server, "processes", "dump", id)
	w.Await("a dump", func() bool { return strings.Contains(w.Log(), "Thread TID") })
	began := time.Now()
	ebbCommand(t, p.server, "processes", "quiet", id, "--wait", "--timeout", "60s")
	measured(t, "quiet after %v", time.Since(began).Round(time.Millisecond))
	ebbCommand(t, p.server, "processes", "stop", id, "--yes")
	<-w.Exited()
	measured(t, "gone after %v", time.Since(began).Round(time.Millisecond))
	p.in(store.Ready, jid)
	type job struct{ JID, Kind, State string }
	if diff := cmp.Diff([]job{{jid, "SleepJob", "ready"}}, ebbLines[job](t, p.server, "jobs", "ls", "--state", "ready")); diff != "" {
		t.Errorf("jobs ls (-want +got):\n%s", diff)
	}
	if left := ebbLines[process](t, p.server, "processes", "ls"); len(left) > 0 {
		t.Errorf("it has ended, and is listed: %+v", left)
	}
}
