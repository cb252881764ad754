package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storetest"
	"github.com/ebbjobs/ebb/wire"
)

var errAway = fmt.Errorf("dial tcp: connection refused: %w", store.ErrUnreachable)

// tally counts the runs of each job.
type tally struct {
	mu   sync.Mutex
	runs map[string]int
}

func (c *tally) add(jid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runs == nil {
		c.runs = map[string]int{}
	}
	c.runs[jid]++
}

// all returns the runs of each job.
func (c *tally) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.runs)
}

// twice lists jobs that ran more than once.
func (c *tally) twice() (jids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for jid, n := range c.runs {
		if n > 1 {
			jids = append(jids, jid)
		}
	}
	return jids
}

func TestLostRepliesLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3, uint64(time.Now().UnixNano())} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				const jobs = 300
				rng := rand.New(rand.NewPCG(seed, 0))
				var mu sync.Mutex
				w.flaky.Each(func(method string) storetest.Fault {
					mu.Lock()
					defer mu.Unlock()
					fault := storetest.Fault{When: storetest.When(rng.IntN(2)), Delay: time.Duration(rng.IntN(20)) * time.Millisecond}
					// A reply that is lost with the commands in it loses the commands, not jobs.
					if rng.IntN(3) == 0 {
						fault.Err = errAway
					}
					return fault
				})
				var ran tally
				p := w.run(map[string]func(context.Context, *wire.Job) error{
					"Quick": func(_ context.Context, job *wire.Job) error { ran.add(job.JID); return nil },
					"Slow": func(ctx context.Context, job *wire.Job) error {
						ran.add(job.JID)
						time.Sleep(70 * time.Millisecond)
						return From(ctx).CheckpointNow(ctx, json.RawMessage(`1`))
					},
					"Fails":  func(_ context.Context, job *wire.Job) error { ran.add(job.JID); return errBoom },
					"Buried": func(_ context.Context, job *wire.Job) error { ran.add(job.JID); return &verdict.Bury{Err: errBoom} },
				})
				kinds := []string{"Quick", "Slow", "Fails", "Buried"}
				for i := range jobs {
					w.push(kinds[i%len(kinds)])
				}
				time.Sleep(12 * time.Second)
				b := w.book()
				equal(t, "done, retrying, dead", []int64{b.Done, b.Retrying, b.Dead}, []int64{jobs / 2, jobs / 4, jobs / 4})
				if twice := ran.twice(); len(twice) > 0 {
					t.Errorf("ran more than once: %v", twice)
				}
				w.flaky.Heal()
				p.end()
			})
		})
	}
}

func TestTheStoreIsAwayWhileJobsRun(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]time.Duration{"shortly": 3 * time.Second, "for longer than a lease": time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				var ran tally
				handlers := map[string]func(context.Context, *wire.Job) error{"Job": func(ctx context.Context, job *wire.Job) error {
					ran.add(job.JID)
					time.Sleep(2 * time.Second)
					return ctx.Err()
				}}
				first, second := w.run(handlers), w.run(handlers)
				for range 15 {
					w.push("Job")
				}
				time.Sleep(time.Second)
				w.flaky.Each(func(string) storetest.Fault { return storetest.Fault{Err: errAway} })
				time.Sleep(away)
				equal(t, "done while it was away", w.book().Done, 0)
				w.flaky.Heal()
				time.Sleep(5 * time.Second)
				equal(t, "done", w.book().Done, 15)
				if twice := ran.twice(); len(twice) > 0 {
					t.Errorf("ran more than once: %v", twice)
				}
				equal(t, "lines that say that it is away", w.log.count("store does not answer"), 2)
				equal(t, "lines that say that it is back", w.log.count("store is back"), 2)
				first.end()
				second.end()
			})
		})
	}
}

