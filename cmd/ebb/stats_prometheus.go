package main

import (
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/metrics"
	"github.com/ebbjobs/ebb/store"
)

// figures are the numbers as Prometheus is told them.
func (info *statsInfo) figures() *metrics.Store {
	s := &metrics.Store{Stats: store.Stats{
		Processed: info.Processed, Failed: info.Failed,
		Ready: info.Ready, Held: info.Held, Scheduled: info.Scheduled, Retrying: info.Retrying, Dead: info.Dead,
	}}
	for _, q := range info.Queues {
		s.Queues = append(s.Queues, metrics.Queue{
			Queue:      store.Queue{Name: q.Name, Waiting: q.Waiting, Held: q.Held, Oldest: q.OldestAt, Paused: q.Paused},
			OldestWait: q.OldestWait, Served: q.Processes,
		})
	}
	for _, b := range info.Books {
		s.Books = append(s.Books, b.Books)
	}
	for _, p := range info.alive {
		s.Processes = append(s.Processes, metrics.Process{
			Lang: p.Lang, State: fleet.State(&p), Release: p.Release, Slots: p.Concurrency, Busy: len(p.Busy),
		})
	}
	return s
}
