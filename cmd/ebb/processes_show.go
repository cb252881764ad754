package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/store"
)

// processInfo is all about one process.
type processInfo struct {
	processRow
	Grace   float64       `json:"grace_seconds,omitempty"`
	Socket  string        `json:"socket,omitempty"`
	Groups  []store.Group `json:"groups"`
	Running []runRow      `json:"running"`
}

// runRow is a job that runs.
type runRow struct {
	JID   string    `json:"jid"`
	Kind  string    `json:"kind"`
	Queue string    `json:"queue"`
	Slot  string    `json:"slot"`
	Since time.Time `json:"since"`
	Note  string    `json:"note,omitempty"`
}

func newProcessesShow(a *app) *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show all about a process",
		Long: `Show a process: its settings, its groups and the jobs that it runs.

ID is a whole identity, host:pid, or any part of either that only one process has.`,
		Example:           example("ebb processes show host-1:7", "ebb processes show host-1", "ebb processes show host-1:7 -o json"),
		Args:              exactly("ID"),
		ValidArgsFunction: a.completeProcesses(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.watch(cmd.Context(), every, func(ctx context.Context, s store.Store) error {
				processes, err := s.Processes(ctx)
				if err != nil {
					return err
				}
				p, err := matchProcess(processes, args[0])
				if err != nil {
					return err
				}
				info := newProcessInfo(p)
				return a.show(info, info.text)
			})
		},
	}
	a.showFlags(cmd)
	watchFlag(cmd, &every)
	return cmd
}

func newProcessInfo(p store.Process) *processInfo {
	info := &processInfo{
		processRow: newProcessRow(p), Grace: p.Grace.Seconds(), Socket: p.Socket,
		Groups: append([]store.Group{}, p.Groups...), Running: []runRow{},
	}
	for _, r := range p.Busy {
		info.Running = append(info.Running, runRow{r.JID, r.Kind, r.Queue, r.Slot, r.Since.UTC(), r.Note})
	}
	slices.SortFunc(info.Running, func(a, b runRow) int { return a.Since.Compare(b.Since) })
	return info
}

func (info *processInfo) text(p *page) {
	p.field("process", info.ID)
	p.field("state", p.a.state(info.State))
	p.field("kill", info.KillAt)
	p.field("lang", info.Lang)
	p.field("release", info.Release)
	p.field("tag", info.Tag)
	p.field("version", info.Version)
	p.field("labels", info.Labels)
	p.field("busy", p.a.busy(info.processRow))
	p.field("held", info.Held)
	if info.RSS > 0 {
		p.field("rss", size(info.RSS))
	}
	if info.Grace > 0 {
		p.field("grace", time.Duration(info.Grace*float64(time.Second)))
	}
	p.field("socket", info.Socket)
	p.field("started", info.StartedAt)
	p.field("last beat", info.BeatAt)
	if len(info.Groups) > 0 {
		p.line("")
		within(p, &list[store.Group]{columns: []column[store.Group]{
			{"group", func(g store.Group) any { return g.Name }, asIs},
			{"slots", func(g store.Group) any { return g.Concurrency }, right},
			{"order", func(g store.Group) any {
				if g.Strict {
					return "strict"
				}
				return "by weight"
			}, asIs},
			{"queues", func(g store.Group) any { return shares(g) }, flex},
		}}, info.Groups)
	}
	p.line("")
	if len(info.Running) == 0 {
		p.line("no job runs")
		return
	}
	within(p, &list[runRow]{columns: []column[runRow]{
		{"jid", func(r runRow) any { return r.JID }, asIs},
		{"kind", func(r runRow) any { return r.Kind }, flex},
		{"queue", func(r runRow) any { return r.Queue }, asIs},
		{"since", func(r runRow) any { return r.Since }, asIs},
		{"note", func(r runRow) any { return r.Note }, flex},
	}}, info.Running)
}

// shares writes queues as --queue takes them.
func shares(g store.Group) []string {
	var words []string
	for _, s := range g.Queues {
		word := s.Queue
		if s.Weight > 1 && !g.Strict {
			word = fmt.Sprintf("%s,%d", s.Queue, s.Weight)
		}
		words = append(words, word)
	}
	return words
}