func TestCutOff(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end   bool
		cause error
		at    time.Duration // after the last beat
		fate  string
	}{
		"keep": {false, verdict.ErrDraining, 30 * time.Second, "handed back"},
		"stop": {true, verdict.ErrLeaseLost, testTTL - testTTL/6, "handed back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				type ending struct {
					cause error
					at    time.Time
				}
				ended := make(chan ending, 1)
				o := w.options(map[string]func(context.Context, *wire.Job) error{"Job": func(ctx context.Context, job *wire.Job) error {
					<-ctx.Done()
					ended <- ending{context.Cause(ctx), time.Now()}
					return ctx.Err()
				}})
				o.EndCutOff = tt.end
				p := w.start(o)
				jid := w.push("Job")
				time.Sleep(10 * testBeat)
				synctest.Wait()
				lastBeat := time.Now()
				w.flaky.Each(func(method string) storetest.Fault {
					return storetest.Fault{Err: errAway}
				})
				time.Sleep(27 * time.Second)
				w.flaky.Heal()
				if !tt.end {
					time.Sleep(3 * time.Second)
					p.stop()
				}
				got := <-ended
				if got.cause != tt.cause {
					t.Errorf("cause %v, want %v", got.cause, tt.cause)
				}
				if tt.end {
					equal(t, "ended after", got.at.Sub(lastBeat), tt.at)
				}
				time.Sleep(5 * time.Second)
				job, _ := w.entry(jid)
				equal(t, "interruptions", job.History.Interruptions, 1)
				equal(t, "retry_count", job.Count, -1)
				p.end()
			})
		})
	}
}

// hiding is a store whose fetches move jobs and then keep the reply back.
type hiding struct {
	store.Store
	hidden atomic.Bool
	reply  chan struct{} // closed to let the replies go
}

func (h *hiding) Fetch(ctx context.Context, call store.Call, plan store.Plan, n int, wait time.Duration) ([]store.Held, store.Woken, error) {
	jobs, woken, err := h.Store.Fetch(ctx, call, plan, n, wait)
	if len(jobs) > 0 && h.hidden.Load() {
		<-h.reply
	}
	return jobs, woken, err
}

func TestAFetchAcrossAGapIsNotBegunUntilABeatHasTold(t *testing.T) {
	t.Parallel()
	for name, rescued := range map[string]bool{"still held": false, "rescued meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				var ran tally
				o := w.options(map[string]func(context.Context, *wire.Job) error{"Job": func(_ context.Context, job *wire.Job) error {
					ran.add(job.JID)
					return nil
				}})
				hider := &hiding{Store: w.flaky, reply: make(chan struct{})}
				o.Store = hider
				p := w.start(o)
				time.Sleep(10 * time.Second)
				hider.hidden.Store(true)
				jid := w.push("Job")
				synctest.Wait()
				// The process is frozen: no beat, and the reply waits to be read.
				w.flaky.Each(func(string) storetest.Fault { return storetest.Fault{Err: errAway} })
				time.Sleep(20 * time.Second)
				if rescued {
					w.rescue(p.opt.ID)
					other := w.hold("other:1:x", 1, time.Hour)
					equal(t, "held by another", other[0].Queue, "default")
				}
				close(hider.reply)
				time.Sleep(5 * time.Second)
				equal(t, "runs before a beat", len(ran.all()), 0)
				w.flaky.Heal()
				time.Sleep(5 * time.Second)
				if rescued {
					equal(t, "runs", len(ran.all()), 0)
					equal(t, "lines that say so", w.log.count("rescued by another process"), 1)
					_, place := w.entry(jid)
					equal(t, "place", place, store.Keeping)
				} else {
					equal(t, "runs", ran.all(), map[string]int{jid: 1})
				}
				hider.hidden.Store(false)
				p.end()
			})
		})
	}
}

// rescue takes everything from a process, as its parent would that saw it die.
func (w *world) rescue(id store.Identity) {
	w.Helper()
	lost, err := w.mem.Orphans(w.Context(), 10, id)
	if err != nil {
		w.Fatal(err)
	}
	for _, l := range lost {
		if l.ID != id {
			continue
		}
		s := store.Salvage{ID: id, Cause: store.Witnessed, Seen: l.Seen}
		for _, job := range l.Jobs {
			s.Jobs = append(s.Jobs, store.Rescued{Token: job.Token, Was: job.Payload, To: store.Ready})
		}
		if _, err := w.mem.Rescue(w.Context(), s); err != nil {
			w.Fatal(err)
		}
	}
}

