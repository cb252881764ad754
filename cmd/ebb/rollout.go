package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

func newRollout(a *app) *cobra.Command {
	cmd := noun("rollout", "Follow a new release taking over", newRolloutStatus(a))
	cmd.Example = example("ebb rollout status v143", "ebb rollout status v143 --timeout 30m", "ebb rollout status v143 -o json")
	return cmd
}

// rolloutInfo is how far a release has come.
type rolloutInfo struct {
	Release string         `json:"release"`
	Alone   bool           `json:"alone"` // no process of another release is left
	From    string         `json:"from,omitempty"`
	Stopped int            `json:"stopped"`
	Gone    int            `json:"vanished"`
	Touched int            `json:"touched"`
	Fates   fleet.Fates    `json:"fates"`
	Running int            `json:"still_running"`
	Lost    int64          `json:"lost"`
	Says    string         `json:"says"` // all of it in a sentence
	Events  []rolloutEvent `json:"events"`
}

// rolloutEvent is one thing that happened to a process of an older release, or at last
// that the new one is alone.
type rolloutEvent struct {
	At       time.Time    `json:"at"`
	Release  string       `json:"release"`
	Process  string       `json:"process,omitempty"`
	State    string       `json:"state"` // quiet, draining, frozen, lapsed, stopped, vanished or alone
	Left     int          `json:"left,omitempty"`
	Deadline time.Time    `json:"deadline_at,omitzero"`
	Fates    *fleet.Fates `json:"fates,omitempty"`
	Says     string       `json:"says"`
}

func newRolloutStatus(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "status RELEASE", Short: "Wait until a release has taken over",
		Long: `Wait until a release has taken over: until the last process of any other is gone.
What happens to those is told as it happens.

Exit 0 when RELEASE is alone and no job was lost, 1 if one was, 2 when the time is
over. Where RELEASE is alone already, the answer comes at once, and is the same each
time. Processes that do not say their release, and those with another tag than those
of RELEASE, are not waited for.`,
		Example: example("ebb rollout status v142 --timeout 100ms   # exit 2: nobody of v142 lives", "ebb rollout status v143 --timeout 30m", "ebb rollout status v143 -o jsonl"),
		Args:    exactly("RELEASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			f := &following{app: a, release: args[0], info: rolloutInfo{Release: args[0], Events: []rolloutEvent{}}, seen: map[string]bool{}}
			return f.run(cmd.Context(), s, timeout)
		},
	}
	a.outputFlag(cmd, formTable, formJSON, formLines)
	timeoutFlag(cmd, &timeout)
	return cmd
}

// following is one call of ebb rollout status.
type following struct {
	*app
	release string
	info    rolloutInfo
	seen    map[string]bool // events that were told
	missing bool            // it was said that nobody of the release lives
	missed  int64           // jobs that the books miss
}

func (f *following) run(ctx context.Context, s store.Store, timeout time.Duration) error {
	err := poll(ctx, timeout, func(ctx context.Context) (bool, error) { return f.look(ctx, s) })
	if err != nil && !errors.Is(err, errTimeUp) {
		return err
	}
	if f.flags.output == formJSON {
		if err := f.printJSON(f.info); err != nil {
			return err
		}
	}
	switch {
	case f.missed > 0:
		return store.WithHint(fmt.Errorf("%s", missing(f.missed)), "ebb books finds them")
	case f.info.Lost > 0:
		return store.WithHint(fmt.Errorf("%s lost", prose.Plural(f.info.Lost, "job")), "ebb stops ls shows by whom, ebb books what is missing")
	case err != nil:
		return code(exitDeadline, store.WithHint(fmt.Errorf("after %s %s is not alone: %s", prose.Span(timeout), prose.Plain(f.release), f.info.Says), "give it more time by --timeout"))
	}
	return nil
}

