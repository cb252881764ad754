package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// queueInfo is all about one queue.
type queueInfo struct {
	queueRow
	Books   *bookRow      `json:"books,omitempty"`
	Looked  int           `json:"kinds_among"` // so many of the waiting jobs were looked at
	Kinds   []kindCount   `json:"kinds"`
	Servers []queueServer `json:"served_by"`
}

// kindCount says how many jobs are of a kind.
type kindCount struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

// queueServer is a process that has a queue among its own.
type queueServer struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Release string `json:"release,omitempty"`
	Group   string `json:"group"`
	Slots   int    `json:"slots"`  // of the group
	Weight  int    `json:"weight"` // 0 where the group takes queues in strict order
}

func newQueuesShow(a *app) *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use: "show QUEUE", Short: "Show all about a queue",
		Long: `Show what waits in a queue and of which kinds the next 1,000 jobs are, which
processes serve it, and its books.`,
		Example:           example("ebb queues show images", "ebb queues show images -o json", "ebb queues show mailers"),
		Args:              exactly("QUEUE"),
		ValidArgsFunction: a.completeQueues(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.watch(cmd.Context(), every, func(ctx context.Context, s store.Store) error {
				info, err := a.queueInfo(ctx, s, args[0])
				if err != nil {
					return err
				}
				return a.show(info, info.text)
			})
		},
	}
	a.showFlags(cmd)
	watchFlag(cmd, &every)
	return cmd
}

// kindsAmong is how many waiting jobs are looked at for their kinds.
const kindsAmong = 1000

func (a *app) queueInfo(ctx context.Context, s store.Store, name string) (info queueInfo, err error) {
	queues, err := s.Queues(ctx)
	if err != nil {
		return info, err
	}
	i := slices.IndexFunc(queues, func(q store.Queue) bool { return q.Name == name })
	if i < 0 {
		return info, noQueue(name, queues)
	}
	processes, err := s.Processes(ctx)
	if err != nil {
		return info, err
	}
	_, books, err := settledBooks(ctx, s)
	if err != nil {
		return info, err
	}
	info = queueInfo{queueRow: a.queueRow(queues[i], processes), Kinds: []kindCount{}, Servers: []queueServer{}}
	if i := slices.IndexFunc(books, func(b bookRow) bool { return b.Queue == name }); i >= 0 {
		info.Books = &books[i]
	}
	for _, p := range processes {
		info.Servers = append(info.Servers, serversOf(p, name)...)
	}
	counts := map[string]int{}
	for entry, err := range s.Jobs(ctx, store.Query{Place: store.Ready, Queue: name, Limit: kindsAmong}) {
		if err != nil {
			return info, err
		}
		kind := "(cannot be read)"
		if job, err := wire.Parse(entry.Payload); err == nil {
			kind = job.Name()
		}
		counts[kind]++
		info.Looked++
	}
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		info.Kinds = append(info.Kinds, kindCount{kind, counts[kind]})
	}
	slices.SortStableFunc(info.Kinds, func(a, b kindCount) int { return cmp.Compare(b.Count, a.Count) })
	return info, nil
}

func serversOf(p store.Process, queue string) (servers []queueServer) {
	for _, g := range p.Groups {
		for _, share := range g.Queues {
			if share.Queue != queue {
				continue
			}
			server := queueServer{ID: string(p.ID), State: fleet.State(&p), Release: p.Release, Group: g.Name, Slots: g.Concurrency, Weight: max(1, share.Weight)}
			if g.Strict {
				server.Weight = 0
			}
			servers = append(servers, server)
		}
	}
	return servers
}

func (info *queueInfo) text(p *page) {
	p.field("queue", info.Name)
	p.field("waiting", info.Waiting)
	p.field("held", info.Held)
	p.field("oldest", info.OldestAt)
	if info.Paused {
		p.field("paused", styled{"yes", console.Warn})
	}
	if b := info.Books; b != nil {
		p.field("accepted", b.Accepted)
		p.field("done", b.Done)
		p.field("retrying", b.Retrying)
		p.field("scheduled", b.Scheduled)
		p.field("dead", b.Dead)
		p.field("books", b.verdict())
	}
	if len(info.Servers) == 0 {
		p.field("served by", styled{"nobody", console.Warn})
	} else {
		p.line("")
		within(p, serverList(), info.Servers)
	}
	if len(info.Kinds) > 0 {
		p.line("")
		within(p, p.a.kindList(info.Looked), info.Kinds)
		if int64(info.Looked) < info.Waiting && !p.plain {
			p.line("%s", console.Dim(fmt.Sprintf("kinds of the next %s of %s", prose.Count(info.Looked), prose.Plural(info.Waiting, "job"))))
		}
	}
}

func serverList() *list[queueServer] {
	return &list[queueServer]{columns: []column[queueServer]{
		{"served_by", func(q queueServer) any { return fleet.Short(store.Identity(q.ID)) }, flex},
		{"state", func(q queueServer) any { return q.State }, asIs},
		{"release", func(q queueServer) any { return q.Release }, asIs},
		{"group", func(q queueServer) any { return q.Group }, asIs},
		{"slots", func(q queueServer) any { return q.Slots }, right},
		{"weight", func(q queueServer) any {
			if q.Weight == 0 {
				return "strict"
			}
			return q.Weight
		}, right},
	}}
}

func (a *app) kindList(total int) *list[kindCount] {
	return &list[kindCount]{columns: []column[kindCount]{
		{"kind", func(k kindCount) any { return k.Kind }, flex},
		{"count", func(k kindCount) any { return k.Count }, right},
		{"share", func(k kindCount) any {
			percent := fmt.Sprintf("%.0f %%", 100*float64(k.Count)/float64(total))
			return styled{percent, func(s string) string {
				if !a.term.OutWatched {
					return s
				}
				return a.term.Bar(int64(k.Count), int64(total), 20) + " " + s
			}}
		}, asIs},
	}}
}
