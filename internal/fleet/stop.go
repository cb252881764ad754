// Package fleet is what people see of processes: how they are, how they ended, and
// what that did to each job. Commands, the terminal view and the web pages tell it in
// the same words.
package fleet

import (
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Stop is how a process ended, for people and for programs.
type Stop struct {
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
	Fates   Fates     `json:"fates"`
	Lost    int       `json:"lost"` // ran when the stop began, and nobody has said what became of them

	Report store.StopReport `json:"-"`
}

// Fates counts what became of the jobs that a stop touched.
type Fates struct {
	Finished     int `json:"finished"`
	Failed       int `json:"failed"`
	Checkpointed int `json:"checkpointed"`
	HandedBack   int `json:"handed_back"`
	Rescued      int `json:"rescued"`
	Deaf         int `json:"deaf"`
	Other        int `json:"other"` // discarded, buried, lost lease, …
}

// NewStop reads a stop report.
func NewStop(r store.StopReport) Stop {
	s := Stop{
		ID: string(r.ID), Release: r.Release, Tag: r.Tag, Reason: r.Reason, By: string(r.By), Cause: string(r.Cause),
		BeganAt: r.Began.UTC(), EndedAt: r.Ended.UTC(), Grace: r.Grace.Seconds(), Report: r,
	}
	if s.Vanished() {
		s.Grace = 0 // nobody told it to stop
		if s.HeardAt = r.Heard.UTC(); !r.Heard.IsZero() && len(r.Jobs) > 0 {
			s.After = max(0, r.Ended.Sub(r.Heard).Seconds())
		}
	} else {
		s.Took = max(0, r.Ended.Sub(r.Began).Seconds())
	}
	jobs := s.Jobs()
	s.Touched = len(jobs)
	for _, f := range jobs {
		*s.Fates.of(f.Fate)++
	}
	if len(r.Phases) > 0 {
		s.Lost = max(0, r.Phases[0].InFlight-s.Touched)
	}
	return s
}

// Vanished reports whether the process ended without a stop of its own.
func (s *Stop) Vanished() bool { return s.Report.Began.IsZero() }

// Jobs are what became of each job, by the last word on it: a job that was deaf is
// rescued later.
func (s *Stop) Jobs() []store.Fate {
	jobs := []store.Fate{}
	at := map[string]int{}
	for _, f := range s.Report.Jobs {
		if i, known := at[f.JID]; known && f.JID != "" {
			jobs[i] = f
			continue
		}
		at[f.JID] = len(jobs)
		jobs = append(jobs, f)
	}
	return jobs
}

func (c *Fates) of(fate string) *int {
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
