package rescue

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// fleet is a store, its processes and its jobs as far as a judge has to do with them,
// in a time of its own that goes by in seconds.
type fleet struct {
	*testing.T
	rng     *rand.Rand
	now     time.Time
	slots   int // of each process
	sees    int // seconds until an end is seen
	poison  int
	alive   []*worker
	lost    []*worker
	jobs    []*unit
	reports []store.StopReport // newest last
	started int

	delayed, buried int
}

// settled is from when on a suspect lets others run beside it; see internal/runner.
const settled = 5 * time.Minute

type worker struct {
	id    store.Identity
	state string
	seen  time.Time // when others see that it is gone
	holds []*unit
}

// unit is a job.
type unit struct {
	jid     string
	payload []byte
	lasts   int // seconds; 0: for ever
	fuse    int // seconds that it runs before it brings its process down; 0: it does not
	worker  *worker
	began   time.Time
	due     time.Time
	suspect bool
	dead    bool
	done    bool
	crashes int // of processes that it brought down
}

func newFleet(t *testing.T, seed uint64, workers, slots int) *fleet {
	f := &fleet{T: t, rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1795289600, 0), slots: slots, sees: 2}
	for range workers {
		f.start()
	}
	return f
}

func (f *fleet) start() {
	f.started++
	f.alive = append(f.alive, &worker{id: store.Identity(fmt.Sprintf("host:%d:aa", f.started)), state: "running"})
}

func (f *fleet) add(jid string, lasts, fuse int) *unit {
	u := &unit{jid: jid, lasts: lasts, fuse: fuse, payload: fmt.Appendf(nil, `{"class":"K","args":[],"jid":%q}`, jid)}
	f.jobs = append(f.jobs, u)
	return u
}

// kill ends a process without a word, but for the state that others knew it in.
func (f *fleet) kill(w *worker, state string) {
	w.state, w.seen = state, f.now.Add(time.Duration(f.sees)*time.Second)
	f.alive = slices.DeleteFunc(f.alive, func(o *worker) bool { return o == w })
	f.lost = append(f.lost, w)
}

// restart replaces all processes, one after the other, that many seconds apart. It
// returns what became of the jobs of the first.
func (f *fleet) restart(apart int, state string) (first []store.Fate) {
	before := len(f.reports)
	for _, w := range slices.Clone(f.alive) {
		f.start()
		f.kill(w, state)
		f.pass(apart)
	}
	f.pass(f.sees)
	return f.reports[before].Jobs
}

// changes reports whether something may still become of a job.
func (u *unit) changes() bool {
	return !u.dead && !u.done && (u.worker == nil || u.lasts > 0 || u.fuse > 0)
}

// pass lets seconds go by. Where nothing can happen any more it skips the rest.
func (f *fleet) pass(seconds int) {
	for end := f.now.Add(time.Duration(seconds) * time.Second); f.now.Before(end); {
		if len(f.lost) == 0 && !slices.ContainsFunc(f.jobs, (*unit).changes) {
			f.now = end
			return
		}
		f.now = f.now.Add(time.Second)
		f.rescue()
		for _, u := range f.jobs {
			f.hand(u)
		}
		for _, w := range slices.Clone(f.alive) {
			w.holds = slices.DeleteFunc(w.holds, func(u *unit) bool {
				u.done = u.lasts > 0 && f.now.Sub(u.began) >= time.Duration(u.lasts)*time.Second
				return u.done
			})
			for _, u := range w.holds {
				if u.fuse > 0 && f.now.Sub(u.began) >= time.Duration(u.fuse)*time.Second {
					u.crashes++
					f.kill(w, "running")
					f.start()
					break
				}
			}
		}
	}
}

// hand gives a job that is due to a process, unless that has a suspect already.
func (f *fleet) hand(u *unit) {
	if u.worker != nil || u.dead || u.done || f.now.Before(u.due) || len(f.alive) == 0 {
		return
	}
	w := f.alive[f.rng.IntN(len(f.alive))]
	if len(w.holds) >= f.slots {
		return
	}
	young := func(o *unit) bool { return o.suspect && f.now.Sub(o.began) < settled }
	if u.suspect && slices.ContainsFunc(w.holds, young) {
		u.due = f.now.Add(time.Duration(2+f.rng.IntN(4)) * time.Second)
		return
	}
	w.holds, u.worker, u.began = append(w.holds, u), w, f.now
}

