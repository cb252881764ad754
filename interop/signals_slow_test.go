//go:build slow

package interop

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	"github.com/ebbjobs/ebb/store"
)

// oftenBeating makes heartbeats come every 0.3 s, not every five. One that has taken a
// signal is not the one that shows its effect: that is the next.
const oftenBeating = `
require "sidekiq/launcher"
Sidekiq::Launcher.send(:remove_const, :BEAT_PAUSE)
Sidekiq::Launcher::BEAT_PAUSE = 0.3
`

// Ruby's processes are listed with what they run, and do as ebb tells them.
func TestEbbCommandsRuby(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	// With less, the thread that still waits for a job in a BRPOP of 2 s takes the one that
	// the stop pushes back, and dies with it: Sidekiq 6.4.1 loses it.
	w := sidekiqtest.StartWith(t, p.server, oftenBeating, "-q", "critical,3", "-q", "default", "-g", "shop", "-t", "3")
	jid := w.Push(10 * time.Minute)
	var ruby store.Process
	w.Await("the job that runs", func() bool {
		ruby = p.process()
		return len(ruby.Busy) == 1
	})
	want := store.Process{Lang: "ruby", Holds: 1, Presence: store.Presence{
		ID: ruby.ID, Host: ruby.ID.Host(), PID: w.PID, Tag: "shop", Labels: []string{}, Concurrency: 2, State: "running",
		Groups: []store.Group{{Name: "default", Concurrency: 2, Queues: []store.Share{{Queue: "critical"}, {Queue: "default"}}}},
		Busy:   []store.Run{{Slot: ruby.Busy[0].Slot, JID: jid, Kind: "SleepJob", Queue: "default", Payload: ruby.Busy[0].Payload, Since: ruby.Busy[0].Since}},
	}}
	got := ruby
	for what, at := range map[string]time.Time{"beat": ruby.Beat, "start": ruby.Started, "run since": ruby.Busy[0].Since} {
		if time.Since(at).Abs() > time.Minute {
			t.Errorf("%s at %v", what, at)
		}
	}
	if got.RSS < 10<<20 || got.RSS > 1<<30 {
		t.Errorf("%d bytes of memory", got.RSS)
	}
	got.Beat, got.Started, got.RSS = time.Time{}, time.Time{}, 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a process of Ruby's (-want +got):\n%s", diff)
	}

	tell := func(verb store.Verb) {
		t.Helper()
		p.must(p.client.Store().Command(t.Context(), ruby.ID, store.Command{Verb: verb}))
	}
	tell(store.Dump)
	w.Await("a dump", func() bool { return strings.Contains(w.Log(), "Thread TID") })
	tell(store.Quiet)
	w.Await("quiet", func() bool { return p.process().State == "quiet" })
	tell(store.Stop)
	<-w.Exited()
	if e, job := p.in(store.Ready, jid); e.Queue != "default" || job.Count != -1 {
		t.Errorf("the job is in %s, failed %d times", e.Queue, job.Count+1)
	}
}

// process is the only one there is, once it is shown.
func (p *pair) process() (process store.Process) {
	p.Helper()
	p.await("process", func() bool {
		all, err := p.client.Store().Processes(p.Context())
		p.must(err)
		if len(all) == 1 {
			process = all[0]
		}
		return len(all) == 1
	})
	return process
}
