package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Report is the ledger of a run.
type Report struct {
	Seed    uint64            `json:"seed"`
	Seconds float64           `json:"for_seconds"`
	Workers int               `json:"workers"`
	Lease   float64           `json:"lease_seconds"`
	Kind    Kind              `json:"kind"`
	Store   store.Description `json:"store"`
	Queue   string            `json:"queue"`
	// Interrupted: it was ended before its time, and Unfinished jobs with it.
	Interrupted bool          `json:"interrupted"`
	Faults      map[Fault]int `json:"faults"` // how often each was applied
	Tally
	// Unfinished are jobs that were accepted and not done, and are somewhere in the
	// store.
	Unfinished int         `json:"unfinished"`
	Books      store.Books `json:"books"`
	Balanced   bool        `json:"balanced"`
	// Stories tell of jobs that are lost, unfinished without an interruption, backward,
	// or twice without an explanation, at most some of them.
	Stories  []Story   `json:"stories,omitempty"`
	Took     float64   `json:"took_seconds"`
	Finished time.Time `json:"finished"`
}

// Story is what became of one job.
type Story struct {
	JID   string `json:"jid"`
	What  string `json:"what"`  // lost, unfinished, backward or twice
	Place string `json:"place"` // empty: nowhere
	Runs  string `json:"runs"`
}

const maxStories = 20

// OK reports whether ebb has kept its promise: nothing was lost, the books balance,
// and no job went back behind what it had saved.
func (r *Report) OK() bool {
	return r.Lost == 0 && r.Backward == 0 && r.Balanced && (r.Unfinished == 0 || r.Interrupted)
}

// report settles the ledger, when no process is left.
func (c *chaos) report(ctx context.Context, interrupted bool) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, stuck)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count()
	r := Report{
		Seed: c.Seed, Seconds: c.For.Seconds(), Workers: c.Workers, Lease: c.Lease.Seconds(), Kind: c.Kind,
		Store: c.Store.Describe(), Queue: c.Queue, Interrupted: interrupted, Faults: c.applied, Tally: c.counted,
		Finished: time.Now().UTC(),
	}
	if !c.began.IsZero() {
		r.Took = time.Since(c.began).Seconds()
	}
	var err error
	if r.Books, err = c.books(ctx); err != nil {
		return r, err
	}
	places, err := c.find(ctx)
	if err != nil {
		return r, err
	}
	missing := r.lost
	r.Lost = 0
	for _, jid := range missing {
		what := "unfinished"
		if places[jid] == "" {
			what = "lost"
			r.Lost++
		} else if r.Unfinished++; interrupted {
			continue
		}
		r.tell(Story{jid, what, places[jid], c.ledger.story(jid)})
	}
	for _, jid := range r.odd {
		what := "twice"
		if c.ledger.jobs[jid].backward() > 0 {
			what = "backward"
		}
		r.tell(Story{jid, what, places[jid], c.ledger.story(jid)})
	}
	// Once nothing is left, the store and the ledger have counted the same jobs.
	r.Balanced = r.Books.Custody() == 0 && r.Books.Arrivals() == 0 && (len(missing) > 0 || interrupted || r.Books.Accepted == int64(r.Accepted))
	return r, nil
}

func (r *Report) tell(s Story) {
	if len(r.Stories) < maxStories {
		r.Stories = append(r.Stories, s)
	}
}

// places are where a job of the queue may be.
var places = []store.Place{store.Ready, store.Scheduled, store.Retrying, store.Keeping, store.Dead}

// find tells where the jobs of the queue are.
func (c *chaos) find(ctx context.Context) (map[string]string, error) {
	found := map[string]string{}
	for _, place := range places {
		for e, err := range c.Store.Jobs(ctx, store.Query{Place: place, Queue: c.Queue}) {
			if err != nil {
				return nil, fmt.Errorf("chaos: look for jobs: %w", err)
			}
			if jid, ok := wire.JIDOf(e.Payload); ok {
				found[jid] = place.String()
			}
		}
	}
	return found, nil
}

// sweep takes away what is left in the store: of processes that nobody has missed
// yet, and of the queue.
func (c *chaos) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stuck)
	defer cancel()
	if err := c.forget(ctx); err != nil {
		return fmt.Errorf("chaos: clear %s: %w", c.Queue, err)
	}
	for _, place := range places {
		if place == store.Keeping {
			continue
		}
		if err := c.clear(ctx, place); err != nil {
			return fmt.Errorf("chaos: clear %s: %w", c.Queue, err)
		}
	}
	return nil
}

// forget gives back what processes of the fleet hold that were killed, whose end we
// have seen, and the store forgets them.
func (c *chaos) forget(ctx context.Context) error {
	const most = 100
	for {
		processes, err := c.Store.Processes(ctx)
		if err != nil {
			return err
		}
		var dead []store.Identity
		for _, p := range processes {
			if p.Tag == c.Queue {
				dead = append(dead, p.ID)
			}
		}
		if len(dead) == 0 {
			return nil
		}
		lost, err := c.Store.Orphans(ctx, most, dead...)
		if err != nil {
			return err
		}
		forgotten := false
		for _, l := range lost {
			if !slices.Contains(dead, l.ID) {
				continue
			}
			s := store.Salvage{ID: l.ID, Cause: l.Cause, Seen: l.Seen}
			for _, held := range l.Jobs {
				s.Jobs = append(s.Jobs, store.Rescued{Token: held.Token, Was: held.Payload, To: store.Ready})
			}
			moved, err := c.Store.Rescue(ctx, s)
			if err != nil {
				return err
			}
			forgotten = forgotten || moved > 0 || !l.More
		}
		if !forgotten {
			return nil
		}
	}
}

func (c *chaos) clear(ctx context.Context, place store.Place) error {
	for {
		var picks []store.Pick
		for e, err := range c.Store.Jobs(ctx, store.Query{Place: place, Queue: c.Queue, Limit: store.MaxBatch}) {
			if err != nil {
				return err
			}
			picks = append(picks, store.Pick{Key: e.Key})
		}
		if len(picks) == 0 {
			return nil
		}
		if _, err := c.Store.Delete(ctx, store.Undoable{}, picks...); err != nil {
			return err
		}
	}
}
