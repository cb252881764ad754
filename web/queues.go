package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

func (ui *UI) queuesRoutes() {
	f := &paces{store: ui.recent}
	ui.topics["queues"] = topic{page: "queues", read: func(ctx context.Context, arg string) (any, error) { return readQueues(ctx, f, arg) }}
	ui.topics["queue"] = topic{page: "queue", read: func(ctx context.Context, arg string) (any, error) { return readQueue(ctx, f, arg) }}
	ui.get("GET /queues", ui.queues)
	ui.get("GET /queues/{name}", ui.queue)
	ui.post("/queues/{name}/pause", Operator, func(w http.ResponseWriter, r *request) error { return ui.pause(w, r, true) })
	ui.post("/queues/{name}/resume", Operator, func(w http.ResponseWriter, r *request) error { return ui.pause(w, r, false) })
}

// queueList is what the page of all queues shows.
type queueList struct {
	paged
	Waiting int64 // in all queues
	Rows    []queueRow
	None    bool // there is not one, whatever is asked for
}

// queueOrders are what queues can be in the order of, the usual first.
var queueOrders = []string{"name", "waiting", "wait"}

// queueRow is a queue in a list.
type queueRow struct {
	store.Queue
	Wait    time.Duration // of the oldest job; 0: none waits, or nobody knows
	Servers int           // processes that take jobs from it now
	Pace    queuePace
}

func (ui *UI) queues(w http.ResponseWriter, r *request) error {
	ui.render(w, r, page{Title: "Queues", Tab: "/queues", Template: "queues",
		Data: listing{asking("", r.URL.Query(), "q", "sort", "page"), queueOrders}})
	return nil
}

func readQueues(ctx context.Context, f *paces, arg string) (any, error) {
	_, how := asked(arg)
	all, err := f.store.Queues(ctx)
	if err != nil {
		return nil, err
	}
	processes, err := f.store.Processes(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if err := f.look(ctx, now); err != nil {
		return nil, err
	}
	word, sorted := strings.ToLower(strings.TrimSpace(how.Get("q"))), how.Get("sort")
	l := &queueList{None: len(all) == 0}
	serving := servers(processes)
	var chosen []queueRow
	for _, q := range all {
		l.Waiting += q.Waiting
		if strings.Contains(strings.ToLower(q.Name), word) {
			chosen = append(chosen, newQueueRow(q, serving, now))
		}
	}
	slices.SortStableFunc(chosen, func(a, b queueRow) int {
		switch sorted {
		case "waiting":
			return cmp.Compare(b.Waiting, a.Waiting)
		case "wait":
			return cmp.Compare(b.Wait, a.Wait)
		}
		return cmp.Compare(a.Name, b.Name)
	})
	var from, to int
	l.paged, from, to = pageOf(how.Get("page"), len(chosen))
	l.Rows = chosen[from:to]
	for i := range l.Rows {
		l.Rows[i].Pace = f.paceOf(l.Rows[i].Queue)
	}
	return l, nil
}

func newQueueRow(q store.Queue, serving map[string]int, now time.Time) queueRow {
	row := queueRow{Queue: q, Servers: serving[q.Name]}
	if q.Waiting > 0 && !q.Oldest.IsZero() {
		row.Wait = max(0, now.Sub(q.Oldest))
	}
	return row
}

// servers counts for each queue the processes that take jobs from it now.
func servers(processes []store.Process) map[string]int {
	n := map[string]int{}
	for i := range processes {
		p := &processes[i]
		for _, queue := range fleet.Queues(p) {
			if fleet.TakesFrom(p, queue) {
				n[queue]++
			}
		}
	}
	return n
}

// pause brings a queue to where it should be. One that is there already stays so, and
// nothing is recorded.
func (ui *UI) pause(w http.ResponseWriter, r *request, paused bool) error {
	name := r.PathValue("name")
	queues, err := ui.store.Queues(r.Context())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(queues, func(q store.Queue) bool { return q.Name == name })
	switch {
	case i < 0:
		return noQueue(name)
	case queues[i].Paused == paused:
		return ui.back(w, r, "")
	}
	verb := "resume"
	if paused {
		verb = "pause"
	}
	id, err := ui.noting(r, store.Change{Verb: verb, What: "queue " + name}, func(ctx context.Context) (int64, error) {
		return 0, ui.store.Pause(ctx, name, paused)
	})
	if err != nil {
		return err
	}
	return ui.back(w, r, id)
}

func noQueue(name string) error {
	return missing("there is no queue %q", name)
}
