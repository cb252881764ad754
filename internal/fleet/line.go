package fleet

import (
	"slices"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// Line is the life of a process around its stop, in time alone: whoever draws it
// chooses the scale.
type Line struct {
	From time.Time // of the first part
	To   time.Time // when it ended, or now
	Kill time.Time // the platform's KILL; zero: no clock ran
	// Parts touch each other. The one that is called Reserve may lie beyond To: what
	// has not come yet.
	Parts []Part
	End   string // stopped or vanished; empty: it goes on
}

// Part is a stretch of a line in one state: running, quiet, draining, end jobs, deaf,
// frozen or reserve.
type Part struct {
	State    string
	From, To time.Time
}

// Reserve is the state of the end of a grace, which is kept for saving and handing
// back.
const Reserve = "reserve"

// How a line ends.
const (
	Stopped  = "stopped"
	Vanished = "vanished"
)

// leadIn is how much of the running before a stop a line shows, where no more is known
// than that it ran: an eighth of the stop, and enough to be seen.
func leadIn(stop time.Duration) time.Duration { return max(2*time.Second, stop/8) }

// Line returns the line of a process that has ended: it ran, each phase of its stop,
// and its end. Of one that vanished nobody knows more than when it was last heard of.
func (s *Stop) Line() Line {
	if s.Vanished() {
		last := s.HeardAt
		if last.IsZero() {
			last = s.EndedAt
		}
		from := last.Add(-leadIn(0))
		return Line{From: from, To: last, Parts: []Part{{lifecycle.Running.String(), from, last}}, End: Vanished}
	}
	from := s.BeganAt.Add(-leadIn(s.EndedAt.Sub(s.BeganAt)))
	l := Line{From: from, To: s.EndedAt, Parts: []Part{{lifecycle.Running.String(), from, s.BeganAt}}, End: Stopped}
	at := s.BeganAt
	for _, p := range s.Report.Phases {
		end := at.Add(max(0, p.Took))
		if p.Name == "leave" { // saying goodbye is the end itself
			l.Parts[len(l.Parts)-1].To = end
		} else {
			l.Parts = append(l.Parts, Part{p.Name, at, end})
		}
		at = end
	}
	if at.After(l.To) {
		l.To = at
	}
	l.Parts[len(l.Parts)-1].To = l.To
	if s.Report.Grace > 0 {
		l.Kill = s.noticed().Add(s.Report.Grace)
	}
	return l
}

// noticed is when the clock of a stop started: with its draining, as far as a report
// tells.
func (s *Stop) noticed() time.Time {
	at := s.BeganAt
	for _, p := range s.Report.Phases {
		if p.Name == lifecycle.Draining.String() {
			return at
		}
		at = at.Add(max(0, p.Took))
	}
	return s.BeganAt
}

// Used is how much of its grace a stop took, and of how much. Being quiet before costs
// nothing. Both are 0 where no clock ran.
func (s *Stop) Used() (used, of time.Duration) {
	if s.Vanished() || s.Report.Grace <= 0 {
		return 0, 0
	}
	return max(0, s.EndedAt.Sub(s.noticed())), s.Report.Grace
}

// LineOf returns the line of a process that the store still lists, as of now. The
// moments at which it changed its state are by its own clock.
func LineOf(p *store.Process, now time.Time) Line {
	turns := p.Turns
	if len(turns) == 0 {
		turns = []store.Turn{{State: p.State, At: p.Started}}
	}
	end := now
	if p.Lapsed {
		end = p.Beat
	}
	if last := turns[len(turns)-1].At; end.Before(last) {
		end = last
	}
	l := Line{From: turns[0].At, To: end, Kill: p.KillAt}
	for i, turn := range turns {
		to := end
		if i+1 < len(turns) {
			to = turns[i+1].At
		}
		if to.Before(turn.At) {
			to = turn.At
		}
		l.Parts = append(l.Parts, Part{turn.State, turn.At, to})
	}
	switch last := &l.Parts[len(l.Parts)-1]; {
	case p.Lapsed:
		l.End = Vanished
	case p.Frozen && p.Beat.After(last.From) && p.Beat.Before(end):
		last.To = p.Beat
		l.Parts = append(l.Parts, Part{"frozen", p.Beat, end})
	}
	if !p.KillAt.IsZero() && !p.Lapsed {
		l.reserve(p)
	}
	return l
}

// reserve adds the end of the grace of a process that stops, and leaves what it is in
// until then to whoever draws: that part ends now.
func (l *Line) reserve(p *store.Process) {
	notice := p.KillAt.Add(-p.Grace)
	if i := slices.IndexFunc(p.Turns, func(t store.Turn) bool { return t.State == lifecycle.Draining.String() }); i >= 0 {
		notice = p.Turns[i].At
	}
	from := p.KillAt.Add(-lifecycle.Reserve(p.KillAt.Sub(notice)))
	if from.Before(l.To) {
		from = l.To
	}
	if p.KillAt.After(from) {
		l.Parts = append(l.Parts, Part{Reserve, from, p.KillAt})
	}
}
