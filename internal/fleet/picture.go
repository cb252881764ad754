package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// Picture is one look at a whole store, as much of it as fits an overview.
type Picture struct {
	At        time.Time
	Store     store.Description
	Queues    []store.Queue
	Processes []store.Process
	Stats     store.Stats
	Balance   Balance
	Stops     []store.StopReport // the last MaxStops, the latest first
	Marks     []store.Mark       // of the last 30 days
	Errors    []Group            // for whoever looked for them, by [SampleErrors]
}

// MaxStops is how many stops a look reads.
const MaxStops = 200

// recent is how far back marks and stops count for an overview.
const recent = 30 * 24 * time.Hour

// Balance says whether the books of a store add up.
type Balance struct {
	Missing int64 // jobs that were accepted or fetched and are nowhere; expected to be 0
	Surplus int64 // jobs that are there and that no book accepted; expected to be 0
	// Shared: others push or pop in some queue, so that there only what was fetched is
	// counted.
	Shared bool
}

// IsZero reports whether nothing is missing and nothing is there twice.
func (b Balance) IsZero() bool { return b.Missing == 0 && b.Surplus == 0 }

// BalanceOf adds the books of a store up. Read while jobs move, they may be out by
// what is half way: what is missing for good is missing at every look.
func BalanceOf(stats store.Stats) (b Balance) {
	for _, books := range stats.Books {
		out := []int64{books.Custody()}
		if b.Shared = b.Shared || books.Shared; !books.Shared {
			out = append(out, books.Arrivals()) // one job may be missing in both
		}
		b.Missing += max(0, slices.Max(out))
		b.Surplus += max(0, -slices.Min(out))
	}
	if !b.Shared { // others may have taken it
		for _, set := range []store.Place{store.Scheduled, store.Retrying, store.Dead} {
			b.Missing += max(0, -stats.Uncounted(set))
		}
	}
	return b
}

// A store is looked at so often until its books were seen to balance.
const (
	looks     = 5
	lookPause = 50 * time.Millisecond
)

// Look reads a store once. It reads the same few things however many jobs there are.
func Look(ctx context.Context, st store.Store) (*Picture, error) {
	p := &Picture{At: time.Now(), Store: st.Describe()}
	var err error
	if p.Queues, err = st.Queues(ctx); err != nil {
		return nil, err
	}
	if p.Processes, err = st.Processes(ctx); err != nil {
		return nil, err
	}
	if p.Stats, p.Balance, err = settled(ctx, st); err != nil {
		return nil, err
	}
	for r, err := range st.Stops(ctx) {
		if err != nil {
			return nil, err
		}
		if len(p.Stops) == MaxStops || p.At.Sub(r.Ended) > recent {
			break
		}
		p.Stops = append(p.Stops, r)
	}
	p.Marks, err = st.Marks(ctx, p.At.Add(-recent))
	return p, err
}

// settled reads the numbers of a store until its books balance, or often enough.
func settled(ctx context.Context, st store.Inspector) (stats store.Stats, b Balance, err error) {
	for look := range looks {
		if stats, err = st.Stats(ctx); err != nil {
			return stats, b, err
		}
		if b = BalanceOf(stats); b.IsZero() || look == looks-1 {
			break
		}
		select {
		case <-time.After(lookPause):
		case <-ctx.Done():
			return stats, b, context.Cause(ctx)
		}
	}
	return stats, b, nil
}

// Rollouts are those of the stops that the picture has.
func (p *Picture) Rollouts() []Rollout { return Rollouts(p.Stops, p.Processes, p.Marks, p.At) }

// Alive are the processes whose lease has not ended.
func (p *Picture) Alive() []store.Process {
	return slices.DeleteFunc(slices.Clone(p.Processes), func(p store.Process) bool { return p.Lapsed })
}

// Slots counts the slots of living processes, and those that run a job.
func (p *Picture) Slots() (busy, all int) {
	for _, p := range p.Alive() {
		busy, all = busy+len(p.Busy), all+p.Concurrency
	}
	return busy, all
}

// Oldest is how long the job has waited that waits longest in a queue that is not
// paused, and where. 0: none waits, or nobody knows since when.
func (p *Picture) Oldest() (wait time.Duration, queue string) {
	for _, q := range p.Queues {
		if q.Paused || q.Waiting == 0 || q.Oldest.IsZero() {
			continue
		}
		if d := p.At.Sub(q.Oldest); d > wait {
			wait, queue = d, q.Name
		}
	}
	return wait, queue
}

// Empty reports whether nothing has ever been here, as far as can be seen.
func (p *Picture) Empty() bool {
	s := p.Stats
	return len(p.Queues)+len(p.Processes)+len(p.Stops) == 0 && s.Processed+s.Ready+s.Held+s.Scheduled+s.Retrying+s.Dead == 0
}

// Unserved are the queues in which jobs wait that no process takes from now. Paused
// ones are meant to wait.
func (p *Picture) Unserved() (queues []store.Queue) {
	for _, q := range p.Queues {
		served := slices.ContainsFunc(p.Processes, func(p store.Process) bool { return TakesFrom(&p, q.Name) })
		if q.Waiting > 0 && !q.Paused && !served {
			queues = append(queues, q)
		}
	}
	return queues
}

// Sentence says whether everything is all right. It claims of jobs no more than the
// books can show: where others push and pop too, that is what was fetched.
func (p *Picture) Sentence() string {
	unserved, waiting := p.Unserved(), int64(0)
	for _, q := range unserved {
		waiting += q.Waiting
	}
	switch needs := len(p.Needs()); {
	case p.Balance.Missing > 0:
		return prose.Plural(p.Balance.Missing, "job") + " unaccounted for"
	case p.Balance.Surplus > 0:
		return "The books do not balance: " + prose.Plural(p.Balance.Surplus, "job") + " too many"
	case p.Empty():
		return "Nothing is here yet"
	case waiting > 0 && len(p.Alive()) == 0:
		return "Nobody works: " + waits(waiting) + ", no process lives"
	case waiting > 0 && len(unserved) == 1:
		return "Nobody works " + prose.Plain(unserved[0].Name) + ": " + waits(waiting)
	case waiting > 0:
		return "Nobody works " + prose.Plural(len(unserved), "queue") + ": " + waits(waiting)
	case needs == 1:
		return "1 thing needs you · " + p.accounted()
	case needs > 1:
		return fmt.Sprintf("%s things need you · %s", prose.Count(needs), p.accounted())
	}
	return "All is well · " + p.accounted()
}

func (p *Picture) accounted() string {
	if p.Balance.Shared {
		return "every job that was fetched is accounted for"
	}
	return "every accepted job accounted for (balance 0)"
}

func waits(n int64) string {
	if n == 1 {
		return "1 job waits"
	}
	return prose.Count(n) + " jobs wait"
}