func (f *fleet) stops(context.Context) iter.Seq2[store.StopReport, error] {
	return func(yield func(store.StopReport, error) bool) {
		for _, r := range slices.Backward(f.reports) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// rescue sees to those whose end can be seen by now.
func (f *fleet) rescue() {
	var gone []store.Lost
	var ends []*worker
	for _, w := range f.lost {
		if f.now.Before(w.seen) {
			continue
		}
		l := store.Lost{ID: w.id, Cause: store.Lapsed, Now: f.now, Last: store.Presence{State: w.state}}
		for _, u := range w.holds {
			if u.suspect && w.seen.Sub(u.began) > settled {
				job, _ := wire.Parse(u.payload)
				job.History.Settled = true
				u.payload = job.WithHistory(job.History)
			}
			l.Jobs = append(l.Jobs, store.Held{Queue: "q", Payload: u.payload})
		}
		gone, ends = append(gone, l), append(ends, w)
	}
	if len(gone) == 0 {
		return
	}
	f.lost = slices.DeleteFunc(f.lost, func(w *worker) bool { return slices.Contains(ends, w) })
	j := Judge{By: "by:1:aa", Poison: f.poison, chance: f.rng.Int64N}
	if err := j.Read(f.Context(), f.stops, gone); err != nil {
		f.Fatal(err)
	}
	for i, l := range gone {
		s := j.Salvage(l)
		f.reports = append(f.reports, *s.Report)
		for k, r := range s.Jobs {
			u := ends[i].holds[k]
			job, err := wire.Parse(r.Payload)
			if err != nil {
				f.Fatal(err)
			}
			u.worker, u.payload, u.due, u.dead, u.suspect = nil, r.Payload, f.now.Add(r.Delay), r.To == store.Dead, job.History.Suspect
			switch r.To {
			case store.Dead:
				f.buried++
			case store.Scheduled:
				f.delayed++
			}
		}
	}
}

// Three days with five rolling restarts of three workers whose jobs never end. Only a
// job that moved from each process that was killed to the next, while nothing else was
// to be seen, is delayed by an earlier restart.
func TestDeploysBuryNothing(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]string{"TERM and KILL": "draining", "the KILL alone": "running"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(12) {
				for _, apart := range []int{1, 5, 20, 35, 55} {
					f := newFleet(t, seed, 3, 10)
					for i := range 3 + int(seed%6) {
						f.add(fmt.Sprint("job-", i), 0, 0)
					}
					f.pass(5)
					ends := map[string]int{} // of processes, by the job that they held
					for range 5 {
						before := len(f.reports)
						for _, fate := range f.restart(apart, state) {
							if fate.Fate != "rescued" && ends[fate.JID] < 3 {
								t.Errorf("seed %d, %d s apart: %s %s: %s", seed, apart, fate.JID, fate.Fate, fate.Note)
							}
						}
						now := map[string]int{}
						for _, r := range f.reports[before:] {
							for _, fate := range r.Jobs {
								now[fate.JID]++
								ends[fate.JID] = max(ends[fate.JID], now[fate.JID])
							}
						}
						f.pass(12 * 60 * 60)
					}
					if f.buried > 0 || state == "draining" && f.delayed > 0 {
						t.Errorf("seed %d, %d s apart: %d buried, %d delayed", seed, apart, f.buried, f.delayed)
					}
				}
			}
		})
	}
}

// Deploys that come so fast that all crashes are recent bury nothing either.
func TestDeploysInARowBuryNothing(t *testing.T) {
	t.Parallel()
	for _, gap := range []int{10, 60, 150, 400} {
		t.Run(fmt.Sprint(gap, " s apart"), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(12) {
				f := newFleet(t, seed, 3, 1) // each holds one job, which is soon suspect
				for i := range 3 {
					f.add(fmt.Sprint("job-", i), 0, 0)
				}
				f.pass(5)
				for range 5 {
					f.restart(5, "running")
					f.pass(gap)
				}
				if f.buried > 0 {
					t.Errorf("seed %d: %d buried", seed, f.buried)
				}
			}
		})
	}
}

func TestPoisonIsBuriedAndNeighboursAreNot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		poison  int // jobs
		fuse    int
		lasts   int // neighbours; 0: for ever
		limit   int
		crashes int // of the one poison job
		within  time.Duration
	}{
		{name: "one", poison: 1, fuse: 1, lasts: 20, crashes: 5, within: 15 * time.Minute},
		{name: "one, by the first crash alone", poison: 1, fuse: 1, lasts: 20, limit: 1, crashes: 3, within: 15 * time.Minute},
		{name: "one that takes its time", poison: 1, fuse: 300, lasts: 20, crashes: 5, within: time.Hour},
		{name: "one that takes half an hour", poison: 1, fuse: 1800, lasts: 20, crashes: 5, within: 6 * time.Hour},
		{name: "one among jobs without an end", poison: 1, fuse: 1, crashes: 5, within: time.Hour},
		{name: "two at once", poison: 2, fuse: 1, lasts: 20, within: 2 * time.Hour},
		{name: "two at once among jobs without an end", poison: 2, fuse: 60, within: 6 * time.Hour},
		{name: "ten at once", poison: 10, fuse: 1, lasts: 20, within: 6 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(3) {
				f := newFleet(t, seed, 3, 10)
				f.poison = tt.limit
				for i := range 9 {
					f.add(fmt.Sprint("neighbour-", i), tt.lasts, 0)
				}
				for i := range tt.poison {
					f.add(fmt.Sprint("poison-", i), 0, tt.fuse)
				}
				for end := f.now.Add(tt.within); f.buried < tt.poison && f.now.Before(end); {
					f.pass(10)
				}
				f.pass(20 * 60)
				for _, u := range f.jobs {
					if u.dead != (u.fuse > 0) || u.done != (u.lasts > 0) {
						t.Errorf("seed %d: %s is buried: %t, done: %t, after %d crashes", seed, u.jid, u.dead, u.done, u.crashes)
					}
					if u.fuse > 0 && tt.crashes > 0 && u.crashes != tt.crashes {
						t.Errorf("seed %d: %s had %d crashes, want %d", seed, u.jid, u.crashes, tt.crashes)
					}
				}
			}
		})
	}
}
