package runner

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storetest"
	"github.com/ebbjobs/ebb/wire"
)

// Traces that broke earlier drafts of the protocol, and that the client's side of it
// keeps from happening. Those that stores keep from happening are memstore's tests.

// atOnce notes who runs a job while another does.
type atOnce struct {
	mu      sync.Mutex
	by      []store.Identity
	running int
	most    int
}

// run is a handler that takes d.
func (o *atOnce) run(d time.Duration) func(context.Context, *wire.Job) error {
	return func(ctx context.Context, _ *wire.Job) error {
		o.mu.Lock()
		o.by = append(o.by, From(ctx).Process())
		o.running++
		o.most = max(o.most, o.running)
		o.mu.Unlock()
		time.Sleep(d)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.running--
		return nil
	}
}

// check wants one run, in p.
func (o *atOnce) check(p *process) {
	p.w.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	equal(p.w.T, "ran in", o.by, []store.Identity{p.opt.ID})
	equal(p.w.T, "at once", o.most, 1)
}

// Threatened: one job runs in two processes, since the first gave it back while the
// answer that brings it was on its way.
func TestTraceASlowFetchReplyIsGivenBackAndThenBegun(t *testing.T) {
	t.Parallel()
	for name, quiet := range map[string]bool{"while it goes on": false, "gone quiet meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				var job atOnce
				handlers := map[string]func(context.Context, *wire.Job) error{"Job": job.run(10 * time.Second)}
				o := w.options(handlers)
				slow := &hiding{Store: w.flaky, reply: make(chan struct{})}
				slow.hidden.Store(true)
				o.Store = slow
				first := w.start(o)
				w.push("Job")
				synctest.Wait() // it is moved, and the reply on its way
				second := w.run(handlers)
				if quiet {
					first.Tell(lifecycle.Event{Kind: lifecycle.Quiet})
				}
				time.Sleep(20 * testBeat)
				close(slow.reply)
				time.Sleep(15 * time.Second)
				runner := first
				if quiet {
					runner = second
				}
				job.check(runner)
				equal(t, "done", w.book().Done, 1)
				first.end()
				second.end()
			})
		})
	}
}

// Threatened: one job runs in two processes, since the first was frozen past its
// lease between the fetch and its reply.
func TestTraceAFetchAcrossAGapIsBegun(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var job atOnce
		handlers := map[string]func(context.Context, *wire.Job) error{"Job": job.run(30 * time.Second)}
		o := w.options(handlers)
		slow := &hiding{Store: w.flaky, reply: make(chan struct{})}
		slow.hidden.Store(true)
		o.Store = slow
		first := w.start(o)
		o = w.options(handlers)
		o.Store = w.mem
		second := w.start(o)
		if err := second.Notice(lifecycle.Event{Kind: lifecycle.Quiet}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * testTTL)
		w.push("Job")
		synctest.Wait()
		w.flaky.Each(func(string) storetest.Fault { return storetest.Fault{Err: errAway} })
		if err := second.Notice(lifecycle.Event{Kind: lifecycle.Resume}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(testTTL + 2*time.Second)
		job.check(second)
		close(slow.reply)
		time.Sleep(2 * time.Second)
		w.flaky.Heal()
		time.Sleep(30 * time.Second)
		job.check(second)
		first.end()
		second.end()
	})
}

// Threatened: a process that lives is rescued from, since a suspicion comes when its
// doorbell is back already and no beat is due because of it.
func TestTraceASuspicionComesAfterTheDoorbellIsBack(t *testing.T) {
	t.Parallel()
	const step = testBeat / 15
	for late := time.Duration(0); late < testBeat; late += step {
		inWorld(t, func(w *world) {
			o := w.options(nil)
			seen := &renewals{seeing: seeing{Store: w.flaky}}
			o.Store = seen
			p := w.start(o)
			time.Sleep(10*testBeat + late)
			for range 3 {
				if err := w.mem.Suspect(w.Context(), p.opt.ID, seen.presence().Suspicion); err != nil {
					t.Fatal(err)
				}
				time.Sleep(testBeat + step)
			}
			time.Sleep(testBeat)
			if n := seen.count(); n != 1 {
				t.Errorf("suspected %v after a beat, its lease ended %d times while it lived", late, n-1)
			}
			p.end()
		})
	}
}

// renewals counts the beats that found no lease, and delays their answers.
type renewals struct {
	seeing
	mu sync.Mutex
	n  int
}

func (r *renewals) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	orders, err := r.seeing.Beat(ctx, p, ttl)
	sleep(ctx, beatReply)
	if orders.Renewed {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.n++
	}
	return orders, err
}

func (r *renewals) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// Threatened: a verdict whose reply was lost is repeated when the store remembers a
// later call, a give-back, and is refused, so that nobody knows what became of it.
func TestTraceAGiveBackOverwritesTheVerdictCache(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		finish := make(chan struct{})
		o := w.options(map[string]func(context.Context, *wire.Job) error{
			"Job": func(context.Context, *wire.Job) error { <-finish; return nil },
		})
		o.Poll = 500 * time.Millisecond
		p := w.start(o)
		w.push("Job")
		time.Sleep(2*o.Poll + o.Poll/5)
		// A job is fetched that the process never hears of.
		w.flaky.Next("Fetch", storetest.Fault{When: storetest.After, Err: errAway})
		time.Sleep(o.Poll)
		stray := w.push("Job")
		synctest.Wait()
		p.Tell(lifecycle.Event{Kind: lifecycle.Quiet})
		// The other one ends, and for a while no reply to its ack arrives.
		heard := time.Now().Add(4 * testBeat)
		w.flaky.Each(func(method string) storetest.Fault {
			if method == "Ack" && time.Now().Before(heard) {
				return storetest.Fault{When: storetest.After, Err: errAway}
			}
			return storetest.Fault{}
		})
		close(finish)
		time.Sleep(3 * testBeat) // two beats have told of the stray
		if n := w.flaky.Calls("Requeue"); n != 0 {
			t.Errorf("%d give-backs while an ack was on its way", n)
		}
		time.Sleep(10 * time.Second)
		_, place := w.entry(stray)
		equal(t, "place of the stray", place, store.Ready)
		equal(t, "done", w.book().Done, 1)
		equal(t, "verdicts that were given up", p.unrecorded.Load(), 0)
		p.end()
	})
}
