package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/nearest"
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

func newProcessRow(p store.Process) processRow {
	return processRow{
		ID: string(p.ID), Host: p.Host, PID: p.PID, Lang: p.Lang, Tag: p.Tag, Release: p.Release, Version: p.Version, Labels: p.Labels,
		State: stateOf(p), Busy: len(p.Busy), Concurrency: p.Concurrency, Held: p.Holds, Queues: queuesOf(p), RSS: p.RSS,
		StartedAt: p.Started.UTC(), BeatAt: p.Beat.UTC(), KillAt: p.KillAt.UTC(),
	}
}

// stateOf is a process's state in a word: what it said of itself, unless the store
// knows better.
func stateOf(p store.Process) string {
	switch {
	case p.Lapsed:
		return "lapsed"
	case p.Frozen:
		return "frozen"
	}
	return p.State
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

// shortID is enough of an identity for people: host:pid.
func shortID(id store.Identity) string {
	if i := strings.LastIndexByte(string(id), ':'); i > 0 && id.PID() != 0 && strings.Count(string(id), ":") == 2 {
		return string(id[:i])
	}
	return string(id)
}

func newProcesses(a *app) *cobra.Command {
	cmd := noun("processes", "Look at processes, and tell them to go quiet or stop",
		newProcessesLs(a), newProcessesShow(a), newProcessesQuiet(a), newProcessesResume(a), newProcessesStop(a), newProcessesDump(a))
	cmd.Aliases = []string{"process"}
	cmd.Example = example("ebb processes ls", "ebb processes ls -o json", "ebb processes ls --release v142")
	return cmd
}

func newProcessesLs(a *app) *cobra.Command {
	var every time.Duration
	var chosen processFlags
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List processes",
		Long: `List the processes that run jobs, in Go and in Ruby.

A frozen process is alive but its beats are overdue: stopped, or starved. The lease
of a lapsed one has ended, and nobody has given back yet what it held.`,
		Example: example("ebb processes ls", "ebb processes ls -o json", "ebb processes ls --release v142"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.watch(cmd.Context(), every, func(ctx context.Context) error {
				s, err := a.openExisting(ctx)
				if err != nil {
					return err
				}
				processes, err := s.Processes(ctx)
				if err != nil {
					return err
				}
				var rows []processRow
				for _, p := range chosen.filter(processes) {
					rows = append(rows, newProcessRow(p))
				}
				return a.processList(rows).printAll(a, rows)
			})
		},
	}
	a.listFlags(cmd)
	chosen.flags(a, cmd)
	watchFlag(cmd, &every)
	return cmd
}

// processList names each process by host:pid, and by more where two in rows share
// that, as a container's successor does.
func (a *app) processList(rows []processRow) *list[processRow] {
	short := map[string]int{}
	for _, p := range rows {
		short[shortID(store.Identity(p.ID))]++
	}
	name := func(p processRow) any {
		if s := shortID(store.Identity(p.ID)); short[s] == 1 {
			return s
		}
		return p.ID
	}
	return &list[processRow]{
		columns: []column[processRow]{
			{"process", name, flex},
			{"id", func(p processRow) any { return p.ID }, wide},
			{"state", func(p processRow) any { return a.state(p.State) }, asIs},
			{"lang", func(p processRow) any { return p.Lang }, a.roomy(asIs, 110)},
			{"release", func(p processRow) any { return p.Release }, asIs},
			{"busy", func(p processRow) any { return a.busy(p) }, asIs},
			{"held", func(p processRow) any { return p.Held }, right | wide},
			{"queues", func(p processRow) any { return p.Queues }, flex},
			{"rss", func(p processRow) any {
				if p.RSS == 0 {
					return nil
				}
				return size(p.RSS)
			}, right | a.roomy(asIs, 90)},
			{"up", func(p processRow) any { return a.since(p.StartedAt) }, right | a.roomy(asIs, 90)},
			{"beat", func(p processRow) any { return p.BeatAt }, a.roomy(asIs, 72)},
			{"tag", func(p processRow) any { return p.Tag }, wide},
			{"version", func(p processRow) any { return p.Version }, wide},
		},
		name: func(p processRow) string { return p.ID },
		none: "no processes",
	}
}

// busy draws how many of a process's slots run a job.
func (a *app) busy(p processRow) any {
	count := fmt.Sprintf("%d/%d", p.Busy, p.Concurrency)
	return styled{count, func(s string) string {
		if !a.term.OutWatched || p.Concurrency == 0 || a.term.Width() < 72 {
			return s
		}
		return a.term.Bar(int64(p.Busy), int64(p.Concurrency), 6) + " " + s
	}}
}

// since is how long ago something was, for people, and when, for programs.
func (a *app) since(t time.Time) any {
	if t.IsZero() || !a.term.OutWatched {
		return t
	}
	return max(0, a.now().Sub(t).Round(time.Second))
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
			return a.watch(cmd.Context(), every, func(ctx context.Context) error {
				s, err := a.openExisting(ctx)
				if err != nil {
					return err
				}
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

// matchProcess finds the one process that a person means: by its whole identity, by
// host:pid, or by a part of its identity that no other has.
func matchProcess(all []store.Process, arg string) (store.Process, error) {
	var ids []string
	for _, p := range all {
		ids = append(ids, string(p.ID))
	}
	id, err := matchID("process", ids, arg, "ebb processes ls lists them")
	if err != nil {
		return store.Process{}, err
	}
	return all[slices.Index(ids, id)], nil
}

// matchID finds the one identity that arg means. What is what it is of.
func matchID(what string, ids []string, arg, hint string) (string, error) {
	var found []string
	for _, match := range []func(id string) bool{
		func(id string) bool { return id == arg },
		func(id string) bool { return shortID(store.Identity(id)) == arg },
		func(id string) bool { return strings.Contains(id, arg) },
	} {
		for _, id := range ids {
			if match(id) && !slices.Contains(found, id) {
				found = append(found, id)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		var short []string
		for _, id := range ids {
			short = append(short, shortID(store.Identity(id)), store.Identity(id).Host())
		}
		if near := nearest.To(arg, short); near != "" {
			hint = "did you mean " + near + "?"
		}
		return "", code(exitNothing, store.WithHint(fmt.Errorf("there is no %s %q", what, arg), "%s", hint))
	}
	return "", code(exitUsage, store.WithHint(fmt.Errorf("%q may be any of %d: %s", arg, len(found), some(found)), "write more of the one that is meant"))
}

// some lists the first of many words.
func some(words []string) string {
	const most = 10
	if len(words) > most {
		return strings.Join(words[:most], ", ") + ", …"
	}
	return strings.Join(words, ", ")
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

// completeProcesses offers host:pid of processes.
func (a *app) completeProcesses(most int) cobra.CompletionFunc {
	return a.complete(most, wordsOf(func(p store.Process) string { return shortID(p.ID) }))
}

// completeOf offers what processes have of something, as the value of a flag.
func (a *app) completeOf(word func(store.Process) string) cobra.CompletionFunc {
	return a.complete(0, wordsOf(word))
}

func wordsOf(word func(store.Process) string) func(context.Context, store.Store) ([]string, error) {
	return func(ctx context.Context, s store.Store) (words []string, err error) {
		processes, err := s.Processes(ctx)
		for _, p := range processes {
			words = append(words, word(p))
		}
		slices.Sort(words)
		return slices.DeleteFunc(slices.Compact(words), func(word string) bool { return word == "" }), err
	}
}

// errTimeUp is the end of the time that a person gave.
var errTimeUp = errors.New("the time given is over")

// sleep waits, or returns the cause of ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
