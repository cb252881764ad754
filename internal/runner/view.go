package runner

import (
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// view is the lifecycle where everyone can look at it.
type view struct {
	mu      sync.Mutex
	machine *lifecycle.Machine
}

func (v *view) on(e lifecycle.Event) []lifecycle.Action {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.On(e, time.Now())
}

func (v *view) get() (lifecycle.State, lifecycle.Deadlines) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.State(), v.machine.Deadlines()
}

func (v *view) state() lifecycle.State {
	state, _ := v.get()
	return state
}

func (v *view) why() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.Why()
}

func (v *view) grace() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.Grace()
}

func (v *view) next() (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.Next()
}

func (v *view) preview(now time.Time) (time.Duration, lifecycle.Deadlines) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.machine.Grace(), v.machine.Preview(now)
}

// lastWords is what an embedded process takes for its goodbye, whose hour has
// passed while it waited for a deaf job.
const lastWords = 5 * time.Second

// goodbye is when the process must be gone.
func (v *view) goodbye() time.Time {
	_, d := v.get()
	if time.Until(d.Goodbye) <= 0 {
		return time.Now().Add(lastWords)
	}
	return d.Goodbye
}

// journal keeps the phases of a process from its first notice on, and the states that
// others may see.
type journal struct {
	mu    sync.Mutex
	notes []store.Phase
	at    time.Time // when the current phase began
	start time.Time // of the stop
	turns []store.Turn
}

// enter begins a phase, and says which one ended and how long it took.
func (j *journal) enter(phase string, inFlight int) (before string, took time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	if last := len(j.notes) - 1; last >= 0 {
		took = now.Sub(j.at)
		before, j.notes[last].Took = j.notes[last].Name, took
	}
	if phase == "running" {
		j.notes, j.start = nil, time.Time{}
	} else if j.start.IsZero() {
		j.notes, j.start = nil, now
	}
	switch phase {
	case "running":
		j.turns = []store.Turn{{State: phase, At: now}}
	case "quiet", "draining":
		j.turns = append(slices.Clip(j.turns), store.Turn{State: phase, At: now}) // others read what there was
	}
	j.notes = append(j.notes, store.Phase{Name: phase, InFlight: inFlight})
	j.at = now
	return before, took
}

// phases returns those of the stop, the current one counted until now.
func (j *journal) phases() []store.Phase {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.start.IsZero() {
		return nil
	}
	notes := slices.Clone(j.notes)
	notes[len(notes)-1].Took = time.Since(j.at)
	return notes
}

// states returns the states of the process since it last ran undisturbed.
func (j *journal) states() []store.Turn {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.turns
}

func (j *journal) began() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.start
}

func (j *journal) total() time.Duration {
	if began := j.began(); !began.IsZero() {
		return time.Since(began)
	}
	return 0
}
