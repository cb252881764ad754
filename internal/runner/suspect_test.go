package runner

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// suspected is the history of a job that its rescuers suspect.
func suspected(n *wire.New) {
	n.History = wire.History{Interruptions: 2, Crashes: 2, Suspect: true}
	for i, at := range []int64{1795289600, 1795289700} {
		n.History.Events = append(n.History.Events, wire.Event{At: time.Unix(at, 0).UTC(), What: "rescued", Cause: "crash", Note: "gone", Alone: i > 0})
	}
}

// Of two suspects and their neighbours a process runs all but one suspect, which waits
// elsewhere, as it was and unbilled, until the other has returned.
func TestOneSuspectAtATime(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		begun, proceed := make(chan string, 10), make(chan struct{})
		first, second := w.push("Job", suspected), w.push("Job", suspected)
		neighbour := w.push("Job")
		payload := func(jid string) string {
			job, _ := w.entry(jid)
			return string(job.Payload())
		}
		before := payload(second)
		p := w.run(map[string]func(context.Context, *wire.Job) error{
			"Job": func(_ context.Context, job *wire.Job) error {
				begun <- job.JID
				<-proceed
				return nil
			},
		})
		ran := map[string]bool{<-begun: true, <-begun: true}
		if !ran[neighbour] {
			t.Errorf("began %v: the neighbour waits", ran)
		}
		if !ran[first] {
			first, second = second, first
			before = payload(second)
		}
		for range 20 {
			time.Sleep(3 * time.Second)
			if len(begun) > 0 {
				t.Fatal("two suspects run at once")
			}
			if _, place := w.entry(second); place != store.Scheduled && place != store.Ready && place != store.Keeping {
				t.Fatalf("the other suspect is %v", place)
			}
		}
		equal(t, "lines that it waits", w.log.count("another suspect runs here"), 1)
		if n := w.book().Retried; n < 10 || n > 30 {
			t.Errorf("given back %d times in a minute", n)
		}
		job, place := w.entry(second)
		var stamp wire.Patch
		stamp.Delete("enqueued_at")
		if place != store.Scheduled || string(job.With(&stamp)) != before {
			t.Errorf("%v, and the payload is\n%s, was\n%s", place, job.Payload(), before)
		}
		close(proceed)
		equal(t, "the next to begin", <-begun, second)
		time.Sleep(time.Second)
		equal(t, "done", w.book().Done, 3)
		equal(t, "failed", w.stats().Failed, 0)
		p.end()
	})
}

// A suspect that has run for long is in nobody's way, and its payload says so.
func TestSuspectsSettle(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		type beginning struct {
			jid string
			at  time.Time
		}
		begun, proceed := make(chan beginning, 2), make(chan struct{})
		handlers := map[string]func(context.Context, *wire.Job) error{
			"Job": func(ctx context.Context, job *wire.Job) error {
				begun <- beginning{job.JID, time.Now()}
				select {
				case <-proceed:
				case <-ctx.Done():
				}
				return context.Cause(ctx)
			},
		}
		w.push("Job", suspected)
		w.push("Job", suspected)
		p := w.run(handlers)
		began := time.Now()
		first := (<-begun).jid
		time.Sleep(settles + 3*crowdedDelay)
		var next beginning
		select {
		case next = <-begun:
		default:
			t.Fatal("the second suspect waits for ever")
		}
		if waited := next.at.Sub(began); waited < settles || waited > settles+2*crowdedDelay {
			t.Errorf("the second suspect began after %v, want %v", waited, settles)
		}
		if job, _ := w.entry(first); !job.History.Settled || !job.History.Suspect {
			t.Errorf("the first is %s", job.Payload())
		}
		if job, _ := w.entry(next.jid); job.History.Settled {
			t.Errorf("the second is %s", job.Payload())
		}
		p.end()
		for _, jid := range []string{first, next.jid} { // both begin anew
			if job, place := w.entry(jid); place != store.Ready || job.History.Settled || !job.History.Suspect {
				t.Errorf("after a stop: %v: %s", place, job.Payload())
			}
		}
	})
}

func TestWhoHasReturnedIsNoSuspect(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		run  func(context.Context) error
		want bool
	}{
		"an error":       {run: func(context.Context) error { return errBoom }},
		"a panic":        {run: func(context.Context) error { panic("ouch") }},
		"Goexit":         {run: func(context.Context) error { runtime.Goexit(); return nil }},
		"Bury":           {run: func(context.Context) error { return &verdict.Bury{Err: errBoom} }},
		"Snooze":         {run: func(context.Context) error { return &verdict.Snooze{D: time.Hour} }},
		"ErrYield":       {run: func(context.Context) error { time.Sleep(10 * time.Millisecond); return verdict.ErrYield }},
		"an interrupted": {run: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				jid := w.push("Job", suspected)
				p := w.run(map[string]func(context.Context, *wire.Job) error{
					"Job": func(ctx context.Context, _ *wire.Job) error { return tt.run(ctx) },
				})
				time.Sleep(500 * time.Millisecond)
				p.end()
				job, place := w.entry(jid)
				if job == nil {
					t.Fatalf("the job is nowhere: %v", place)
				}
				var rescued []wire.Event
				for _, e := range job.History.Events {
					if e.What == "rescued" {
						rescued = append(rescued, e)
					}
				}
				var n wire.New
				suspected(&n)
				equal(t, "suspect", job.History.Suspect, tt.want)
				equal(t, "earlier crashes", rescued, n.History.Events)
			})
		})
	}
}
