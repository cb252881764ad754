package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Fault is something that goes wrong.
type Fault string

// What happens to a process: it gets KILL, or TERM, and another takes its place after
// a while; or STOP, and CONT after a while.
const (
	Kill   Fault = "kill"
	Stop   Fault = "stop"
	Freeze Fault = "freeze"
)

// What happens to the network between one process and the store, as netfault has it.
// A cut is over at once, the others last.
const (
	Hold   Fault = "hold"   // nothing passes, and it arrives later
	Refuse Fault = "refuse" // no connection stays or is made
	Cut    Fault = "cut"    // all connections end
	Mute   Fault = "mute"   // replies are lost
	Delay  Fault = "delay"  // all is late
)

// What happens to the store itself.
const (
	StoreRestart Fault = "store-restart"
	StoreKill    Fault = "store-kill"
	StoreFreeze  Fault = "store-freeze"
)

// Kind is what kind of store is disturbed, which decides what can be.
type Kind string

const (
	SQLite   Kind = "sqlite"    // a file: processes only
	Redis    Kind = "redis"     // somebody's server: processes and the network before it
	OwnRedis Kind = "own-redis" // a server of our own: that too
	Remote   Kind = "remote"    // a server that no proxy can stand before: processes only
)

// Faults are those that a kind of store can take.
func (k Kind) Faults() []Fault { return slices.Concat(k.ofStore(), k.ofOthers()) }

func (k Kind) ofStore() []Fault {
	if k == OwnRedis {
		return []Fault{StoreRestart, StoreKill, StoreFreeze}
	}
	return nil
}

func (k Kind) ofOthers() []Fault {
	all := []Fault{Kill, Stop, Freeze}
	if k.proxied() {
		all = append(all, Hold, Refuse, Cut, Mute, Delay)
	}
	return all
}

func (k Kind) proxied() bool { return k == Redis || k == OwnRedis }

func (f Fault) onStore() bool   { return strings.HasPrefix(string(f), "store-") }
func (f Fault) onNetwork() bool { return slices.Contains([]Fault{Hold, Refuse, Cut, Mute, Delay}, f) }

// The targets beside workers, which count from 1.
const (
	producer = 0
	server   = -1
)

// Target is who a step happens to.
type Target int

func (t Target) String() string {
	switch t {
	case producer:
		return "producer"
	case server:
		return "store"
	}
	return fmt.Sprintf("worker %d", int(t))
}

// Step is one thing that goes wrong.
type Step struct {
	At     time.Duration // since the beginning
	Fault  Fault
	Target Target
	// For is how long it lasts. Of a process that ends: how long its place stays empty.
	For time.Duration
}

// Terms are what a plan follows from.
type Terms struct {
	Seed    uint64
	For     time.Duration
	Workers int
	Lease   time.Duration // of a worker
	Kind    Kind
}

// Plan is all that goes wrong, in order of time.
type Plan struct {
	Terms
	Steps []Step
}

const (
	// pace is the mean time between two steps, where there is time enough.
	pace = 2 * time.Second
	// storeEvery is the time between two times that the store suffers. After each,
	// nobody rescues for the length of a lease, and there is to be time for that too.
	storeEvery = time.Minute
)

