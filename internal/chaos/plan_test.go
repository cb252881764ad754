package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// The plan of a seed must stay the same over releases of Go and of ebb: a seed that
// somebody has noted is worth nothing else.
const planOfSeed1 = `seed 1, 4s, 2 workers, lease 2s, own-redis
   0.094 s  store      store-restart for 0.164 s
   0.308 s  store      store-kill for 0.637 s
   0.508 s  producer   kill for 0.203 s
   0.683 s  worker 2   freeze for 0.873 s
   0.940 s  producer   mute for 2.342 s
   0.995 s  store      store-freeze for 2.447 s
   1.191 s  worker 2   hold for 0.723 s
   1.710 s  worker 2   stop for 0.155 s
   1.964 s  worker 2   delay for 0.816 s
   2.147 s  producer   kill for 0.248 s
   2.787 s  worker 2   freeze for 0.982 s
   2.830 s  worker 2   cut
   2.880 s  worker 2   refuse for 0.779 s
   2.936 s  producer   stop for 0.218 s
   3.214 s  producer   kill for 0.282 s
   3.332 s  producer   cut
   3.382 s  producer   hold for 0.200 s
   3.546 s  producer   freeze for 0.454 s
   3.632 s  producer   mute for 0.368 s
   3.709 s  worker 2   refuse for 0.291 s
`

func TestPlanStays(t *testing.T) {
	t.Parallel()
	got := Make(Terms{Seed: 1, For: 4 * time.Second, Workers: 2, Lease: 2 * time.Second, Kind: OwnRedis}).String()
	if got != planOfSeed1 {
		t.Errorf("got\n%swant\n%s", got, planOfSeed1)
	}
}

func TestPlans(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{SQLite, Remote, Redis, OwnRedis} {
		for _, lasts := range []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute} {
			for _, workers := range []int{1, 3, 20} {
				terms := Terms{For: lasts, Workers: workers, Lease: 3 * time.Second, Kind: kind}
				t.Run(fmt.Sprint(kind, lasts, workers), func(t *testing.T) {
					t.Parallel()
					for terms.Seed = range 10 {
						checkPlan(t, Make(terms))
						if t.Failed() {
							t.Fatalf("seed %d", terms.Seed)
						}
					}
				})
			}
		}
	}
}

// checkPlan wants a plan that can be carried out, and that repeats.
func checkPlan(t *testing.T, p Plan) {
	t.Helper()
	if again := Make(p.Terms).String(); again != p.String() {
		t.Errorf("another plan the second time:\n%s%s", p, again)
	}
	for _, f := range p.Kind.Faults() {
		if !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Fault == f }) {
			t.Errorf("no %s in it", f)
		}
	}
	over, last := map[lane]time.Duration{}, time.Duration(0)
	for _, s := range p.Steps {
		switch {
		case !slices.Contains(p.Kind.Faults(), s.Fault):
			t.Errorf("%s on %s", s.Fault, p.Kind)
		case s.Fault.onStore() != (s.Target == server), s.Target < server, int(s.Target) > p.Workers:
			t.Errorf("%s happens to %v", s.Fault, s.Target)
		case s.At < last:
			t.Errorf("%s at %v comes after %v", s.Fault, s.At, last)
		case s.At < over[s.lane()]:
			t.Errorf("%s at %v begins while the last one lasts until %v", s.Fault, s.At, over[s.lane()])
		case s.At > p.For*5/4: // where there is much to do in little time
			t.Errorf("%s at %v is after the end", s.Fault, s.At)
		case s.For < 0, s.For > 2*p.Lease:
			t.Errorf("%s lasts %v", s.Fault, s.For)
		}
		over[s.lane()], last = s.At+s.For, s.At
	}
}

func TestPlansDiffer(t *testing.T) {
	t.Parallel()
	terms := Terms{Seed: 1, For: 10 * time.Second, Workers: 3, Lease: 3 * time.Second, Kind: OwnRedis}
	seen := map[string]bool{}
	for terms.Seed = range 100 {
		p := Make(terms)
		p.Terms = Terms{} // what they begin with
		seen[p.String()] = true
	}
	if len(seen) != 100 {
		t.Errorf("100 seeds make %d plans", len(seen))
	}
}

// TestFaultsOutlastLeases: a plan that is long enough has what a lease is for.
func TestFaultsOutlastLeases(t *testing.T) {
	t.Parallel()
	p := Make(Terms{Seed: 1, For: 10 * time.Minute, Workers: 3, Lease: 12 * time.Second, Kind: OwnRedis})
	for _, f := range []Fault{Freeze, Hold, Refuse, Mute} {
		if !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Fault == f && s.For > p.Lease }) {
			t.Errorf("no %s lasts longer than a lease", f)
		}
	}
}

// TestEachIsSpared: each worker has time to become one that rescues.
func TestEachIsSpared(t *testing.T) {
	t.Parallel()
	p := Make(Terms{Seed: 1, For: 10 * time.Minute, Workers: 3, Lease: 12 * time.Second, Kind: OwnRedis})
	for worker := range Target(p.Workers + 1) {
		longest, over := time.Duration(0), time.Duration(0)
		for _, s := range p.Steps {
			if s.Target == worker {
				longest, over = max(longest, s.At-over), max(over, s.At+s.For)
			}
		}
		if worker != producer && longest < 2*p.Lease {
			t.Errorf("nothing happens to %v for %v", worker, longest)
		}
	}
}
