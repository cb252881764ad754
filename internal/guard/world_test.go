package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
	"github.com/ebbjobs/ebb/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server with processes that write what Ruby's do, and one guard.
type world struct {
	*testing.T
	server *redistest.Server
	store  *redisstore.Store
	guard  *Guard
	log    *output
	beats  int
}

// output is a log that is written and read at once.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, server: redistest.Start(t), log: &output{}}
	w.store = w.open()
	w.guard = w.newGuard(w.store)
	return w
}

func (w *world) open() *redisstore.Store {
	w.Helper()
	s, err := redisstore.Open(w.Context(), w.server.URL())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { s.Close() })
	return s
}

func (w *world) newGuard(s Store) *Guard {
	return &Guard{
		Store: s, Log: slog.New(slog.NewTextHandler(w.log, nil)), By: "guard:1:x",
		Pace: Pace{10 * time.Millisecond, store.RubyWatch{Gap: time.Hour, Stale: time.Hour, Keep: time.Hour}},
	}
}

func job(jid string) string {
	return fmt.Sprintf(`{"class":"SlowJob","args":["secret"],"jid":%q,"queue":"default","retry":true}`, jid)
}

// beat is a heartbeat of a process that runs these jobs.
func (w *world) beat(id string, quiet bool, jids ...string) {
	w.Helper()
	w.server.Do("DEL", id+":work")
	for i, jid := range jids {
		text, err := json.Marshal(map[string]any{"queue": "default", "payload": job(jid), "run_at": 1795289641})
		if err != nil {
			w.Fatal(err)
		}
		w.server.Do("HSET", id+":work", fmt.Sprint("8c", i), string(text))
	}
	w.beats++
	w.server.Do("SADD", "processes", id)
	w.server.Do("HSET", id, "info", `{"hostname":"vm","pid":7,"tag":"shop","queues":["default"]}`, "beat", fmt.Sprintf("17.%d", w.beats), "quiet", fmt.Sprint(quiet))
	w.server.Do("EXPIRE", id, "60")
}

// vanish is what the server does a minute after the last beat.
func (w *world) vanish(id string) { w.server.Do("DEL", id, id+":work") }

func (w *world) look(dead ...store.Identity) Sight {
	w.Helper()
	seen, err := w.guard.Look(w.Context(), dead...)
	if err != nil {
		w.Fatal(err)
	}
	return seen
}

// fates says what became of which job.
func (s Sight) fates() string {
	var all []string
	for _, j := range s.Jobs {
		all = append(all, j.Fate.JID+" "+j.Fate.Fate)
	}
	return strings.Join(all, ", ")
}

// waiting are the jobs of the queue, the next to run first.
func (w *world) waiting() (jobs []*wire.Job) {
	w.Helper()
	for e, err := range w.store.Jobs(w.Context(), store.Query{Place: store.Ready, Queue: "default"}) {
		if err != nil {
			w.Fatal(err)
		}
		job, err := wire.Parse(e.Payload)
		if err != nil {
			w.Fatal(err)
		}
		jobs = append(jobs, job)
	}
	return jobs
}

func jids(jobs []*wire.Job) string {
	var all []string
	for _, j := range jobs {
		all = append(all, j.JID)
	}
	return strings.Join(all, " ")
}

// says wants a log with so many lines that hold a text.
func (w *world) says(n int, text string) {
	w.Helper()
	if got := strings.Count(w.log.String(), text); got != n {
		w.Errorf("%q is said %d times, want %d:\n%s", text, got, n, w.log)
	}
}

func (w *world) eventually(what string, so func() bool) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("never: %s; the log\n%s", what, w.log)
		}
	}
}

// run runs a guard until the function that it returns is called.
func run(g *Guard) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	return func() { cancel(); <-done }
}
