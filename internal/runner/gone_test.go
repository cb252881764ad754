package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storetest"
	"github.com/ebbjobs/ebb/wire"
)

// ended is what the store remembers of jobs that left it, the first one first.
func (w *world) ended() []store.Ended {
	w.Helper()
	var all []store.Ended
	for e, err := range w.mem.Ended(w.Context(), "") {
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, e)
	}
	slices.Reverse(all)
	return all
}

func TestJobsThatLeftTheStoreAreTold(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		began := time.Now()
		again := true
		o := w.options(map[string]func(context.Context, *wire.Job) error{
			"Good":    func(context.Context, *wire.Job) error { time.Sleep(3 * time.Second); return nil },
			"Dropped": func(context.Context, *wire.Job) error { return &verdict.Discard{Err: errBoom} },
			"Bad":     func(context.Context, *wire.Job) error { return errBoom },
			"Snoozed": func(context.Context, *wire.Job) error {
				if again {
					again = false
					return &verdict.Snooze{D: time.Second}
				}
				return nil
			},
		})
		o.Self.Release = "r1"
		o.Groups[0].Concurrency = 1 // they end in their order
		late := w.push("Good", func(n *wire.New) { n.History.Expires = began.Add(-time.Second) })
		dropped := w.push("Dropped", func(n *wire.New) {
			n.Queue, n.CreatedAt, n.EnqueuedAt = "default", began.Add(-time.Hour), began.Add(-time.Minute)
		})
		w.push("Bad") // stays: it is to be tried again
		good, snoozed := w.push("Good"), w.push("Snoozed")
		p := w.start(o)
		time.Sleep(10 * time.Second)
		want := []store.Ended{
			{JID: late, Kind: "Good", Attempt: 1, At: began, Outcome: store.Expired},
			{JID: dropped, Kind: "Dropped", Attempt: 1, Created: began.Add(-time.Hour), Ready: began.Add(-time.Minute), Began: began, At: began, Outcome: store.Discarded},
			{JID: good, Kind: "Good", Attempt: 1, Began: began, At: began.Add(3 * time.Second)},
			{JID: snoozed, Kind: "Snoozed", Attempt: 1, Ready: began.Add(4 * time.Second), Began: began.Add(4 * time.Second), At: began.Add(4 * time.Second)},
		}
		got := w.ended()
		for i := range want {
			want[i].Queue, want[i].By, want[i].Release = "default", o.ID, "r1"
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Ended{}, "Log"), cmpopts.EquateApproxTime(200*time.Millisecond)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(got) == 4 {
			var h wire.History
			if err := h.UnmarshalJSON(fmt.Appendf(nil, `{"log":%s}`, got[3].Log)); err != nil || len(h.Events) != 1 || h.Events[0].What != "snoozed" {
				t.Errorf("the log of the last is %s, %v", got[3].Log, err)
			}
			if got[2].Log != nil {
				t.Errorf("a job to which nothing happened has the log %s", got[2].Log)
			}
		}
		// What no beat has told goes with the goodbye.
		last := w.push("Good")
		time.Sleep(time.Millisecond)
		p.end()
		if got := w.ended(); len(got) != 5 || got[4].JID != last {
			t.Errorf("in the end %d jobs are told", len(got))
		}
	})
}

// What a beat has told whose answer was lost is told again, and counts once.
func TestJobsThatLeftAreToldUntilTheBeatIsAnswered(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Good": func(context.Context, *wire.Job) error { return nil }})
		time.Sleep(time.Second)
		w.flaky.Fail("Beat", storetest.After, errors.New("reply lost"), 2)
		w.flaky.Fail("Beat", storetest.Before, errors.New("away"), 1)
		for range 5 {
			w.push("Good")
			time.Sleep(testBeat)
		}
		time.Sleep(5 * testBeat)
		if n := len(w.ended()); n != 5 {
			t.Errorf("%d jobs are told of 5", n)
		}
		if n := len(p.gone.untold()); n != 0 {
			t.Errorf("%d jobs would be told again", n)
		}
		p.end()
	})
}

func TestJobsThatLeftAreBounded(t *testing.T) {
	t.Parallel()
	var g gone
	r := &Runner{}
	for i := range 3 * maxGone {
		g.add(&entry{move: ack, attempt: &Attempt{runner: r, job: &wire.Job{JID: fmt.Sprint(i)}}})
	}
	jobs := g.untold()
	if first, last := jobs[0], jobs[len(jobs)-1]; len(jobs) != maxGone || first.JID != "400" || last.JID != "599" || last.Number != 600 {
		t.Errorf("%d jobs, from %s to %s, which is number %d", len(jobs), first.JID, last.JID, last.Number)
	}
	g.answered(600)
	g.answered(500) // an older answer takes nothing back
	if jobs := g.untold(); jobs != nil {
		t.Errorf("%d jobs are told again", len(jobs))
	}
}

