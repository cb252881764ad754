// Package chaos disturbs workers, their network and their store by a plan that a
// seed decides, while jobs are enqueued and run, and keeps the ledger of what became
// of each.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/netfault"
	"github.com/ebbjobs/ebb/internal/notes"
	"github.com/ebbjobs/ebb/store"
)

// Options say what is disturbed.
type Options struct {
	Terms
	Store  store.Store // as whoever looks on sees it, undisturbed
	URL    string      // the same, for the fleet
	Server *Server     // OwnRedis only
	Queue  string      // of this run alone; its processes have it as their tag
	Dir    string      // for notes and logs; exists
	// Command makes the command of a process, which must call Child.Run on the store
	// of this URL.
	Command func(url string, c Child) *exec.Cmd
	// Show is told how things are, several times a second, and Told what is done, as
	// it begins. One of them is called at a time; nil: nobody.
	Show func(View)
	Told func(Event)
}

// Event is a step that begins.
type Event struct {
	Step
	Began time.Duration // since the beginning; what comes before it may make it late
	PID   int
}

// KindOf tells what can be done to the store of a URL that is somebody's.
func KindOf(rawURL string) Kind {
	scheme, _, _ := strings.Cut(rawURL, ":")
	switch u, err := url.Parse(rawURL); {
	case strings.EqualFold(scheme, "sqlite"):
		return SQLite
	case strings.EqualFold(scheme, "redis") && err == nil && u.Query().Get("layout") != "cluster":
		return Redis
	}
	// Others lead their clients to further addresses, or know by whom they are called.
	return Remote
}

// chaos is one run.
type chaos struct {
	Options
	plan   Plan
	places []*place // the producer, and the workers
	began  time.Time
	notes  *notes.Reader

	mu      sync.Mutex
	ledger  *ledger
	phase   Phase
	applied map[Fault]int
	counted Tally
	at      time.Time // of the last count
}

// Run disturbs for as long as the plan lasts, waits until all that was accepted is
// done, and counts. What was made is taken away again, however it ends. The end of ctx
// cuts it short: the report says how far things were.
func Run(ctx context.Context, o Options) (r Report, err error) {
	c := &chaos{
		Options: o, plan: Make(o.Terms), ledger: newLedger(), applied: map[Fault]int{},
		notes: notes.NewReader(filepath.Join(o.Dir, "notes")),
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "notes"), 0o700); err != nil {
		return r, fmt.Errorf("chaos: %w", err)
	}
	defer func() { err = errors.Join(err, c.sweep(context.WithoutCancel(ctx))) }()
	if err := c.settle(ctx); err != nil {
		return r, err
	}
	return c.report(context.WithoutCancel(ctx), ctx.Err() != nil)
}

// settle runs the fleet through the plan, and until all is done.
func (c *chaos) settle(ctx context.Context) error {
	defer func() {
		for _, p := range c.places {
			if p.proxy != nil {
				p.proxy.Close()
			}
		}
	}()
	for t := range Target(c.Workers + 1) {
		p, err := c.newPlace(t)
		if err != nil {
			return err
		}
		c.places = append(c.places, p)
	}
	// Whatever goes wrong with one of them ends all.
	going, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	working, endWork := context.WithCancel(context.WithoutCancel(ctx))
	producing, endProducing := context.WithCancel(working)
	var workers, makers, watching sync.WaitGroup
	for i, p := range c.places {
		life, wait := working, &workers
		if i == producer {
			life, wait = producing, &makers
		}
		wait.Go(func() {
			if err := p.run(life); err != nil {
				fail(err)
			}
		})
	}
	watched, endWatching := context.WithCancel(context.WithoutCancel(ctx))
	watching.Go(func() {
		if err := c.watch(watched); err != nil {
			fail(err)
		}
	})
	c.disturb(going, fail)
	c.enter(Settling)
	endProducing()
	makers.Wait()
	c.await(going)
	c.enter(Ending)
	endWork()
	workers.Wait()
	endWatching()
	watching.Wait()
	if err := context.Cause(going); err != nil && ctx.Err() == nil {
		return err
	}
	return c.look()
}

