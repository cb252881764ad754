package bulk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storetest"
	"github.com/ebbjobs/ebb/wire"
)

var errKilled = errors.New("killed")

// mortal returns a store that dies at a call, before or after what it does, and is
// dead from then on.
func mortal(st store.Store, at int, when storetest.When) *storetest.Flaky {
	f := storetest.NewFlaky(st)
	calls := 0
	f.Each(func(string) storetest.Fault {
		switch calls++; {
		case calls < at:
			return storetest.Fault{}
		case calls == at:
			return storetest.Fault{When: when, Err: errKilled}
		}
		return storetest.Fault{Err: errKilled}
	})
	return f
}

// A change that is killed at any moment, again and again, and each time gone on with,
// changes exactly the jobs it was confirmed for, or fewer where these have gone their
// way, and none that came later. Taken back, each is again what it was.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	const rounds = 200
	verbs := []Verb{Retry, Reschedule, Bury, Delete, Move, Clear}
	var killed, exact int
	for round := range rounds {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%d-%x", round, seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 0))
				k := &kills{world: newWorld(t), rng: rng, verb: verbs[round%len(verbs)], stir: round%2 == 0}
				k.play()
				killed += k.deaths
				if !k.stir {
					exact++
				}
			})
		})
	}
	t.Logf("%d runs were killed %d times; in %d nothing else stirred, and exactly what was frozen was changed", rounds, killed, exact)
}

// kills is one change that is killed.
type kills struct {
	*world
	rng    *rand.Rand
	verb   Verb
	stir   bool // others work on the store meanwhile
	wanted int64
	deaths int
	taken  int      // by others, since the change was confirmed
	late   []string // jobs that came since then
}

func (k *kills) play() {
	k.push("A", "q", jids("a", 66)...)
	k.put(store.Retrying, "A", "q", jids("b", 36)...)
	k.put(store.Scheduled, "A", "q", jids("c", 30)...)
	k.put(store.Dead, "A", "q", jids("d", 20)...)
	k.push("B", "q", jids("other", 9)...)
	before := k.all()

	o := Order{Verb: k.verb, Query: k.query("kind:A"), At: time.Now().Add(1000 * time.Hour), Queue: "r"}
	f := k.freeze(o)
	k.wanted = f.Count
	time.Sleep(time.Second)
	c := k.finish(f, o)
	wanted := k.wanted

	if c.Wanted != wanted || c.Done+c.Missed != wanted {
		k.Errorf("%s: confirmed for %d: %+v", k.verb, wanted, c)
	}
	if !k.stir && c.Done != wanted {
		k.Errorf("%s: %d of %d, though nobody else was there", k.verb, c.Done, wanted)
	}
	if k.stir && c.Done < wanted-int64(k.taken) {
		k.Errorf("%s: %d of %d, and only %d were taken by others", k.verb, c.Done, wanted, k.taken)
	}
	if n := k.untouched(); n != len(k.late) {
		k.Errorf("%s: of %d jobs that came later %d are as they came", k.verb, len(k.late), n)
	}
	sum, err := Undo(k.Context(), k.Store, c, nil)
	k.must(err)
	// A batch of which the last run could not say counts as done if all its jobs are
	// gone, and these may have been taken by others.
	if sum.Back+sum.Passed < c.Done-int64(k.taken) {
		k.Errorf("undone %+v of %d", sum, c.Done)
	}
	if k.stir {
		return
	}
	after := k.all()
	slices.Sort(before)
	slices.Sort(after)
	if diff := cmp.Diff(before, after); diff != "" {
		k.Errorf("%s undone: %s", k.verb, diff)
	}
}

// finish runs the change, and goes on with it, until it is over.
func (k *kills) finish(f *Frozen, o Order) store.Change {
	for {
		at := 1 + k.rng.IntN(25)
		if k.deaths > 20 {
			at = 1 << 30
		}
		dying := mortal(k.Store, at, storetest.When(k.rng.IntN(2)))
		ctx, cancel := context.WithCancelCause(k.Context())
		progress := func(int64, int64) {
			if k.rng.IntN(10) == 0 {
				cancel(errKilled) // ^C this time
			}
		}
		f.st = dying
		c, err := f.Run(ctx, Options{Rate: 20, Progress: progress}) // batches of 20
		cancel(nil)
		if err == nil {
			return c
		}
		k.deaths++
		if !errors.Is(err, errKilled) {
			k.Fatal(err)
		}
		k.other()
		f = k.again(f.ID, o)
		if f == nil {
			return k.change(c.ID)
		}
	}
}

// again is the next run of the change: nothing where the one before came to its end
// and died before it could say so. A change that died before it was recorded is
// ordered anew.
func (k *kills) again(id string, o Order) *Frozen {
	f, err := Resume(k.Context(), k.Store, id, nil)
	switch {
	case errors.Is(err, ErrUnknownChange):
		f = k.freeze(o)
		k.wanted, k.taken, k.late = f.Count, 0, nil
	case errors.Is(err, ErrNothingToResume):
		return nil
	default:
		k.must(err)
	}
	return f
}

// other is what others do between two runs: take a few jobs, and bring a few.
func (k *kills) other() {
	time.Sleep(time.Second)
	if !k.stir || k.deaths > 5 {
		return
	}
	if n := int(k.count("state:ready queue:q kind:A")); n >= 7 {
		k.hold("q", 7)
		k.taken += 7
	}
	late := jids(fmt.Sprintf("late%d-", k.deaths), 5)
	k.push("A", "q", late...)
	k.late = append(k.late, late...)
}

// untouched counts the late jobs that are still where they were put.
func (k *kills) untouched() (n int) {
	for e, err := range k.query("kind:A").Find(k.Context(), k.Store, query.Search{}) {
		k.must(err)
		jid, _ := wire.JIDOf(e.Payload)
		if slices.Contains(k.late, jid) && (e.Place == store.Ready || e.Place == store.Keeping) && e.Queue == "q" {
			n++
		}
	}
	return n
}
