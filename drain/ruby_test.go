package drain

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
)

// diary keeps what was noted.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(e Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, e.Text)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, "\n")
}

// found finds the workers with these numbers.
func found(t *testing.T, s Search) []Worker {
	t.Helper()
	s.Root = os.DirFS("/")
	workers, err := s.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return workers
}

// When the time is over TERM makes Ruby push the job back: KILL would have lost it.
func TestRubyIsLate(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := sidekiqtest.Start(t, server, "-t", "1")
	jid := w.Push(time.Minute)
	w.Await("the job begin", func() bool { return strings.Contains(w.Ledger(), "began "+jid) })
	var said diary
	report, err := Drain(t.Context(), Options{
		Workers: found(t, Search{PIDs: []int{w.PID}}), Timeout: 2 * time.Second, Dirs: []string{t.TempDir()}, Note: said.note,
	})
	if err != nil || report.Outcome() != Late || !report.Workers[0].State.Gone {
		t.Fatalf("%+v, %v; it said\n%s", report, err, said.String())
	}
	if back := server.Do("LRANGE", "queue:default", "0", "-1"); !strings.Contains(back, jid) {
		t.Errorf("the job is not in its queue, but %q", back)
	}
}
