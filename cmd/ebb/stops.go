package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/store"
)

// stopRow is how a process ended, as it is printed.
type stopRow struct {
	ID      string    `json:"id"`
	Release string    `json:"release,omitempty"`
	Tag     string    `json:"tag,omitempty"`
	Reason  string    `json:"reason"`
	By      string    `json:"by,omitempty"`      // who rescued what it held
	Cause   string    `json:"cause,omitempty"`   // why the rescuer took it for gone
	HeardAt time.Time `json:"heard_at,omitzero"` // its last beat, where a rescuer tells
	BeganAt time.Time `json:"began_at,omitzero"`
	EndedAt time.Time `json:"ended_at,omitzero"`
	Took    float64   `json:"took_seconds"`
	Grace   float64   `json:"grace_seconds,omitempty"`
	After   float64   `json:"given_back_after_seconds,omitempty"` // its last beat
	Touched int       `json:"touched"`
	Fates   fateCount `json:"fates"`
	Lost    int       `json:"lost"` // ran when the stop began, and nobody has said what became of them

	report store.StopReport
}

// fateCount counts what became of the jobs that a stop touched.
type fateCount struct {
	Finished     int `json:"finished"`
	Failed       int `json:"failed"`
	Checkpointed int `json:"checkpointed"`
	HandedBack   int `json:"handed_back"`
	Rescued      int `json:"rescued"`
	Deaf         int `json:"deaf"`
	Other        int `json:"other"` // discarded, buried, lost lease, …
}

func newStopRow(r store.StopReport) stopRow {
	row := stopRow{
		ID: string(r.ID), Release: r.Release, Tag: r.Tag, Reason: r.Reason, By: string(r.By), Cause: string(r.Cause),
		BeganAt: r.Began.UTC(), EndedAt: r.Ended.UTC(), Grace: r.Grace.Seconds(), report: r,
	}
	if vanished(r) {
		row.Grace = 0 // nobody told it to stop
		if row.HeardAt = r.Heard.UTC(); !r.Heard.IsZero() && len(r.Jobs) > 0 {
			row.After = max(0, r.Ended.Sub(r.Heard).Seconds())
		}
	} else {
		row.Took = max(0, r.Ended.Sub(r.Began).Seconds())
	}
	jobs := fates(r)
	row.Touched = len(jobs)
	for _, f := range jobs {
		*row.Fates.of(f.Fate)++
	}
	if len(r.Phases) > 0 {
		row.Lost = max(0, r.Phases[0].InFlight-row.Touched)
	}
	return row
}

// vanished reports whether a process ended without a stop of its own.
func vanished(r store.StopReport) bool { return r.Began.IsZero() }

// fates are what became of each job, by the last word on it: a job that was deaf is
// rescued later.
func fates(r store.StopReport) []store.Fate {
	jobs := []store.Fate{}
	at := map[string]int{}
	for _, f := range r.Jobs {
		if i, known := at[f.JID]; known && f.JID != "" {
			jobs[i] = f
			continue
		}
		at[f.JID] = len(jobs)
		jobs = append(jobs, f)
	}
	return jobs
}

func (c *fateCount) of(fate string) *int {
	switch fate {
	case "finished":
		return &c.Finished
	case "failed":
		return &c.Failed
	case "checkpointed":
		return &c.Checkpointed
	case "handed back":
		return &c.HandedBack
	case "rescued", "delayed":
		return &c.Rescued
	case "deaf":
		return &c.Deaf
	}
	return &c.Other
}

func newStops(a *app) *cobra.Command {
	cmd := noun("stops", "See how processes ended, and what became of their jobs", newStopsLs(a), newStopsShow(a))
	cmd.Aliases = []string{"stop"}
	cmd.Example = example("ebb stops ls", "ebb stops ls --since -1d", "ebb stops show host-1:7")
	return cmd
}
