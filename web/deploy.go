package web

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

const (
	// deployPace is how often it is read at most: who falls quiet is to be seen within a
	// second, and the way to the screen takes some of it.
	deployPace = 700 * time.Millisecond
	// afterglow is how long a stop that is over stays on every page.
	afterglow = 5 * time.Minute
	// longestStop is how far back a stop that is under way may have begun.
	longestStop = 6 * time.Hour
	// maxDeploys is how many are told one by one.
	maxDeploys = 3
)

// deployBar is what stops now, or has just stopped.
type deployBar struct {
	Shown []deployRow
	More  int
}

// deployRow is one rollout in a line. What it says of time is a moment, so that the
// browser counts: Before and After stand around it.
type deployRow struct {
	ID, Title, Sign, Class string
	Before, After          string
	Deadline               time.Time
	Say                    string // to who cannot see: it changes with the phase alone
	Lost                   int
	Tight                  bool // somebody has used most of their grace
}

func (ui *UI) readDeploy(ctx context.Context, _ string) (any, error) {
	now := time.Now()
	processes, err := ui.recent.Processes(ctx)
	if err != nil {
		return nil, err
	}
	var reports []store.StopReport
	for report, err := range ui.store.Stops(ctx) {
		if err != nil {
			return nil, err
		}
		if len(reports) == fleet.MaxStops || now.Sub(report.Ended) > longestStop {
			break
		}
		reports = append(reports, report)
	}
	marks, err := ui.store.Marks(ctx, now.Add(-longestStop))
	if err != nil {
		return nil, err
	}
	var bar deployBar
	for _, r := range fleet.Rollouts(reports, processes, marks, now) {
		switch {
		case !r.Ended.IsZero() && now.Sub(r.Ended) > afterglow:
		case len(bar.Shown) == maxDeploys:
			bar.More++
		default:
			bar.Shown = append(bar.Shown, newDeployRow(&r, now))
		}
	}
	return &bar, nil
}

// phaseClasses are how the phases of a rollout look.
var phaseClasses = map[string]string{fleet.PhaseQuiet: "quiet", fleet.PhaseDraining: "draining", fleet.PhaseBetween: "running", fleet.PhaseOver: "done"}

func newDeployRow(r *fleet.Rollout, now time.Time) deployRow {
	row := deployRow{ID: r.ID, Title: prose.Plain(r.Title()), Class: phaseClasses[r.Phase()], Before: prose.Plain(r.Sentence(now))}
	row.Sign = map[string]string{"quiet": "◐", "draining": "◒", "running": "●", "done": "✓"}[row.Class]
	if r.Lost > 0 || r.What == fleet.IsVanished {
		row.Class, row.Sign = "bad", "✕"
	}
	row.Lost, row.Tight = r.Lost, slices.ContainsFunc(r.Living, func(p store.Process) bool { return isTight(&p, now) })
	row.Say = row.Title + ": " + r.Phase()
	if r.Phase() == fleet.PhaseOver {
		row.Say = row.Title + ": " + row.Before
	}
	if kill := r.Deadline(); !kill.IsZero() && r.Ended.IsZero() {
		if before, after, found := strings.Cut(row.Before, fleet.Clock(kill.Sub(now))); found {
			row.Before, row.After, row.Deadline = before, after, kill
		}
	}
	return row
}

// isTight reports whether a process that stops has used 80 % of its grace.
func isTight(p *store.Process, now time.Time) bool {
	return !p.KillAt.IsZero() && p.Grace > 0 && p.KillAt.Sub(now) < p.Grace/5
}