// hold registers a process that runs nothing, and lets it fetch.
func (w *world) hold(id store.Identity, n int, lease time.Duration) []store.Held {
	w.Helper()
	if _, err := w.mem.Beat(w.Context(), store.Presence{ID: id, State: "running"}, lease); err != nil {
		w.Fatal(err)
	}
	plan := store.Plan{Queues: []store.Share{{Queue: "default"}}}
	held, _, err := w.mem.Fetch(w.Context(), store.Call{By: id, Lane: store.LaneFetch, Seq: 1}, plan, n, 0)
	if err != nil || len(held) != n {
		w.Fatalf("fetched %d, %v; want %d", len(held), err, n)
	}
	return held
}

func TestARescuedJobLosesItsLeaseAndOthersGoOn(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		causes := make(chan error, 1)
		p := w.run(map[string]func(context.Context, *wire.Job) error{
			"Taken": func(ctx context.Context, _ *wire.Job) error {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				if err := From(ctx).Checkpoint(json.RawMessage(`1`)); !errors.Is(err, verdict.ErrLeaseLost) {
					t.Errorf("Checkpoint returned %v", err)
				}
				return nil
			},
			"Other": func(ctx context.Context, _ *wire.Job) error { time.Sleep(10 * time.Second); return ctx.Err() },
		})
		taken := w.push("Taken")
		synctest.Wait()
		w.rescue(p.opt.ID)
		w.hold("other:1:x", 1, time.Hour)
		w.push("Other")
		time.Sleep(2 * testBeat)
		if cause := <-causes; cause != verdict.ErrLeaseLost {
			t.Errorf("cause %v, want %v", cause, verdict.ErrLeaseLost)
		}
		_, place := w.entry(taken)
		equal(t, "place", place, store.Keeping)
		equal(t, "lines that say so", w.log.count("another process"), 1)
		time.Sleep(11 * time.Second)
		equal(t, "done", w.book().Done, 1)
		p.end()
	})
}

func TestAVerdictThatComesTooLateChangesNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(context.Context, *wire.Job) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}})
		jid := w.push("Job")
		synctest.Wait()
		w.rescue(p.opt.ID)
		w.hold("other:1:x", 1, time.Hour)
		time.Sleep(200 * time.Millisecond)
		equal(t, "done", w.book().Done, 0)
		equal(t, "lines that say so", w.log.count("another process"), 1)
		_, place := w.entry(jid)
		equal(t, "place", place, store.Keeping)
		p.end()
	})
}

func TestWhatAnAbandonedFetchMovedGoesBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(context.Context, *wire.Job) error { return nil }})
		time.Sleep(time.Second)
		// The reply is lost, and the process goes quiet before it can ask again.
		w.flaky.Next("Fetch", storetest.Fault{When: storetest.After, Err: errAway})
		time.Sleep(6 * time.Second) // for the fetch under way to end
		w.push("Job")
		synctest.Wait()
		p.Tell(lifecycle.Event{Kind: lifecycle.Quiet})
		synctest.Wait()
		equal(t, "held by nobody's slot", w.book().Held, 1)
		time.Sleep(3 * testBeat)
		equal(t, "waiting again", w.book().Waiting, 1)
		p.end()
	})
}

func TestATokenInAnUnansweredFetchIsNotAStray(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var ran tally
		o := w.options(map[string]func(context.Context, *wire.Job) error{"Job": func(_ context.Context, job *wire.Job) error { ran.add(job.JID); return nil }})
		hider := &hiding{Store: w.flaky, reply: make(chan struct{})}
		o.Store = hider
		p := w.start(o)
		hider.hidden.Store(true)
		jid := w.push("Job")
		time.Sleep(20 * testBeat) // the reply is slow, the beats are not
		equal(t, "given back", w.book().Requeued, 0)
		hider.hidden.Store(false)
		close(hider.reply)
		time.Sleep(time.Second)
		equal(t, "runs", ran.all(), map[string]int{jid: 1})
		p.end()
	})
}