func TestLogsThatAreToldAreBounded(t *testing.T) {
	t.Parallel()
	var h wire.History
	for i := range 20 {
		h.Add(wire.Event{At: time.Unix(int64(i), 0), What: "interrupted", Cause: strings.Repeat("c", 200), By: strings.Repeat("b", 200), Note: fmt.Sprint(i)})
	}
	a := &Attempt{history: h}
	var told wire.History
	text := a.log()
	if err := told.UnmarshalJSON(fmt.Appendf(nil, `{"log":%s}`, text)); err != nil || len(text) > maxLog || len(text) < maxLog*3/4 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	if first, last := told.Events[0].Note, told.Events[len(told.Events)-1].Note; first != "0" || last != "19" || len(h.Events) != 20 {
		t.Errorf("from %s to %s", first, last)
	}
	a.history.Events = []wire.Event{{What: "odd", Extra: []wire.Field{{Key: "x", Value: fmt.Appendf(nil, "%q", strings.Repeat("x", maxLog))}}}}
	if text := a.log(); text != nil {
		t.Errorf("%d bytes", len(text))
	}
}

func TestTurnsAreTold(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		o := w.options(map[string]func(context.Context, *wire.Job) error{
			"Long": func(ctx context.Context, _ *wire.Job) error { time.Sleep(5 * time.Second); return nil },
		})
		l := &listener{Store: o.Store}
		o.Store = l
		began := time.Now()
		p := w.start(o)
		told := func(want ...store.Turn) {
			t.Helper()
			time.Sleep(testBeat)
			l.mu.Lock()
			defer l.mu.Unlock()
			if diff := cmp.Diff(want, l.beats[len(l.beats)-1].Turns, cmpopts.EquateApproxTime(10*time.Millisecond)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		turn := func(state string, after time.Duration) store.Turn {
			return store.Turn{State: state, At: began.Add(after)}
		}
		running := turn("running", 0)
		told(running)
		l.mu.Lock()
		if len(l.beats[0].Turns) != 1 {
			t.Errorf("the first beat tells %v", l.beats[0].Turns)
		}
		l.mu.Unlock()
		p.Tell(lifecycle.Event{Kind: lifecycle.Quiet})
		told(running, turn("quiet", testBeat))
		p.Tell(lifecycle.Event{Kind: lifecycle.Resume})
		told(turn("running", 2*testBeat))
		p.Tell(lifecycle.Event{Kind: lifecycle.Quiet})
		time.Sleep(testBeat)
		p.Tell(lifecycle.Event{Kind: lifecycle.Resume})
		w.push("Long")
		time.Sleep(testBeat)
		p.Tell(lifecycle.Event{Kind: lifecycle.Quiet})
		time.Sleep(testBeat)
		p.stop()
		told(turn("running", 4*testBeat), turn("quiet", 5*testBeat), turn("draining", 6*testBeat))
		<-p.Done()
	})
}

func TestWastedWorkIsTold(t *testing.T) {
	t.Parallel()
	for name, mark := range map[string]time.Duration{"all of it": 0, "since the checkpoint": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				p := w.run(map[string]func(context.Context, *wire.Job) error{
					"Cut": func(ctx context.Context, _ *wire.Job) error {
						if mark > 0 {
							time.Sleep(mark)
							if err := From(ctx).Checkpoint([]byte("1")); err != nil {
								return err
							}
						}
						<-ctx.Done()
						return ctx.Err()
					},
					"Done": func(context.Context, *wire.Job) error { time.Sleep(20 * time.Second); return nil },
				})
				cut := w.push("Cut")
				w.push("Done")
				time.Sleep(10 * time.Second)
				report := p.end() // contexts end 27 s later
				if len(report.Jobs) != 2 {
					t.Fatalf("fates: %+v", report.Jobs)
				}
				for _, f := range report.Jobs {
					want := time.Duration(0)
					if f.JID == cut {
						want = 37*time.Second - mark
					}
					if got := f.Wasted.Round(time.Second); got != want {
						t.Errorf("%s %s: %v wasted, want %v", f.Kind, f.Fate, got, want)
					}
				}
			})
		})
	}
}
