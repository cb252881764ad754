package memstore

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Options say how to make a store. The zero value is ready to use.
type Options struct {
	// Clock is the store's clock: it decides what is due and whose lease has ended.
	// Fetch's wait is not counted by it. Default: time.Now.
	Clock func() time.Time
}

// Store is one client of a store in memory.
type Store struct {
	*state
	url    string
	closed bool // under state.mu
	bye    func()
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Historian = (*Store)(nil)
)

// New makes an empty store and its first client.
func New(o Options) *Store {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Store{url: "mem:", state: &state{
		clock:     o.Clock,
		jobs:      map[uint64]*job{},
		ready:     map[string]*line{},
		paused:    map[string]bool{},
		books:     map[string]*store.Books{},
		processes: map[store.Identity]*process{},
		left:      map[store.Identity]bool{},
		lanes:     map[lane]answer{},
		undos:     map[string]*undo{},
		told:      map[store.Identity]*told{},
		points:    map[store.Step]map[time.Time]map[series]store.Runs{},
	}}
}

// Client returns another client of the same store, as another process would have.
// The jobs stay when either is closed.
func (s *Store) Client() *Store { return &Store{url: s.url, state: s.state} }

// shared are the stores opened by name, with the number of their open clients.
var shared = struct {
	sync.Mutex
	byName map[string]*Store
	open   map[string]int
}{byName: map[string]*Store{}, open: map[string]int{}}

func init() { store.Register("mem", open) }

// open opens "mem:", a store of its own, or "mem:NAME", the store which all who
// open that name share until the last of them closes it.
func open(_ context.Context, url string) (store.Store, error) {
	_, name, _ := strings.Cut(url, ":")
	if name == "" {
		return New(Options{}), nil
	}
	if strings.ContainsAny(name, "/?#") {
		return nil, store.WithHint(fmt.Errorf("memstore: open %q: not a name", store.Redact(url)), "write it as mem:NAME, or mem: for a store of its own")
	}
	shared.Lock()
	defer shared.Unlock()
	first := shared.byName[name]
	if first == nil {
		first = New(Options{})
		first.url = "mem:" + name
		shared.byName[name] = first
	}
	shared.open[name]++
	c := first.Client()
	c.bye = func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.open[name]--; shared.open[name] == 0 {
			delete(shared.open, name)
			delete(shared.byName, name)
		}
	}
	return c, nil
}

// Describe tells what this store can do.
func (s *Store) Describe() store.Description {
	return store.Description{
		Driver:     "mem",
		URL:        s.url,
		Durability: "none: gone with this process",
		Wake:       "pushed, by a channel",
	}
}

// Close ends this client; others of the same store go on. A Fetch that waits
// returns ErrClosed. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.wakeAll()
	if s.bye != nil {
		s.bye()
	}
	return nil
}

// enter locks the store for one call that carries size elements. On success the
// caller unlocks.
func (s *Store) enter(ctx context.Context, size int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if size > store.MaxBatch {
		return fmt.Errorf("%d elements in one call, the most is %d", size, store.MaxBatch)
	}
	return s.lock()
}

// lock locks an open store. On success the caller unlocks.
func (s *Store) lock() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	return nil
}

// wrap names the call that err came from.
func wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("memstore: %s: %w", call, err)
}

// Nobody outside may see the bytes that the store keeps, as with any other driver.
func held(j *job) store.Held {
	return store.Held{Token: token(j), Queue: j.queue, Payload: bytes.Clone(j.payload)}
}
