package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
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

// told is what a job saw of a stop, in time since it was asked for.
type told struct {
	soft, hard, kill time.Duration
	cause            error
}

// A stop of 30 s grace has a reserve of 3 s: contexts end at 27 s, deaf jobs are
// given up at 29 s.
func TestStop(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var mu sync.Mutex // of all that follows
		var asked time.Time
		saw := map[string]*told{"Listens": {}, "Checkpoints": {}, "Deaf": {}, "Short": {}}
		running := map[string]int{}
		double := 0
		enter := func(job *wire.Job) func() {
			mu.Lock()
			defer mu.Unlock()
			running[job.JID]++
			if running[job.JID] > 1 {
				double++
			}
			return func() {
				mu.Lock()
				defer mu.Unlock()
				running[job.JID]--
			}
		}
		follow := func(ctx context.Context, job *wire.Job) {
			soft, _ := From(ctx).Stopping()
			<-soft
			mu.Lock()
			_, kill := From(ctx).Stopping()
			saw[job.Kind].soft, saw[job.Kind].kill = time.Since(asked), kill.Sub(asked)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			saw[job.Kind].hard, saw[job.Kind].cause = time.Since(asked), context.Cause(ctx)
			mu.Unlock()
		}
		resumed := map[string]string{}
		handlers := map[string]func(context.Context, *wire.Job) error{
			"Short": func(ctx context.Context, job *wire.Job) error {
				defer enter(job)()
				time.Sleep(12 * time.Second)
				return nil
			},
			"Listens": func(ctx context.Context, job *wire.Job) error {
				defer enter(job)()
				follow(ctx, job)
				return ctx.Err()
			},
			"Checkpoints": func(ctx context.Context, job *wire.Job) error {
				defer enter(job)()
				if err := From(ctx).Checkpoint(json.RawMessage(`"before"`)); err != nil {
					return err
				}
				follow(ctx, job)
				if err := From(ctx).Checkpoint(json.RawMessage(`"at the end"`)); err != nil {
					return err
				}
				return errors.New("signal: killed") // as many libraries say it
			},
			"Deaf": func(ctx context.Context, job *wire.Job) error {
				defer enter(job)()
				follow(ctx, job)
				time.Sleep(time.Hour)
				return nil
			},
		}
		o := w.options(handlers)
		first := w.start(o)
		jids := map[string]string{}
		for kind := range saw {
			jids[kind] = w.push(kind)
		}
		time.Sleep(10 * time.Second)
		mu.Lock()
		asked = time.Now()
		mu.Unlock()
		first.Tell(lifecycle.Event{Kind: lifecycle.Stop, Why: "SIGTERM"})
		<-first.Done()
		if err := first.Err(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		equal(t, "when it was gone", time.Since(asked), 29*time.Second)

		mu.Lock()
		want := told{hard: 27 * time.Second, kill: 30 * time.Second, cause: verdict.ErrDraining}
		for _, kind := range []string{"Listens", "Checkpoints", "Deaf"} {
			if *saw[kind] != want {
				t.Errorf("%s was told %+v, want %+v", kind, *saw[kind], want)
			}
		}
		// A real process is gone with its deaf job by now.
		running[jids["Deaf"]] = 0
		mu.Unlock()
		report := w.stopReport()
		equal(t, "reason", report.Reason, "SIGTERM")
		equal(t, "grace", report.Grace, 30*time.Second)
		equal(t, "fates", fates(report), map[string][]string{
			jids["Short"]: {"finished"}, jids["Listens"]: {"handed back"}, jids["Checkpoints"]: {"checkpointed"}, jids["Deaf"]: {"deaf"},
		})
		var phases []string
		for _, p := range report.Phases {
			phases = append(phases, fmt.Sprint(p.Name, " ", p.Took, " ", p.InFlight))
		}
		equal(t, "phases", phases, []string{"draining 27s 4", "end jobs 2s 3", "leave 0s 1"})
		for _, kind := range []string{"Listens", "Checkpoints"} {
			job, place := w.entry(jids[kind])
			equal(t, kind+": place", place, store.Ready)
			equal(t, kind+": retry_count", job.Count, -1)
			equal(t, kind+": interruptions", job.History.Interruptions, 1)
			last := job.History.Events[len(job.History.Events)-1]
			equal(t, kind+": event", []string{last.What, last.Cause, last.By, last.Note},
				[]string{"interrupted", "deploy", string(first.opt.ID), "SIGTERM"})
		}
		job, _ := w.entry(jids["Checkpoints"])
		equal(t, "checkpoint", string(job.History.Checkpoint), `"at the end"`)

		// The next process finds the deaf job without waiting for a lease to end.
		second := w.run(map[string]func(context.Context, *wire.Job) error{
			"Listens": func(ctx context.Context, job *wire.Job) error { defer enter(job)(); return nil },
			"Checkpoints": func(ctx context.Context, job *wire.Job) error {
				defer enter(job)()
				mu.Lock()
				defer mu.Unlock()
				resumed["at"] = string(From(ctx).History().Checkpoint)
				return nil
			},
			"Deaf": func(ctx context.Context, job *wire.Job) error {
				defer enter(job)()
				h := From(ctx).History()
				mu.Lock()
				defer mu.Unlock()
				resumed["deaf"] = fmt.Sprint(h.Interruptions, h.Crashes, From(ctx).Number())
				return nil
			},
		})
		time.Sleep(2 * time.Second)
		mu.Lock()
		equal(t, "resumed from", resumed["at"], `"at the end"`)
		equal(t, "what the deaf job remembers", resumed["deaf"], "1 0 1")
		equal(t, "done", w.book().Done, 4)
		equal(t, "run twice at once", double, 0)
		mu.Unlock()
		second.end()
		time.Sleep(2 * time.Hour) // the deaf one wakes, and finds nobody
	})
}