func TestUnrecordedVerdictsAreBounded(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var ran atomic.Int64
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(context.Context, *wire.Job) error { ran.Add(1); return nil }})
		release := w.flaky.Block("Ack")
		for range 100 {
			w.push("Job")
		}
		time.Sleep(time.Second)
		equal(t, "run while no verdict is answered", ran.Load(), 20)
		release()
		time.Sleep(time.Second)
		equal(t, "done", w.book().Done, 100)
		p.end()
	})
}

func TestVerdictsTravelTogether(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		const way = 2 * time.Millisecond
		w.flaky.Each(func(method string) storetest.Fault { return storetest.Fault{Delay: way} })
		for range 1000 {
			w.push("Job")
		}
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(context.Context, *wire.Job) error { return nil }})
		time.Sleep(time.Minute)
		equal(t, "done", w.book().Done, 1000)
		// Ten slots, so a hundred of each would be perfect.
		for _, method := range []string{"Fetch", "Ack"} {
			if n := w.flaky.Calls(method); n > 140 {
				t.Errorf("%d calls of %s for 1000 jobs in ten slots", n, method)
			}
		}
		p.end()
	})
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		step := make(chan func(context.Context))
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(ctx context.Context, _ *wire.Job) error {
			for do := range step {
				do(ctx)
			}
			return errBoom
		}})
		jid := w.push("Job")
		stored := func() string {
			job, _ := w.entry(jid)
			return string(job.History.Checkpoint)
		}
		step <- func(ctx context.Context) {
			for i := range 100 {
				if err := From(ctx).Checkpoint(json.RawMessage(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			}
		}
		synctest.Wait()
		equal(t, "stored before the next beat", stored(), "")
		time.Sleep(testBeat)
		synctest.Wait()
		equal(t, "stored with the next beat", stored(), "99")
		equal(t, "calls", w.flaky.Calls("Checkpoint"), 1)
		time.Sleep(10 * testBeat)
		equal(t, "calls without another checkpoint", w.flaky.Calls("Checkpoint"), 1)

		step <- func(ctx context.Context) {
			if err := From(ctx).CheckpointNow(ctx, json.RawMessage(`"now"`)); err != nil {
				t.Error(err)
			}
			equal(t, "stored when CheckpointNow has returned", stored(), `"now"`)
			if err := From(ctx).Checkpoint(make(json.RawMessage, maxCheckpoint+1)); !errors.Is(err, ErrCheckpointSize) {
				t.Errorf("a checkpoint that is too large: %v", err)
			}
			From(ctx).Progress(wire.Progress{Done: 3, Total: 7, Note: "files"})
			if err := From(ctx).Checkpoint(json.RawMessage(`"last"`)); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		equal(t, "progress", p.Status().Busy[0].Note, "3/7 files")
		close(step)
		synctest.Wait()
		job, place := w.entry(jid)
		equal(t, "place", place, store.Retrying)
		equal(t, "checkpoint after a failure", string(job.History.Checkpoint), `"last"`)
		equal(t, "error", job.ErrorMessage, "boom")
		p.end()
	})
}

