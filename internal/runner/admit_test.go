package runner

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// A job that was fetched begins when it is let in, and counts as in flight from the
// fetch on.
func TestJobsBeginWhenTheyAreLetIn(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		began := make(chan struct{})
		o := w.options(map[string]func(context.Context, *wire.Job) error{
			"Short": func(context.Context, *wire.Job) error { close(began); return nil },
		})
		let := make(chan struct{})
		o.Admit = func(ctx context.Context) {
			select {
			case <-let:
			case <-ctx.Done():
			}
		}
		p := w.start(o)
		w.push("Short")
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case <-began:
			t.Error("the job has begun")
		default:
		}
		equal(t, "in flight", p.InFlight(), 1)
		close(let)
		<-began
		p.end()
		equal(t, "done", w.book().Done, 1)
	})
}

// A stop does not wait for jobs to be let in: they go back, and nobody has seen them.
func TestAStopGivesBackWhatWasNotLetIn(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		o := w.options(map[string]func(context.Context, *wire.Job) error{
			"Short": func(context.Context, *wire.Job) error { t.Error("the job has begun"); return nil },
		})
		o.Admit = func(ctx context.Context) { <-ctx.Done() }
		p := w.start(o)
		jid := w.push("Short")
		time.Sleep(time.Second)
		p.end()
		if job, place := w.entry(jid); place != store.Ready || job.History.Interruptions != 0 {
			t.Errorf("the job is %v: %+v", place, job)
		}
	})
}
