package web

import (
	"cmp"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// lifeRow is a process on the page of a rollout: one that has ended, or one that lives.
type lifeRow struct {
	ID      store.Identity
	State   string
	Release string
	Stop    *stopRow
	Alive   *processRow
	Kill    time.Time
	Line    template.HTML
	line    fleet.Line
}

// stopRow is how one process ended.
type stopRow struct {
	*fleet.Stop
	End  string // stopped or vanished
	Used template.HTML
	Why  string // a vanished one's: what is known of it
}

// Notes are what those who wrote the report had to add: what a rescuer says of itself
// stands in the row already.
func (s *stopRow) Notes() (notes []string) {
	for _, note := range s.Report.Notes {
		if s.By == "" || !strings.Contains(note, " given back") {
			notes = append(notes, note)
		}
	}
	return notes
}

// Back is how long after it was last heard of its jobs were given back; 0: not known.
func (s *stopRow) Back() time.Duration { return time.Duration(s.After * float64(time.Second)) }

// Length is how long it took.
func (s *stopRow) Length() time.Duration { return time.Duration(s.Took * float64(time.Second)) }

func newStopRow(s *fleet.Stop) *stopRow {
	row := &stopRow{Stop: s, End: fleet.Stopped, Used: usedOf(s.Used())}
	if s.Vanished() {
		row.End = fleet.Vanished
		if row.Why = s.Reason; s.Reason == fleet.Vanished {
			row.Why = "gone without a TERM"
		}
	}
	return row
}

// Fates that are no report's: of jobs that still run, in Go and in Ruby.
const (
	stillRunning = "still running"
	unknownFate  = "unknown"
)

// fateWords are the fates that people tell apart, in the order in which they are read.
var fateWords = []string{"finished", "failed", "checkpointed", "handed back", "rescued", "deaf", "other", unknownFate, stillRunning}

// fateWord is the one of them that a report's fate counts for, as [fleet.Fates] counts.
func fateWord(fate string) string {
	switch {
	case fate == "delayed":
		return "rescued"
	case slices.Contains(fateWords, fate):
		return fate
	}
	return "other"
}

// touchedRow is a job that a stop touched.
type touchedRow struct {
	store.Fate
	Word  string // its fate, as people tell them apart
	By    store.Identity
	Since time.Time // one that still runs: since when
	Cut   time.Time // and when its context ends; zero: no clock runs
	Back  time.Duration
	Where where
}

// Said is the fate in the report's own word where that says more.
func (t touchedRow) Said() string {
	if t.Fate.Fate != "" && t.Fate.Fate != t.Word {
		return t.Fate.Fate
	}
	return ""
}

// rank puts what people should look at first.
func (t touchedRow) rank() int {
	return slices.Index([]string{stillRunning, unknownFate, "other", "deaf", "failed", "rescued", "handed back", "checkpointed", "finished"}, t.Word)
}

// touched are all jobs of a rollout: those with a fate, and those that still run in
// processes that leave.
func touched(r *fleet.Rollout) []touchedRow {
	var all []touchedRow
	for i := range r.Stops {
		s := newStopRow(&r.Stops[i])
		for _, f := range s.Jobs() {
			row := touchedRow{Fate: f, Word: fateWord(f.Fate), By: store.Identity(s.ID)}
			if row.Word == "rescued" {
				row.Back = s.Back()
			}
			all = append(all, row)
		}
	}
	for i := range r.Living {
		p := &r.Living[i]
		if !fleet.Leaving(p) {
			continue
		}
		for _, run := range p.Busy {
			row := touchedRow{
				Fate: store.Fate{JID: run.JID, Kind: run.Kind, Queue: run.Queue, Note: run.Note},
				Word: stillRunning, By: p.ID, Since: run.Since, Cut: cutAt(p),
			}
			if p.Lang == "ruby" { // nobody will hear how it ended
				row.Word, row.Cut = unknownFate, time.Time{}
			}
			all = append(all, row)
		}
	}
	return all
}

// cutAt is when the contexts of a process's jobs end; zero: no clock runs.
func cutAt(p *store.Process) time.Time {
	if p.KillAt.IsZero() {
		return time.Time{}
	}
	return p.KillAt.Add(-lifecycle.Reserve(cmp.Or(p.Grace, time.Until(p.KillAt))))
}
