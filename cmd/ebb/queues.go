package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/nearest"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
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

func newQueues(a *app) *cobra.Command {
	cmd := noun("queues", "Look at queues, stop them and let them go on",
		newQueuesLs(a), newQueuesShow(a), newQueuesPause(a), newQueuesResume(a), newQueuesClear(a), newQueuesMove(a))
	cmd.Aliases = []string{"queue"}
	cmd.Example = example("ebb queues ls", "ebb queues show default", "ebb queues pause mailers")
	return cmd
}

func newQueuesLs(a *app) *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List queues",
		Long: `List queues with what waits in them and what runs.

Oldest is when the next job of a queue was put there. Processes counts those that
take jobs from it now: not the quiet, the frozen and the lost.`,
		Example: example("ebb queues ls", "ebb queues ls -o json", "ebb queues ls --fields name,waiting"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.watch(cmd.Context(), every, func(ctx context.Context) error {
				s, err := a.openExisting(ctx)
				if err != nil {
					return err
				}
				queues, err := s.Queues(ctx)
				if err != nil {
					return err
				}
				processes, err := s.Processes(ctx)
				if err != nil {
					return err
				}
				var rows []queueRow
				for _, q := range queues {
					rows = append(rows, a.queueRow(q, processes))
				}
				return a.queueList().printAll(a, rows)
			})
		},
	}
	a.listFlags(cmd)
	watchFlag(cmd, &every)
	return cmd
}

func (a *app) queueRow(q store.Queue, processes []store.Process) queueRow {
	row := queueRow{Name: q.Name, Waiting: q.Waiting, Held: q.Held, OldestAt: q.Oldest.UTC(), Paused: q.Paused}
	if !q.Oldest.IsZero() {
		row.OldestWait = max(0, a.now().Sub(q.Oldest).Seconds())
	}
	for _, p := range processes {
		if takesFrom(p, q.Name) {
			row.Processes++
		}
	}
	return row
}

func (a *app) queueList() *list[queueRow] {
	return &list[queueRow]{
		columns: []column[queueRow]{
			{"name", func(q queueRow) any { return q.Name }, flex},
			{"waiting", func(q queueRow) any { return q.Waiting }, right},
			{"held", func(q queueRow) any { return q.Held }, right},
			{"oldest", func(q queueRow) any { return q.OldestAt }, asIs},
			{"paused", func(q queueRow) any { return a.mark(q.Paused, "paused", console.Warn) }, asIs},
			{"processes", func(q queueRow) any {
				if q.Processes == 0 && a.term.OutWatched {
					return styled{"nobody", console.Warn}
				}
				return q.Processes
			}, right},
		},
		name: func(q queueRow) string { return q.Name },
		none: "no queues yet: the first job makes one",
	}
}

// mark is a word that stands in a column only where something is so; programs get
// yes and no.
func (a *app) mark(so bool, word string, style func(string) string) any {
	switch {
	case !a.term.OutWatched:
		return so
	case so:
		return styled{word, style}
	}
	return nil
}

// takesFrom reports whether a process takes jobs from a queue now.
func takesFrom(p store.Process, queue string) bool {
	return !p.Lapsed && !p.Frozen && p.State == lifecycle.Running.String() && slices.Contains(queuesOf(p), queue)
}

// queuesOf are the queues of all groups of a process, each once.
func queuesOf(p store.Process) []string {
	queues := []string{}
	for _, g := range p.Groups {
		for _, share := range g.Queues {
			if !slices.Contains(queues, share.Queue) {
				queues = append(queues, share.Queue)
			}
		}
	}
	return queues
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
			return a.watch(cmd.Context(), every, func(ctx context.Context) error {
				s, err := a.openExisting(ctx)
				if err != nil {
					return err
				}
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
	_, books, err := settledBooks(ctx, s, processes)
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
			server := queueServer{ID: string(p.ID), State: stateOf(p), Release: p.Release, Group: g.Name, Slots: g.Concurrency, Weight: max(1, share.Weight)}
			if g.Strict {
				server.Weight = 0
			}
			servers = append(servers, server)
		}
	}
	return servers
}

// noQueue is for a queue that is not there.
func noQueue(name string, queues []store.Queue) error {
	var names []string
	for _, q := range queues {
		names = append(names, q.Name)
	}
	err := fmt.Errorf("there is no queue %q", name)
	if near := nearest.To(name, names); near != "" {
		return code(exitNothing, store.WithHint(err, "did you mean %s?", near))
	}
	return code(exitNothing, store.WithHint(err, "ebb queues ls lists them"))
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
			p.line("%s", console.Dim(fmt.Sprintf("kinds of the next %s of %s", console.Count(info.Looked), console.Plural(info.Waiting, "job"))))
		}
	}
}

func serverList() *list[queueServer] {
	return &list[queueServer]{columns: []column[queueServer]{
		{"served_by", func(q queueServer) any { return shortID(store.Identity(q.ID)) }, flex},
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

// within lays rows out on a page: as a table for people, else between tabs.
func within[T any](p *page, l *list[T], rows []T) {
	columns := slices.DeleteFunc(slices.Clone(l.columns), func(c column[T]) bool { return c.look&wide != 0 })
	heads := make([]console.Column, len(columns))
	for i, c := range columns {
		heads[i] = console.Column{Head: strings.ToUpper(strings.ReplaceAll(c.name, "_", " ")), Right: c.look&right != 0, Flex: c.look&flex != 0}
	}
	var lines [][]string
	for _, row := range rows {
		cells := l.cells(p.a, columns, row)
		if p.plain {
			p.line("%s", strings.Join(cells, "\t"))
		}
		lines = append(lines, cells)
	}
	if !p.plain {
		console.NewTable(&p.b, p.a.term.Width(), heads...).Print(lines...) // into memory: there is no error
	}
}
