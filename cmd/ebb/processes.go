package main

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

// processRow is a process as it is printed.
type processRow struct {
	ID          string    `json:"id"`
	Host        string    `json:"host"`
	PID         int       `json:"pid"`
	Lang        string    `json:"lang"`
	Tag         string    `json:"tag,omitempty"`
	Release     string    `json:"release,omitempty"`
	Version     string    `json:"version,omitempty"`
	Labels      []string  `json:"labels,omitempty"`
	State       string    `json:"state"` // running, quiet, draining; frozen or lapsed where that is so
	Busy        int       `json:"busy"`
	Concurrency int       `json:"concurrency"`
	Held        int64     `json:"held"`
	Queues      []string  `json:"queues"`
	RSS         int64     `json:"rss_bytes,omitempty"`
	StartedAt   time.Time `json:"started_at,omitzero"`
	BeatAt      time.Time `json:"beat_at,omitzero"`
	KillAt      time.Time `json:"kill_at,omitzero"`
}

func newProcessRow(p store.Process) processRow {
	return processRow{
		ID: string(p.ID), Host: p.Host, PID: p.PID, Lang: p.Lang, Tag: p.Tag, Release: p.Release, Version: p.Version, Labels: p.Labels,
		State: fleet.State(&p), Busy: len(p.Busy), Concurrency: p.Concurrency, Held: p.Holds, Queues: fleet.Queues(&p), RSS: p.RSS,
		StartedAt: p.Started.UTC(), BeatAt: p.Beat.UTC(), KillAt: p.KillAt.UTC(),
	}
}

// stateLooks are how the states of processes look.
var stateLooks = map[string]struct {
	sign  string
	style func(string) string
}{
	"running": {"●", console.Good}, "quiet": {"◐", console.Warn}, "draining": {"◒", console.Warn},
	"frozen": {"▲", console.Bad}, "lapsed": {"✕", console.Bad},
}

// state is the cell of a state.
func (a *app) state(word string) any {
	look, ok := stateLooks[word]
	switch {
	case !ok || !a.term.OutWatched:
		return word
	case a.term.Unicode:
		return styled{look.sign + " " + word, look.style}
	}
	return styled{word, look.style}
}

func newProcesses(a *app) *cobra.Command {
	cmd := noun("processes", "Look at processes, and tell them to go quiet or stop",
		newProcessesLs(a), newProcessesShow(a), newProcessesQuiet(a), newProcessesResume(a), newProcessesStop(a), newProcessesDump(a))
	cmd.Aliases = []string{"process"}
	cmd.Example = example("ebb processes ls", "ebb processes ls -o json", "ebb processes ls --release v142")
	return cmd
}

// processFlags are the flags by which many processes are meant at once.
type processFlags struct {
	release, host string
	all           bool
}

func (s *processFlags) flags(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.release, "release", "", "only those of `RELEASE`")
	cmd.Flags().StringVar(&s.host, "host", "", "only those on `HOST`")
	cmd.RegisterFlagCompletionFunc("release", a.completeOf(func(p store.Process) string { return p.Release }))
	cmd.RegisterFlagCompletionFunc("host", a.completeOf(func(p store.Process) string { return p.Host }))
}

func (s *processFlags) filter(processes []store.Process) []store.Process {
	return slices.DeleteFunc(slices.Clone(processes), func(p store.Process) bool {
		return s.release != "" && p.Release != s.release || s.host != "" && p.Host != s.host
	})
}

// words says which processes the flags mean.
func (s *processFlags) words() string {
	var words []string
	if s.release != "" {
		words = append(words, "release "+s.release)
	}
	if s.host != "" {
		words = append(words, "host "+s.host)
	}
	if len(words) == 0 {
		return "all processes"
	}
	return "processes of " + strings.Join(words, " on ")
}
