package runner

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

func TestForeignJobsComeBackOneByOne(t *testing.T) {
	t.Parallel()
	var f foreign
	now := time.Unix(1795289592, 0)
	for i := range 200 {
		equal(t, fmt.Sprintf("delay of job %d", i), f.delay(now), foreignLeast+time.Duration(i)*foreignGap)
	}
	for range 5000 {
		if d := f.delay(now); d < foreignLeast || d > foreignMost {
			t.Fatalf("a delay of %v", d)
		}
	}
	equal(t, "delay after a while", f.delay(now.Add(time.Minute)), foreignLeast)
}

// What goes to a set says the queue it lay in, whatever it said before.
func TestSetsAreToldTheQueue(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err   error
		place store.Place
	}{
		"failed":  {errBoom, store.Retrying},
		"buried":  {&verdict.Bury{Err: errBoom}, store.Dead},
		"snoozed": {&verdict.Snooze{D: time.Hour}, store.Scheduled},
		"yielded": {verdict.ErrYield, store.Scheduled},
		"foreign": {errForeign, store.Scheduled},
		"crowded": {errCrowded, store.Scheduled},
	} {
		for said, queue := range map[string]string{"another": "there", "none": "", "its own": "default"} {
			t.Run(name+", it says "+said, func(t *testing.T) {
				t.Parallel()
				inWorld(t, func(w *world) {
					p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(context.Context, *wire.Job) error { return tt.err }})
					n := wire.New{Kind: "Job", JID: "j", Queue: queue, Args: []byte("[]")}
					payload := n.Append(nil)
					_, err := w.mem.Push(w.Context(), store.Call{}, store.Item{JID: "j", Queue: "default", Kind: "Job", Payload: payload})
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(100 * time.Millisecond)
					job, place := w.entry("j")
					equal(t, "place", place, tt.place)
					equal(t, "queue", job.Queue, "default")
					if tt.err == errForeign && queue == "default" {
						equal(t, "payload", string(job.Payload()), string(payload))
					}
					p.end()
				})
			})
		}
	}
}

func TestActiveJobs(t *testing.T) {
	t.Parallel()
	const wrapper = "Sidekiq::ActiveJob::Wrapper"
	for name, tt := range map[string]struct {
		kinds []string
		want  string
	}{
		"its own handler":       {[]string{"Report"}, `Report [7]`},
		"the wrapper's handler": {[]string{"Report", wrapper}, wrapper + ` [{"job_class":"Report","arguments":[7]}]`},
		"none":                  {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				var got string
				o := w.options(nil)
				o.Store = shared{w.flaky}
				for _, kind := range tt.kinds {
					o.Handlers[kind] = &Handler{Run: func(_ context.Context, job *wire.Job) error {
						got = job.Kind + " " + string(job.Args)
						return nil
					}}
				}
				p := w.start(o)
				w.push(wrapper, func(n *wire.New) {
					n.Wrapped, n.Args = "Report", []byte(`[{"job_class":"Report","arguments":[7]}]`)
				})
				time.Sleep(100 * time.Millisecond)
				p.end()
				equal(t, "run", got, tt.want)
				if tt.kinds == nil {
					equal(t, "warnings that name the class", w.log.count("kind=Report"), 1)
				}
			})
		})
	}
}