// Make makes the plan of its terms. It depends on nothing else, and has each fault
// that the kind of store can take at least once.
func Make(t Terms) Plan {
	d := &dealer{Plan: Plan{Terms: t}, source: rand.NewPCG(t.Seed, 0xebb), free: map[lane]time.Duration{}}
	// Even if each pause is the longest, each fault comes once.
	mean := min(pace, t.For*8/10/time.Duration(len(t.Kind.Faults())*3/2+1))
	at, nextStore := mean/2, time.Duration(0)
	last := t.For * 9 / 10
	for first := true; first || at < last; first = false {
		deck := t.Kind.ofOthers()
		if !first { // a worker's end is what ebb is for
			deck = append(deck, Kill, Kill, Freeze)
		}
		d.shuffle(deck)
		if at >= nextStore {
			ofStore := t.Kind.ofStore()
			d.shuffle(ofStore)
			deck = append(ofStore, deck...)
			nextStore = at + storeEvery
		}
		for _, f := range deck {
			if !first && at >= last {
				break
			}
			d.deal(f, at, first)
			at += d.between(mean/2, mean*3/2)
		}
	}
	slices.SortStableFunc(d.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return d.Plan
}

// lane is what can go wrong in one way at a time.
type lane struct {
	target  Target
	network bool
}

func (s Step) lane() lane { return lane{s.Target, s.Fault.onNetwork()} }

// dealer deals steps. Only the source itself is sure to give the same numbers with
// every Go, so that it draws by hand.
type dealer struct {
	Plan
	source rand.Source
	free   map[lane]time.Duration // when the last step of each is over
}

func (d *dealer) below(n uint64) uint64 { return d.source.Uint64() % n }

// between draws in whole milliseconds, as plans are printed.
func (d *dealer) between(low, high time.Duration) time.Duration {
	low, high = low/time.Millisecond, high/time.Millisecond
	return (low + time.Duration(d.below(uint64(max(1, high-low))))) * time.Millisecond
}

func (d *dealer) shuffle(deck []Fault) {
	for i := range deck {
		j := i + int(d.below(uint64(len(deck)-i)))
		deck[i], deck[j] = deck[j], deck[i]
	}
}

// deal adds a step, not before at. One that would come too late for that is left out,
// unless it must be there.
func (d *dealer) deal(f Fault, at time.Duration, must bool) {
	s := Step{At: at.Truncate(time.Millisecond), Fault: f, Target: server}
	if !f.onStore() {
		s.Target = d.target(f.onNetwork(), at)
	}
	s.At = max(s.At, d.free[s.lane()])
	s.For = d.lasting(f, s.At)
	if s.At > d.For && !must {
		return
	}
	d.free[s.lane()] = s.At + s.For + 50*time.Millisecond
	d.Steps = append(d.Steps, s)
}

// target draws among those that nothing of the kind happens to at that time, workers
// twice as often as the producer, or takes the one whose time comes first.
func (d *dealer) target(network bool, at time.Duration) Target {
	var idle []Target
	soonest := Target(producer)
	for t := range Target(d.Workers + 1) {
		if t == d.spared(at) {
			continue
		}
		until := d.free[lane{t, network}]
		if until <= at {
			idle = append(idle, t)
			if t != producer {
				idle = append(idle, t)
			}
		}
		if until < d.free[lane{soonest, network}] {
			soonest = t
		}
	}
	if len(idle) == 0 {
		return soonest
	}
	return idle[d.below(uint64(len(idle)))]
}

// spared is the worker that nothing is done to for three leases; then it is the next
// one's turn. On Redis nobody rescues whose own beats were not regular for a lease,
// and the figures would tell of no rescue but that after the end. A lone worker is not
// spared.
func (d *dealer) spared(at time.Duration) Target {
	if d.Workers == 1 {
		return server
	}
	return Target(1 + int(at/(3*d.Lease))%d.Workers)
}

// lasting draws how long a fault lasts: mostly for a moment, sometimes for longer than
// a lease, so that others take what its holder has while that lives. Nothing lasts
// longer than the plan.
func (d *dealer) lasting(f Fault, at time.Duration) time.Duration {
	const moment, most = 200 * time.Millisecond, 2500 * time.Millisecond
	short := d.between(moment, max(moment, min(most, d.For/4)))
	long := d.between(d.Lease+d.Lease/8, d.Lease+d.Lease/4)
	switch f {
	case Cut:
		return 0
	case Kill, Stop, StoreRestart:
		return short / 2
	case Delay:
		return short
	}
	if often := d.below(6); often == 0 && at+long <= d.For {
		return long
	}
	return max(0, min(short, d.For-at))
}

// String is the plan for people to read, and to compare.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %v, %d workers, lease %v, %s\n", p.Seed, p.For, p.Workers, p.Lease, p.Kind)
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%8.3f s  %-9s  %s", s.At.Seconds(), s.Target, s.Fault)
		if s.For > 0 {
			fmt.Fprintf(&b, " for %.3f s", s.For.Seconds())
		}
		b.WriteByte('\n')
	}
	return b.String()
}
