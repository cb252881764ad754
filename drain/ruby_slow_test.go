//go:build slow

package drain

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

// A worker of Ruby's that runs a job finishes it and is gone; what it ran is named by
// the store.
func TestRubyDrains(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := sidekiqtest.Start(t, server, "-g", "shop")
	s, err := storeurl.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	jid := w.Push(5500 * time.Millisecond) // longer than a heartbeat: it is seen
	w.Await("the job begin", func() bool { return strings.Contains(w.Ledger(), "began "+jid) })

	var said diary
	var jobs sync.Map
	workers := found(t, Search{PIDs: []int{w.PID}, Store: s, Host: store.NewIdentity().Host()})
	if name := workers[0].Name(); !strings.HasPrefix(name, "sidekiq 6.4.1 shop (pid ") {
		t.Errorf("it is called %q", name)
	}
	report, err := Drain(t.Context(), Options{Workers: workers, Dirs: []string{t.TempDir()}, Note: said.note, Watch: func(r Report) {
		for _, run := range r.Workers[0].State.Runs {
			jobs.Store(run.JID, run.Kind)
		}
	}})
	if err != nil || report.Outcome() != Drained || !report.Workers[0].State.Gone {
		t.Fatalf("%+v, %v; it said\n%s", report, err, said.String())
	}
	if !strings.Contains(w.Ledger(), "ended "+jid) {
		t.Errorf("the job was cut:\n%s", w.Ledger())
	}
	if kind, _ := jobs.Load(jid); kind != "SleepJob" {
		t.Errorf("what ran was not named; it said\n%s", said.String())
	}
	<-w.Exited()
}