// newPlace makes a place, before whose store there is a proxy where there can be one.
func (c *chaos) newPlace(t Target) (*place, error) {
	p := &place{target: t, notes: filepath.Join(c.Dir, "notes"), logs: c.Dir}
	storeURL := c.URL
	if c.Kind.proxied() {
		u, err := url.Parse(c.URL)
		if err != nil {
			return nil, fmt.Errorf("chaos: the URL of the store cannot be read")
		}
		upstream := u.Host
		if u.Port() == "" {
			upstream = net.JoinHostPort(u.Hostname(), "6379")
		}
		if p.proxy, err = netfault.Listen(upstream); err != nil {
			return nil, err
		}
		u.Host = p.proxy.Addr()
		storeURL = u.String()
	}
	child := Child{Dir: p.notes, Queue: c.Queue}
	if t != producer {
		child.Lease = c.Lease
	}
	p.command = func(name string) *exec.Cmd {
		child.Name = name
		return c.Command(storeURL, child)
	}
	return p, nil
}

// disturb carries the plan out: each lane by itself, one step after the other.
func (c *chaos) disturb(ctx context.Context, fail context.CancelCauseFunc) {
	for _, p := range c.places {
		if m, _ := p.ready(ctx); m == nil {
			return
		}
	}
	c.mu.Lock()
	c.began = time.Now()
	c.mu.Unlock()
	c.enter(Disturbing)
	lanes := map[lane][]Step{}
	for _, s := range c.plan.Steps {
		lanes[s.lane()] = append(lanes[s.lane()], s)
	}
	var going sync.WaitGroup
	for l, steps := range lanes {
		suffer := c.Server.suffer
		if l.target != server {
			suffer = c.places[l.target].suffer
		}
		going.Go(func() {
			for _, s := range steps {
				if !sleep(ctx, time.Until(c.began.Add(s.At))) {
					return
				}
				if err := suffer(ctx, s, func(pid int) { c.tell(s, pid) }); err != nil {
					fail(err)
					return
				}
			}
		})
	}
	going.Wait()
	sleep(ctx, time.Until(c.began.Add(c.For)))
}

func (c *chaos) tell(s Step, pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied[s.Fault]++
	if c.Told != nil {
		c.Told(Event{Step: s, Began: time.Since(c.began), PID: pid})
	}
}

const (
	// stuck is for how long nothing may happen until what is left counts as never done.
	stuck = time.Minute
	// gone is the same once the store has nothing left that could be done.
	gone = 3 * time.Second
)

// await waits until all that was accepted is done and the store has none of it, until
// nothing happens any more, or ctx ends. A store that does not answer is asked again.
func (c *chaos) await(ctx context.Context) {
	var last store.Books
	changed := time.Now()
	for sleep(ctx, lookEvery) {
		books, err := c.books(ctx)
		if err == nil && books != last {
			last, changed = books, time.Now()
		}
		c.mu.Lock()
		missing := c.counted.Accepted - c.counted.Done
		c.mu.Unlock()
		quiet := time.Since(changed)
		none := err == nil && books.Waiting+books.Held+books.Scheduled+books.Retrying == 0
		switch {
		case none && (missing == 0 || quiet > gone):
			return
		case quiet > stuck && !c.comesLater(ctx, changed):
			return
		}
	}
}

// comesLater reports whether a job is due, or was a moment ago.
func (c *chaos) comesLater(ctx context.Context, since time.Time) bool {
	for _, set := range []store.Place{store.Scheduled, store.Retrying} {
		for e, err := range c.Store.Jobs(ctx, store.Query{Place: set, Queue: c.Queue, Newest: true, Limit: 1}) {
			if err == nil && e.At.After(since) && time.Since(e.At) < stuck {
				return true
			}
		}
	}
	return false
}

// books are those of the queue. Before the first job there are none.
func (c *chaos) books(ctx context.Context) (store.Books, error) {
	stats, err := c.Store.Stats(ctx)
	if err != nil {
		return store.Books{}, fmt.Errorf("chaos: read the books: %w", err)
	}
	for _, b := range stats.Books {
		if b.Queue == c.Queue {
			return b, nil
		}
	}
	return store.Books{Queue: c.Queue}, nil
}
