package runner

import (
	"math"
	"slices"
	"sync"

	"github.com/ebbjobs/ebb/store"
)

// keeping is every job that the store has this process holding, as far as this
// process knows: fetched, running, or with a verdict that is not recorded yet.
type keeping struct {
	mu      sync.Mutex
	held    map[store.Token]*Attempt
	unended int // of held: handler not yet returned

	// Fetches are numbered through all groups, so that a token can be told from one
	// that an unanswered fetch will still bring.
	begun   uint64
	open    map[int]uint64         // by lane: the fetch without an answer
	unknown map[store.Token]uint64 // tokens the store knew and we did not: the last fetch begun by then

	stopping bool          // somebody waits for the end of all this, and wants to know the fates
	quiesced chan struct{} // capacity 1: a level, not a count
	fates    []store.Fate
}

func newKeeping() *keeping {
	return &keeping{
		held:     map[store.Token]*Attempt{},
		open:     map[int]uint64{},
		unknown:  map[store.Token]uint64{},
		quiesced: make(chan struct{}, 1),
	}
}

// asking notes that a fetch goes out on a lane. A repeat of an unanswered one is
// the same fetch.
func (k *keeping) asking(lane int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, repeated := k.open[lane]; !repeated {
		k.begun++
		k.open[lane] = k.begun
	}
}

// answered takes what a fetch has brought, and closes it. A fetch that is given up
// brings nothing: what the store moved for it will show up as unknown.
func (k *keeping) answered(lane int, attempts []*Attempt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, lane)
	for _, a := range attempts {
		k.held[a.token] = a
	}
	k.unended += len(attempts)
	k.tellIfIdle()
}

// ended notes that the handlers of n jobs have returned, or never began.
func (k *keeping) ended(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unended -= n
	k.tellIfIdle()
}

// idle reports whether nothing runs and no fetch may still bring anything.
func (k *keeping) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unended == 0 && len(k.open) == 0
}

func (k *keeping) tellIfIdle() {
	if !k.stopping || k.unended > 0 || len(k.open) > 0 {
		return
	}
	select {
	case k.quiesced <- struct{}{}:
	default:
	}
}

// watch says whether anybody waits for quiesced and wants to know the fates.
func (k *keeping) watch(stopping bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopping, k.fates = stopping, nil
	k.tellIfIdle()
}

func (k *keeping) watched() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stopping
}

// fate notes what a stop did to a job.
func (k *keeping) fate(f store.Fate) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopping {
		k.fates = append(k.fates, f)
	}
}

// allFates returns the fates noted so far, in the order in which they came about.
func (k *keeping) allFates() []store.Fate {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.fates)
}

// forget drops jobs whose verdict is recorded, or that are no longer held.
func (k *keeping) forget(attempts ...*Attempt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range attempts {
		delete(k.held, a.token)
	}
}

// all returns every job held, in no order.
func (k *keeping) all() []*Attempt {
	k.mu.Lock()
	defer k.mu.Unlock()
	attempts := make([]*Attempt, 0, len(k.held))
	for _, a := range k.held {
		attempts = append(attempts, a)
	}
	return attempts
}

// running counts the handlers that have not returned.
func (k *keeping) running() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unended
}

// oldest returns the number of the oldest fetch without an answer, or one above
// all numbers.
func (k *keeping) oldest() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	lowest := uint64(math.MaxUint64)
	for _, number := range k.open {
		lowest = min(lowest, number)
	}
	return lowest
}

// strays takes the tokens that the answer to a beat calls unknown, and returns
// those to give back: a token unknown to two beats, with no fetch left that could
// have moved it and be answered later, is nobody's. oldest is what the keeping's
// oldest fetch was when the second beat was made up.
func (k *keeping) strays(unknown []store.Held, oldest uint64) []store.Held {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(unknown) == 0 && len(k.unknown) == 0 {
		return nil
	}
	var back []store.Held
	seen := make(map[store.Token]uint64, len(unknown))
	for _, job := range unknown {
		if _, known := k.held[job.Token]; known {
			continue // its fetch was answered while the beat was under way
		}
		since, again := k.unknown[job.Token]
		if !again {
			since = k.begun
		}
		if again && oldest > since {
			back = append(back, job)
		}
		seen[job.Token] = since
	}
	k.unknown = seen
	return back
}

// lookup finds the jobs of tokens that are still held.
func (k *keeping) lookup(tokens []store.Token) []*Attempt {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found []*Attempt
	for _, token := range tokens {
		if a, ok := k.held[token]; ok {
			found = append(found, a)
		}
	}
	return found
}