func TestAnEmbeddedDeafJobStaysHeld(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var runs atomic.Int64
		handlers := map[string]func(context.Context, *wire.Job) error{"Deaf": func(ctx context.Context, job *wire.Job) error {
			if runs.Add(1) > 1 {
				return nil
			}
			time.Sleep(5 * time.Minute)
			return errors.New("too late")
		}}
		o := w.options(handlers)
		o.Embedded = true
		first := w.start(o)
		jid := w.push("Deaf")
		synctest.Wait()
		second := w.run(handlers)
		first.Tell(lifecycle.Event{Kind: lifecycle.Stop, Why: "Drain was called"})
		<-first.Reported()
		equal(t, "fates told", fates(first.Report()), map[string][]string{jid: {"deaf"}})
		select {
		case <-first.Done():
			t.Error("left, although a job runs")
		default:
		}
		time.Sleep(4 * time.Minute)
		_, place := w.entry(jid)
		equal(t, "place, long after the lease would have ended", place, store.Keeping)
		equal(t, "runs", runs.Load(), 1)
		<-first.Done()
		time.Sleep(time.Second)
		equal(t, "done", w.book().Done, 1)
		equal(t, "runs in the end", runs.Load(), 2)
		equal(t, "fates in the end", fates(w.stopReport()), map[string][]string{jid: {"deaf", "handed back"}})
		second.end()
	})
}

func TestAnIdleProcessStopsAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		p := w.run(nil)
		time.Sleep(time.Minute + 300*time.Millisecond)
		asked := time.Now()
		p.end()
		equal(t, "took", time.Since(asked), 0)
		processes, err := w.mem.Processes(w.Context())
		if err != nil || len(processes) > 0 {
			t.Errorf("processes %v, %v; want none", processes, err)
		}
		equal(t, "reason", w.stopReport().Reason, "context ended")
	})
}

func TestQuietAndResume(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var ran atomic.Int64
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(context.Context, *wire.Job) error {
			ran.Add(1)
			time.Sleep(10 * time.Second)
			return nil
		}})
		w.push("Job")
		time.Sleep(time.Second)
		for range 2 { // the second changes nothing
			if err := p.Notice(lifecycle.Event{Kind: lifecycle.Quiet, Why: "SIGTSTP"}); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "state", p.Status().State, "quiet")
		equal(t, "busy", len(p.Status().Busy), 1)
		w.push("Job")
		time.Sleep(time.Minute)
		equal(t, "done while quiet", w.book().Done, 1)
		equal(t, "ran while quiet", ran.Load(), 1)
		if err := p.Notice(lifecycle.Event{Kind: lifecycle.Resume}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		equal(t, "done", w.book().Done, 2)
		p.end()
		if err := p.Notice(lifecycle.Event{Kind: lifecycle.Quiet}); err == nil {
			t.Error("a process that has ended took a notice")
		}
	})
}

func TestCommandsFromTheStore(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		cause := make(chan error, 1)
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(ctx context.Context, _ *wire.Job) error {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return ctx.Err()
		}})
		jid := w.push("Job")
		time.Sleep(time.Second)
		command := func(c store.Command) {
			t.Helper()
			if err := w.mem.Command(w.Context(), p.opt.ID, c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * testBeat)
		}
		command(store.Command{Verb: store.Cancel, JID: "another"})
		equal(t, "still running", len(p.Status().Busy), 1)
		command(store.Command{Verb: store.Cancel, JID: jid})
		if got := <-cause; got != verdict.ErrCanceled {
			t.Errorf("cause %v, want %v", got, verdict.ErrCanceled)
		}
		equal(t, "discarded", w.book().Discarded, 1)
		command(store.Command{Verb: store.Quiet})
		equal(t, "state", p.Status().State, "quiet")
		command(store.Command{Verb: store.Resume})
		equal(t, "state", p.Status().State, "running")
		command(store.Command{Verb: store.Stop})
		<-p.Done()
		equal(t, "reason", w.stopReport().Reason, "stop command")
	})
}

