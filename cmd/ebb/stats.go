package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/metrics"
	"github.com/ebbjobs/ebb/store"
)

// statsInfo is a store in numbers.
type statsInfo struct {
	Processed int64      `json:"processed"`
	Failed    int64      `json:"failed"`
	Ready     int64      `json:"ready"`
	Held      int64      `json:"held"`
	Scheduled int64      `json:"scheduled"`
	Retrying  int64      `json:"retrying"`
	Dead      int64      `json:"dead"`
	Processes int        `json:"processes"`
	Slots     int        `json:"slots"`
	Busy      int        `json:"busy"`
	Queues    []queueRow `json:"queues"`
	Books     []bookRow  `json:"books"`

	alive []store.Process
}

const formPrometheus = "prometheus"

func newStats(a *app) *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use: "stats", Short: "Print the store in numbers",
		Long: `Print how many jobs there are and how many runs have ended, once.

With -o prometheus it writes the text format that Prometheus scrapes, for a node
exporter's folder or a sidecar: for each queue what waits and runs, how old the
oldest is, and its books as counters.`,
		Example: example("ebb stats", "ebb stats -o json", "ebb stats -o prometheus"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.watch(cmd.Context(), every, func(ctx context.Context, s store.Store) error {
				info, err := a.statsInfo(ctx, s)
				if err != nil {
					return err
				}
				if a.flags.output == formPrometheus {
					return metrics.Write(a.term.Out, metrics.Figures{Store: info.figures()})
				}
				return a.show(info, info.text)
			})
		},
	}
	a.outputFlag(cmd, formTable, formJSON, formPrometheus)
	watchFlag(cmd, &every)
	return cmd
}

func (a *app) statsInfo(ctx context.Context, s store.Inspector) (*statsInfo, error) {
	processes, err := s.Processes(ctx)
	if err != nil {
		return nil, err
	}
	stats, books, err := settledBooks(ctx, s)
	if err != nil {
		return nil, err
	}
	queues, err := s.Queues(ctx)
	if err != nil {
		return nil, err
	}
	info := &statsInfo{
		Processed: stats.Processed, Failed: stats.Failed,
		Ready: stats.Ready, Held: stats.Held, Scheduled: stats.Scheduled, Retrying: stats.Retrying, Dead: stats.Dead,
		Queues: []queueRow{}, Books: append([]bookRow{}, books...),
	}
	for _, p := range processes {
		if p.Lapsed {
			continue
		}
		info.alive = append(info.alive, p)
		info.Processes++
		info.Slots += p.Concurrency
		info.Busy += len(p.Busy)
	}
	for _, q := range queues {
		info.Queues = append(info.Queues, a.queueRow(q, processes))
	}
	return info, nil
}

func (info *statsInfo) text(p *page) {
	p.field("processed", info.Processed)
	p.field("failed", info.Failed)
	p.field("ready", info.Ready)
	p.field("held", info.Held)
	p.field("scheduled", info.Scheduled)
	p.field("retrying", info.Retrying)
	p.field("dead", info.Dead)
	p.field("processes", info.Processes)
	p.field("slots", info.Slots)
	p.field("busy", info.Busy)
}