func TestAVanishedProcessIsRescued(t *testing.T) {
	t.Parallel()
	type wish struct {
		state          string
		crashes        int
		cause, reason  string
		certain        bool
		least, longest time.Duration // until the jobs run again, from the last beat of the dead
	}
	for name, tt := range map[string]wish{
		"while running":            {"running", 1, "crash", "vanished", false, testTTL, testTTL + time.Second},
		"while draining":           {"draining", 0, "deploy", "vanished while draining", false, testTTL, testTTL + time.Second},
		"where a lease is a proof": {"running", 1, "crash", "vanished", true, testTTL, testTTL + 250*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				jids := []string{w.push("Job"), w.push("Job")}
				w.hold("dead:1:x", 2, testTTL)
				if _, err := w.mem.Beat(w.Context(), store.Presence{ID: "dead:1:x", State: tt.state, Release: "v1"}, testTTL); err != nil {
					t.Fatal(err)
				}
				died := time.Now()
				var mu sync.Mutex
				var order []string
				var history []wire.History
				o := w.options(map[string]func(context.Context, *wire.Job) error{"Job": func(ctx context.Context, job *wire.Job) error {
					mu.Lock()
					defer mu.Unlock()
					order, history = append(order, job.JID), append(history, From(ctx).History())
					if since := time.Since(died); slices.Contains(jids, job.JID) && (since < tt.least || since > tt.longest) {
						t.Errorf("rescued after %v, want %v to %v", since, tt.least, tt.longest)
					}
					return nil
				}})
				o.Groups[0].Concurrency = 1
				if tt.certain {
					o.Store = sure{w.flaky}
				}
				p := w.start(o)
				later := w.push("Job")
				time.Sleep(20 * time.Second)
				p.end()
				mu.Lock()
				defer mu.Unlock()
				rescued := order
				if i := slices.Index(order, later); i >= 0 {
					rescued, history = slices.Delete(slices.Clone(order), i, i+1), slices.Delete(history, i, i+1)
				}
				equal(t, "order", rescued, jids)
				for _, h := range history {
					equal(t, "interruptions, crashes", []int{h.Interruptions, h.Crashes}, []int{1, tt.crashes})
					equal(t, "event", []string{h.Events[0].What, h.Events[0].Cause, h.Events[0].By, h.Events[1].What},
						[]string{"rescued", tt.cause, string(p.opt.ID), "resumed"})
				}
				for report, err := range w.mem.Stops(w.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					if report.ID == "dead:1:x" {
						equal(t, "report", []string{report.Reason, report.Release, string(report.By)}, []string{tt.reason, "v1", string(p.opt.ID)})
						equal(t, "fates", fates(report), map[string][]string{jids[0]: {"rescued"}, jids[1]: {"rescued"}})
					}
				}
			})
		})
	}
}

// sure is a store where a lease is a lock.
type sure struct{ store.Store }

func (s sure) Describe() store.Description {
	d := s.Store.Describe()
	d.LeaseIsLock = true
	return d
}

func TestNobodyIsRescuedInTheFirstLeaseAfterAnOutage(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		p := w.run(nil)
		w.push("Job")
		time.Sleep(time.Minute)
		w.push("Job")
		w.hold("alive:1:x", 1, testTTL)
		// The store is away for everyone, for longer than a lease.
		w.flaky.Each(func(string) storetest.Fault { return storetest.Fault{Err: errAway} })
		time.Sleep(2 * testTTL)
		w.flaky.Heal()
		// The other one takes its time to report.
		time.Sleep(testTTL - time.Second)
		equal(t, "rescued", w.book().Rescued, 0)
		if _, err := w.mem.Beat(w.Context(), store.Presence{ID: "alive:1:x"}, testTTL); err != nil {
			t.Fatal(err)
		}
		time.Sleep(testTTL - time.Second)
		equal(t, "rescued, although it beats", w.book().Rescued, 0)
		time.Sleep(3 * time.Second)
		equal(t, "rescued once it is silent", w.book().Rescued, 1)
		p.end()
	})
}

func TestWhatIsNotRecordedIsSaid(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(context.Context, *wire.Job) error {
			time.Sleep(time.Second)
			return nil
		}})
		jid := w.push("Job")
		synctest.Wait()
		w.flaky.Each(func(string) storetest.Fault { return storetest.Fault{Err: errAway} })
		p.stop()
		asked := time.Now()
		<-p.Done()
		if took := time.Since(asked); took > 30*time.Second {
			t.Errorf("took %v, longer than the grace", took)
		}
		if p.Err() == nil {
			t.Error("Run returned nil, although nothing was handed over")
		}
		equal(t, "lines that name the job", w.log.count("verdict not recorded, the job may run again\" process="+string(p.opt.ID)+" jid="+jid), 1)
		w.rescue(p.opt.ID)
	})
}