// look tells what is new, and reports whether the release is alone.
func (f *following) look(ctx context.Context, s store.Store) (alone bool, err error) {
	p, err := fleet.Look(ctx, s)
	if err != nil {
		return false, err
	}
	others, own := fleet.Others(p.Processes, f.release)
	r := fleet.Toward(p.Rollouts(), f.release)
	if r == nil {
		r = &fleet.Rollout{What: fleet.IsRollout, To: f.release, Ended: p.At}
	}
	f.info.Alone = own > 0 && len(others) == 0
	f.info.From, f.info.Gone, f.info.Stopped = r.From, r.Vanished(), len(r.Stops)-r.Vanished()
	f.info.Touched, f.info.Fates, f.info.Running = r.Touched, r.Fates, r.StillRunning
	f.info.Lost, f.missed = int64(r.Lost), p.Balance.Missing
	f.info.Says = f.says(r, own, len(others), p.At)
	for i := range r.Stops {
		if err := f.tell(stopEvent(&r.Stops[i])); err != nil {
			return false, err
		}
	}
	for i := range others {
		if fleet.Leaving(&others[i]) {
			if err := f.tell(leavingEvent(&others[i])); err != nil {
				return false, err
			}
		}
	}
	if own == 0 && !f.missing {
		f.missing = true
		f.say("no process of %s has been seen yet", prose.Plain(f.release))
	}
	if !f.info.Alone {
		return false, nil
	}
	return true, f.tell(rolloutEvent{At: p.At.UTC(), Release: f.release, State: "alone", Says: f.info.Says})
}

// says is the sentence of the moment.
func (f *following) says(r *fleet.Rollout, own, others int, now time.Time) string {
	switch {
	case own == 0:
		return "no process of " + f.release + " lives"
	case others > 0 && len(r.Living) > 0:
		return r.Sentence(now)
	case others > 0:
		return prose.Plural(others, "process") + " of another release left"
	case len(r.Stops) == 0:
		return f.release + " is alone. 0 stopped, 0 jobs touched, 0 lost."
	}
	return r.Sentence(now)
}

// leavingEvent says that a process is on its way out.
func leavingEvent(p *store.Process) rolloutEvent {
	e := rolloutEvent{Release: fleet.ReleaseOf(p), Process: string(p.ID), State: fleet.State(p), Left: len(p.Busy), At: p.Beat.UTC(), Says: prose.Count(len(p.Busy)) + " left"}
	if n := len(p.Turns); n > 0 && !p.Lapsed && !p.Frozen {
		e.At = p.Turns[n-1].At.UTC()
	}
	if !p.Lapsed {
		e.Deadline = p.KillAt.UTC()
	}
	return e
}

// stopEvent says how a process ended.
func stopEvent(s *fleet.Stop) rolloutEvent {
	e := rolloutEvent{At: s.EndedAt, Release: s.Release, Process: s.ID, State: fleet.Stopped, Fates: &s.Fates}
	var parts []string
	for _, fate := range s.Fates.Each() {
		if fate.N > 0 {
			parts = append(parts, prose.Count(fate.N)+" "+fate.Word)
		}
	}
	if s.Lost > 0 {
		parts = append(parts, prose.Count(s.Lost)+" lost")
	}
	e.Says = strings.Join(parts, ", ")
	if len(parts) == 0 {
		e.Says = "nothing ran"
	}
	if s.Vanished() {
		why := s.Reason
		if why == fleet.Vanished {
			why = "no TERM"
		}
		if s.After > 0 {
			e.Says += " in " + prose.Span(time.Duration(s.After*float64(time.Second)))
		}
		e.State, e.Says = fleet.Vanished, why+"; "+e.Says
	}
	return e
}

// tell prints an event, the first time that it comes.
func (f *following) tell(e rolloutEvent) error {
	key := e.Process + " " + e.State
	if f.seen[key] {
		return nil
	}
	f.seen[key] = true
	f.info.Events = append(f.info.Events, e)
	var line string
	switch {
	case f.flags.output == formJSON:
		return nil
	case f.flags.output == formLines:
		object, err := encodeJSON(e)
		if err != nil {
			return err
		}
		line = string(spelledOut(object))
	case !f.term.OutWatched:
		line = strings.Join([]string{f.cell(e.At), f.cell(e.Release), f.cell(e.Process), e.State, f.cell(e.Says), f.cell(e.Deadline)}, "\t")
	case e.State == "alone":
		line = prose.Plain(e.Says)
	default:
		line = f.line(e)
	}
	_, err := fmt.Fprintln(f.term.Out, line)
	return err
}

// line is an event for people.
func (f *following) line(e rolloutEvent) string {
	const clock = "15:04:05"
	text := fmt.Sprintf("%s %s %s %s %-9s %s", e.At.Local().Format(clock), prose.Plain(e.Release), prose.Plain(fleet.Short(store.Identity(e.Process))),
		f.sign(e.State), e.State, prose.Plain(e.Says))
	if !e.Deadline.IsZero() {
		text += "   deadline " + e.Deadline.Local().Format(clock)
	}
	return text
}
