package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

func (ui *UI) queue(w http.ResponseWriter, r *request) error {
	arg := asking(r.PathValue("name"), nil)
	if _, _, _, err := ui.hub.read(r.Context(), "queue:"+arg, hasty); err != nil {
		return err
	}
	ui.render(w, r, page{Title: r.PathValue("name"), Tab: "/queues", Template: "queue", Data: arg})
	return nil
}

// queuePage is what the page of one queue shows.
type queuePage struct {
	queueRow
	Books   *store.Books
	Serving []queueServer
	Next    []nextJob
	Query   string // finds its jobs
}

// queueServer is a process that has a queue among its own.
type queueServer struct {
	ID      store.Identity
	State   string
	Release string
	Group   string
	Slots   int // of the group
	Weight  int // 0 where the group takes queues in strict order
}

// nextJob is a job that waits, in the order in which they are fetched.
type nextJob struct {
	Number int
	JID    string
	Kind   string
	Since  time.Time
	Try    int // the next
	Cut    int // times it was interrupted
	Key    store.Key
}

func readQueue(ctx context.Context, f *paces, arg string) (any, error) {
	name, _ := asked(arg)
	queues, err := f.store.Queues(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(queues, func(q store.Queue) bool { return q.Name == name })
	if i < 0 {
		return nil, noQueue(name)
	}
	processes, err := f.store.Processes(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if err := f.look(ctx, now); err != nil {
		return nil, err
	}
	p := &queuePage{queueRow: newQueueRow(queues[i], servers(processes), now), Query: query.InQueue(name).String()}
	p.Pace = f.paceOf(p.Queue)
	p.Books = f.booksOf(name)
	for i := range processes {
		p.Serving = append(p.Serving, serversOf(&processes[i], name)...)
	}
	for e, err := range f.store.Jobs(ctx, store.Query{Place: store.Ready, Queue: name, Limit: rows}) {
		if err != nil {
			return nil, err
		}
		next := nextJob{Number: len(p.Next) + 1, Kind: "(cannot be read)", Key: e.Key}
		if job, err := wire.Parse(e.Payload); err == nil {
			next.JID, next.Kind, next.Since = job.JID, job.Name(), job.EnqueuedAt
			next.Try, next.Cut = job.Count+2, job.History.Interruptions
		}
		p.Next = append(p.Next, next)
	}
	return p, nil
}

// booksOf are the books of a queue as of the last look; nil: it has none.
func (f *paces) booksOf(name string) *store.Books {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b, ok := f.looks[len(f.looks)-1].books[name]; ok {
		return &b
	}
	return nil
}

func serversOf(p *store.Process, queue string) (all []queueServer) {
	for _, g := range p.Groups {
		for _, share := range g.Queues {
			if share.Queue != queue {
				continue
			}
			s := queueServer{ID: p.ID, State: fleet.State(p), Release: fleet.ReleaseOf(p), Group: g.Name, Slots: g.Concurrency, Weight: max(1, share.Weight)}
			if g.Strict {
				s.Weight = 0
			}
			all = append(all, s)
		}
	}
	return all
}
