// Package control is the socket by which a process that runs jobs is asked and
// told things by others on its machine: ebb drain, ebb init, probes, people.
// Signals and the store do without it; only the socket answers.
//
// Each line a client sends is a request, and each gets one line back:
//
//	{"do":"status"}
//	{"do":"quiet","kill_in":3605,"why":"preStop"}
//	{"do":"resume"}
//	{"do":"stop"}
//	{"do":"dump"}
//
//	{"status":{"id":"web1:17:9c2…","pid":17,"state":"draining","busy":[…],…}}
//	{"dump":"2 jobs run …"}
//	{"error":"…"}
//
// Every request may be repeated. kill_in is the time in seconds until KILL, and
// only ever moves a stop earlier; told to a process that is stopping already, by
// quiet or stop alike, it changes nothing else. Hours do not cross the socket: a
// clock that is set meanwhile would move them.
package control

import (
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// Process is what stands behind the socket. Its methods are called from many
// goroutines at once, also after the process has stopped.
type Process interface {
	// Status tells how things are now, exactly.
	Status() Status
	// Notice passes on a Quiet, Resume or Stop. It returns when the process has
	// taken it in, so that a Status afterwards shows its effect. An error says why
	// it could not.
	Notice(lifecycle.Event) error
	// Dump tells in words what runs, with all goroutines.
	Dump() string
}

// Status is a process at one moment.
type Status struct {
	ID        store.Identity      `json:"id"`
	PID       int                 `json:"pid"`
	State     string              `json:"state"`           // running, quiet, draining, stopped
	Why       string              `json:"why,omitempty"`   // of the stop under way
	Grace     time.Duration       `json:"grace,omitempty"` // nanoseconds
	Deadlines lifecycle.Deadlines `json:"deadlines,omitzero"`
	Busy      []store.Run         `json:"busy"` // jobs that run, and since when
}

// Idle reports whether nothing runs and nothing more will be begun.
func (s Status) Idle() bool { return s.State != lifecycle.Running.String() && len(s.Busy) == 0 }

type request struct {
	Do     string   `json:"do"`
	KillIn *float64 `json:"kill_in,omitempty"` // seconds
	Why    string   `json:"why,omitempty"`
}

type answer struct {
	Status *Status `json:"status,omitempty"`
	Dump   string  `json:"dump,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// The longest lines that are read. A dump is long.
const (
	maxRequest = 4 << 10
	maxAnswer  = 64 << 20
)