func TestYieldDuringAStopGoesToTheFront(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(ctx context.Context, _ *wire.Job) error {
			soft, _ := From(ctx).Stopping()
			<-soft
			return verdict.ErrYield
		}})
		jid := w.push("Job")
		time.Sleep(time.Second)
		asked := time.Now()
		p.end()
		equal(t, "took", time.Since(asked), 0)
		job, place := w.entry(jid)
		equal(t, "place", place, store.Ready)
		equal(t, "interruptions", job.History.Interruptions, 0)
	})
}

func TestWhatAJobReturnsDuringAStop(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		returns func(ctx context.Context) error
		fate    string
	}{
		"nil":                  {func(context.Context) error { return nil }, "finished"},
		"the context's error":  {func(ctx context.Context) error { return ctx.Err() }, "handed back"},
		"its cause":            {func(ctx context.Context) error { return context.Cause(ctx) }, "handed back"},
		"what a library made":  {func(ctx context.Context) error { return &fs.PathError{Op: "read", Path: "pipe", Err: errBoom} }, "handed back"},
		"a snooze":             {func(context.Context) error { return &verdict.Snooze{D: time.Minute} }, "snoozed"},
		"a discard":            {func(context.Context) error { return &verdict.Discard{Err: errBoom} }, "discarded"},
		"nothing, but a panic": {func(context.Context) error { panic("ouch") }, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(ctx context.Context, _ *wire.Job) error {
					<-ctx.Done()
					return tt.returns(ctx)
				}})
				jid := w.push("Job")
				time.Sleep(time.Second)
				report := p.end()
				equal(t, "fates", fates(report), map[string][]string{jid: {tt.fate}})
			})
		})
	}
}

func TestNobodySaysWhatIsInArguments(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		p := w.run(map[string]func(context.Context, *wire.Job) error{
			"Job":   func(context.Context, *wire.Job) error { return nil },
			"Fails": func(context.Context, *wire.Job) error { return errBoom },
		})
		for _, kind := range []string{"Job", "Fails", "Unknown"} {
			w.push(kind)
		}
		time.Sleep(time.Second)
		dump := p.Dump()
		p.end()
		equal(t, "arguments logged", w.log.count("9007199254740993")+strings.Count(dump, "9007199254740993"), 0)
	})
}

func TestEventsBeforeRun(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r, err := New(w.options(nil))
		if err != nil {
			t.Fatal(err)
		}
		r.Tell(lifecycle.Event{Kind: lifecycle.Quiet})
		r.Tell(lifecycle.Event{Kind: lifecycle.Stop, Why: "early"})
		if err := r.Run(w.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "reason", r.Report().Reason, "early")
	})
}

func TestAStopWhileTheStoreIsNotThereYet(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.flaky.Each(func(string) storetest.Fault { return storetest.Fault{Err: errAway} })
		p := w.run(nil)
		time.Sleep(time.Hour)
		equal(t, "lines that say so", w.log.count("store does not answer"), 1)
		p.Tell(lifecycle.Event{Kind: lifecycle.Stop, Why: "SIGTERM"})
		asked := time.Now()
		<-p.Done()
		equal(t, "took", time.Since(asked), 0)
		if err := p.Err(); err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestAStoreThatRefusesEndsRun(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{store.ErrReadOnly, store.ErrClosed, store.ErrTooNew} {
		t.Run(refusal.Error(), func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.flaky.Fail("Beat", 0, refusal, 1)
				r, err := New(w.options(nil))
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Run(w.Context()); !errors.Is(err, refusal) {
					t.Errorf("Run returned %v, want %v", err, refusal)
				}
			})
		})
	}
}

func TestGroupsHaveSlotsOfTheirOwn(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var mu sync.Mutex
		now, most := map[string]int{}, map[string]int{}
		o := w.options(map[string]func(context.Context, *wire.Job) error{"Job": func(ctx context.Context, job *wire.Job) error {
			queue := From(ctx).Queue()
			mu.Lock()
			defer mu.Unlock()
			now[queue]++
			most[queue] = max(most[queue], now[queue])
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			now[queue]--
			return nil
		}})
		o.Groups = []store.Group{
			{Name: "wide", Concurrency: 7, Queues: []store.Share{{Queue: "default"}, {Queue: "low"}}},
			{Name: "narrow", Strict: true, Concurrency: 2, Queues: []store.Share{{Queue: "walk"}}},
		}
		for range 50 {
			w.push("Job")
			w.push("Job", func(n *wire.New) { n.Queue = "walk" })
		}
		p := w.start(o)
		synctest.Wait()
		slots := []string{}
		for _, run := range p.Status().Busy {
			slots = append(slots, run.Slot)
		}
		slices.Sort(slots)
		equal(t, "slots", slots, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"})
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		equal(t, "at once", most, map[string]int{"default": 7, "walk": 2})
		equal(t, "done", w.stats().Processed, 100)
		p.end()
	})
}
