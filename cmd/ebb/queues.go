package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

// queueRow is a queue as it is printed.
type queueRow struct {
	Name       string    `json:"name"`
	Waiting    int64     `json:"waiting"`
	Held       int64     `json:"held"`
	OldestAt   time.Time `json:"oldest_at,omitzero"`
	OldestWait float64   `json:"oldest_wait_seconds,omitempty"`
	Paused     bool      `json:"paused"`
	Processes  int       `json:"processes"` // that take jobs from it now
}

func newQueues(a *app) *cobra.Command {
	cmd := noun("queues", "Look at queues, and pause, resume, clear or move them",
		newQueuesLs(a), newQueuesShow(a), newQueuesPause(a), newQueuesResume(a), newQueuesClear(a), newQueuesMove(a))
	cmd.Aliases = []string{"queue"}
	cmd.Example = example("ebb queues ls", "ebb queues show default", "ebb queues pause mailers")
	return cmd
}

func (a *app) queueRow(q store.Queue, processes []store.Process) queueRow {
	row := queueRow{Name: q.Name, Waiting: q.Waiting, Held: q.Held, OldestAt: q.Oldest.UTC(), Paused: q.Paused}
	if !q.Oldest.IsZero() {
		row.OldestWait = max(0, a.now().Sub(q.Oldest).Seconds())
	}
	for _, p := range processes {
		if fleet.TakesFrom(&p, q.Name) {
			row.Processes++
		}
	}
	return row
}

// noQueue is for a queue that is not there.
func noQueue(name string, queues []store.Queue) error {
	return code(exitNothing, meant(fmt.Errorf("there is no queue %q", name), name, queueNames(queues), "%s", "ebb queues ls lists them"))
}

func queueNames(queues []store.Queue) (names []string) {
	for _, q := range queues {
		names = append(names, q.Name)
	}
	return names
}
