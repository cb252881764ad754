package runner

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// maxGone is how many of the jobs that left the store a beat tells of.
const maxGone = 200

// maxLog is how many bytes of a job's log are told, of which stores keep thousands.
const maxLog = 4 << 10

// gone is the latest jobs that left the store at the end of their run here. A busy
// process has more of them between two beats than it can tell: the numbers rise all
// the same.
type gone struct {
	mu     sync.Mutex
	last   uint64           // number of the last job
	told   uint64           // number of the last one in a beat that was answered
	latest []store.Numbered // number n is at n % maxGone
}

// add notes a job whose verdict is recorded, if that made it leave the store.
func (g *gone) add(e *entry) {
	if e.move != ack {
		return
	}
	a := e.attempt
	job := store.Ended{
		JID: a.job.JID, Kind: a.job.Name(), Queue: a.queue, By: a.runner.opt.ID, Release: a.runner.opt.Self.Release,
		Attempt: a.Number(), Created: a.job.CreatedAt, Ready: a.ready(), Outcome: e.done.Outcome, Log: a.log(),
	}
	if a.since.IsZero() {
		job.At = time.Now().Round(0)
	} else {
		job.Began, job.At = a.since.Round(0), a.since.Add(e.took).Round(0)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.latest == nil {
		g.latest = make([]store.Numbered, maxGone)
	}
	g.last++
	g.latest[g.last%maxGone] = store.Numbered{Number: g.last, Ended: job}
}

// untold returns what no beat that was answered has told, the oldest first.
func (g *gone) untold() []store.Numbered {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(g.last-g.told, maxGone)
	if n == 0 {
		return nil
	}
	jobs := make([]store.Numbered, 0, n)
	for i := g.last - n + 1; i <= g.last; i++ {
		jobs = append(jobs, g.latest[i%maxGone])
	}
	return jobs
}

// answered notes that a beat was answered that told of all up to a number.
func (g *gone) answered(number uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = max(g.told, number)
}

// log is what the job remembers of what happened to it, as it is in a payload; nil if
// that is nothing. Of a long one the first event and the last ones are told.
func (a *Attempt) log() json.RawMessage {
	a.mu.Lock()
	events := a.history.Events
	a.mu.Unlock()
	for len(events) > 0 {
		var h struct{ Log json.RawMessage }
		text, err := json.Marshal(wire.History{Events: events})
		if err != nil || json.Unmarshal(text, &h) != nil {
			return nil
		}
		if len(h.Log) <= maxLog {
			return h.Log
		}
		events = append(slices.Clone(events[:1]), events[min(2, len(events)):]...)
		if len(events) == 1 {
			events = nil
		}
	}
	return nil
}
