package faulttest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/parallel"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	_ "github.com/ebbjobs/ebb/store/storeurl"
)

func TestMain(m *testing.M) {
	asRemote() // in which case it does not return
	parallel.Tests(2)
	goleak.VerifyTestMain(m)
}

// soon is how long anything may take on a busy machine.
const soon = 45 * time.Second

// site is a store and those who use it.
type site struct {
	*testing.T
	url    string
	server *redistest.Server // nil: it is no Redis
	client *ebb.Client       // the test's own; no process uses it
}

// kinds of stores, and how to make an empty one of each.
var (
	kinds = []string{"mem", "sqlite", "redis"}
	sites = map[string]func(*testing.T) *site{
		"mem": func(t *testing.T) *site {
			return open(t, "mem:"+strings.ReplaceAll(t.Name(), "/", "-"), nil)
		},
		"sqlite": func(t *testing.T) *site {
			// Nothing here cuts the power, and a busy disk takes its time to sync.
			return open(t, "sqlite:"+filepath.Join(t.TempDir(), "ebb.db")+"?durability=may-lose-last-moments", nil)
		},
		"redis": func(t *testing.T) *site { return onRedis(t) },
	}
)

// onEach runs a test on a store of each kind, side by side.
func onEach(t *testing.T, test func(s *site)) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(sites[kind](t))
		})
	}
}

// together runs tests that mostly wait side by side, however few processors there are.
func together[T any](t *testing.T, tests map[string]T, test func(t *testing.T, tt T)) {
	var running sync.WaitGroup
	defer running.Wait()
	for name, tt := range tests {
		running.Go(func() { t.Run(name, func(t *testing.T) { test(t, tt) }) })
	}
}

func onRedis(t *testing.T, options ...redistest.Option) *site {
	t.Helper()
	server := redistest.Start(t, options...)
	return open(t, server.URL(), server)
}

func open(t *testing.T, url string, server *redistest.Server) *site {
	t.Helper()
	s := &site{T: t, url: url, server: server}
	s.client = s.newClient(slog.New(slog.DiscardHandler))
	return s
}

func (s *site) newClient(log *slog.Logger) *ebb.Client {
	s.Helper()
	c, err := ebb.Open(s.Context(), s.url, ebb.WithLogger(log))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	return c
}

// worker is a process of its own, and what it logged.
type worker struct {
	*ebb.Process
	client *ebb.Client
	log    *journal
}

// lease is short, so that the tests are, and long enough for a busy machine.
const lease = 3 * time.Second

// worker starts a process. It is drained when the test ends.
func (s *site) worker(config ebb.Config, handle func(p *ebb.Process)) *worker {
	s.Helper()
	w := &worker{log: &journal{}}
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("a process logged:\n%s", w.log)
		}
	})
	config.Logger = slog.New(slog.NewTextHandler(w.log, nil))
	if config.Lease.TTL == 0 {
		config.Lease.TTL = lease
	}
	if config.Stop.Grace == 0 {
		config.Stop.Grace = 5 * time.Second
	}
	w.client = s.newClient(config.Logger)
	w.Process = ebb.NewProcess(w.client, config)
	handle(w.Process)
	// What ends at the end of a test is for Drain to end.
	if err := w.Start(context.WithoutCancel(s.Context())); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_, err := w.Drain(context.Background())
		if err != nil && !errors.Is(err, store.ErrClosed) && !errors.Is(err, store.ErrReplaced) {
			s.Errorf("drain: %v", err)
		}
		<-w.Done()
	})
	return w
}

// vanish cuts a process off from its store without a goodbye, as a KILL would.
// Handlers that still run have to return by themselves.
func (w *worker) vanish() { w.client.Close() }

// journal is what a process logged.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// count is how many lines have all words in them.
func (j *journal) count(words ...string) (n int) {
	for line := range strings.Lines(j.String()) {
		has := true
		for _, w := range words {
			has = has && strings.Contains(line, w)
		}
		if has {
			n++
		}
	}
	return n
}

// await ends the test unless it is ok soon.
func (s *site) await(what string, ok func() bool) {
	s.Helper()
	for deadline := time.Now().Add(soon); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			st, err := s.client.Store().Stats(s.Context())
			s.Fatalf("no %s after %v; the store has %+v, %v", what, soon, st, err)
		}
	}
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// jobs lists a place.
func (s *site) jobs(q store.Query) (entries []store.Entry) {
	s.Helper()
	for e, err := range s.client.Store().Jobs(s.Context(), q) {
		s.must(err)
		entries = append(entries, e)
	}
	return entries
}

func (s *site) stats() store.Stats {
	s.Helper()
	st, err := s.client.Store().Stats(s.Context())
	s.must(err)
	return st
}

// rest waits until no job waits for anything or runs, the dead aside, and checks
// the books.
func (s *site) rest() {
	s.Helper()
	s.await("rest", func() bool {
		st := s.stats()
		n := st.Ready + st.Held + st.Scheduled + st.Retrying
		for _, b := range st.Books { // of one moment each: nothing is between two places
			n += b.Waiting + b.Held + b.Scheduled + b.Retrying
		}
		return n == 0
	})
	s.balanced()
}

// balanced checks the books of each queue.
func (s *site) balanced() {
	s.Helper()
	for _, b := range s.stats().Books {
		if b.Custody() != 0 || b.Arrivals() != 0 && !b.Shared {
			s.Errorf("books of %q are off by %d in custody and %d in arrivals: %+v", b.Queue, b.Custody(), b.Arrivals(), b)
		}
	}
}

// rescued is how many jobs were taken from processes that were thought gone.
func (s *site) rescued() (n int64) {
	s.Helper()
	for _, b := range s.stats().Books {
		n += b.Rescued
	}
	return n
}

// tally counts the runs of jobs by a name of each, such as the jid.
type tally struct {
	mu   sync.Mutex
	runs map[string]int
	sum  int
}

// note notes a run, and returns which one of its job it is, from 1.
func (c *tally) note(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runs == nil {
		c.runs = map[string]int{}
	}
	c.runs[name]++
	c.sum++
	return c.runs[name]
}

func (c *tally) of(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs[name]
}

// all is how many runs there were.
func (c *tally) all() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}

// odd tells which jobs did not run as often as wanted.
func (c *tally) odd(want map[string]int) (odd []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, runs := range want {
		if c.runs[name] != runs {
			odd = append(odd, fmt.Sprintf("%s ran %d times, not %d", name, c.runs[name], runs))
		}
	}
	return odd
}
