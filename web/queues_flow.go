package web

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

const (
	// flowStep is how far apart two looks at the books are kept, and flowReach how far
	// back they go.
	flowStep  = 10 * time.Second
	flowReach = 5 * time.Minute
	// flowLeast is how much time must lie between two looks that say how fast
	// something is.
	flowLeast = 15 * time.Second
	// runsReach is how far back the drawing of a queue goes, a minute a step. The minute
	// under way is not whole yet, and not part of it.
	runsReach = 30
)

// paces finds out how fast queues fill and empty: from the books, at which it looks again
// and again while somebody watches, and from what processes have told of their runs.
// It says nothing where it has seen too little.
type paces struct {
	store store.Store

	mu     sync.Mutex
	looks  []booksLook                // the oldest first
	runsAt time.Time                  // when runs were read
	runs   map[string]map[string]runs // by queue and kind
}

// booksLook is the books of all queues at one moment.
type booksLook struct {
	at    time.Time
	books map[string]store.Books
}

// runs are how many ended in each of the last minutes, and all of them together.
type runs struct {
	minutes [runsReach]float64
	sum     store.Runs
}

// look reads what the pace of queues is made of, unless that was just done.
func (f *paces) look(ctx context.Context, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats, err := f.store.Stats(ctx)
	if err != nil {
		return err
	}
	l := booksLook{at: now, books: make(map[string]store.Books, len(stats.Books))}
	for _, b := range stats.Books {
		l.books[b.Queue] = b
	}
	// The last one is always the newest; it stays once the one before it is old enough.
	if n := len(f.looks); n >= 2 && f.looks[n-1].at.Sub(f.looks[n-2].at) < flowStep {
		f.looks = f.looks[:n-1]
	}
	f.looks = append(slices.DeleteFunc(f.looks, func(old booksLook) bool { return now.Sub(old.at) > flowReach }), l)
	if now.Sub(f.runsAt) < flowStep {
		return nil
	}
	return f.readRuns(ctx, now)
}

func (f *paces) readRuns(ctx context.Context, now time.Time) error {
	last := store.Minute.Start(now)
	first := last.Add(-runsReach * time.Minute)
	points, err := f.store.Series(ctx, store.SeriesQuery{Step: store.Minute, From: first, To: last})
	if err != nil {
		return err
	}
	f.runs, f.runsAt = map[string]map[string]runs{}, now
	for _, p := range points {
		i := int(p.At.Sub(first) / time.Minute)
		if p.Queue == "" || i < 0 || i >= runsReach {
			continue
		}
		kinds := f.runs[p.Queue]
		if kinds == nil {
			kinds = map[string]runs{}
			f.runs[p.Queue] = kinds
		}
		r := kinds[p.Kind]
		r.minutes[i] += float64(p.Ended)
		r.sum = r.sum.Plus(p.Runs)
		kinds[p.Kind] = r
	}
	return nil
}

// queuePace is how fast a queue fills and empties.
type queuePace struct {
	// In and Out are jobs a minute into the queue and out of it, retries and what came
	// back included.
	In, Out float64
	Both    bool // they are known
	// Says is where that leads, in words; empty: nowhere, or not known.
	Says    string
	Growing bool
	Line    sparkline // runs that ended, by minute; no values: none is known
	Kinds   []kindRuns
}

// kindRuns is how many runs of a kind ended in the last half hour. Of is the most that any
// kind of the queue had.
type kindRuns struct {
	Kind          string
	Ended, Failed int64
	Of            int64
	Took          time.Duration // 95 of 100 took no longer; 0: not known
}

func (f *paces) paceOf(q store.Queue) (p queuePace) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if kinds := f.runs[q.Name]; len(kinds) > 0 {
		p.Line.Values = make([]float64, runsReach)
		for kind, r := range kinds {
			for i, n := range r.minutes {
				p.Line.Values[i] += n
			}
			took, _ := r.sum.Spread.Quantile(0.95)
			p.Kinds = append(p.Kinds, kindRuns{Kind: kind, Ended: r.sum.Ended, Failed: r.sum.Failed, Took: took})
		}
		slices.SortFunc(p.Kinds, func(a, b kindRuns) int {
			return cmp.Or(cmp.Compare(b.Ended, a.Ended), cmp.Compare(a.Kind, b.Kind))
		})
		for i := range p.Kinds {
			p.Kinds[i].Of = p.Kinds[0].Ended
		}
	}
	if len(f.looks) == 0 {
		return p
	}
	first, last := f.looks[0], f.looks[len(f.looks)-1]
	minutes := last.at.Sub(first.at).Minutes()
	was, known := first.books[q.Name]
	now, still := last.books[q.Name]
	if last.at.Sub(first.at) < flowLeast || !known || !still {
		return p
	}
	more := float64(now.Waiting-was.Waiting) / minutes
	if !now.Shared {
		p.Out = float64(now.Fetched-was.Fetched) / minutes
		p.In, p.Both = max(0, more+p.Out), true
	}
	switch {
	case more >= 1:
		p.Growing, p.Says = true, "growing "+prose.Count(int64(more+0.5))+"/min"
	case more <= -1 && q.Waiting > 0:
		p.Says = "empty in about " + prose.Span(time.Duration(float64(q.Waiting)/-more*float64(time.Minute)))
	}
	return p
}

// Ended is how many runs its line is of.
func (p queuePace) Ended() (n int64) {
	for _, k := range p.Kinds {
		n += k.Ended
	}
	return n
}

// Top are the kinds that a list has room for.
func (p queuePace) Top() []kindRuns { return p.Kinds[:min(3, len(p.Kinds))] }
