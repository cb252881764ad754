package web

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

// rolloutFile is a rollout for programs. Stops are as ebb stops show writes them.
type rolloutFile struct {
	ID      string       `json:"id"`
	What    string       `json:"what"`
	From    string       `json:"from,omitempty"`
	To      string       `json:"to,omitempty"`
	BeganAt time.Time    `json:"began_at"`
	EndedAt time.Time    `json:"ended_at,omitzero"`
	Touched int          `json:"touched"`
	Running int          `json:"still_running"`
	Lost    int          `json:"lost"`
	Fates   fleet.Fates  `json:"fates"`
	Stops   []stopFile   `json:"stops"`
	Living  []livingFile `json:"living"`
}

type stopFile struct {
	*fleet.Stop
	Phases []phaseFile  `json:"phases"`
	Jobs   []store.Fate `json:"jobs"`
	Notes  []string     `json:"notes"`
}

type phaseFile struct {
	Name     string  `json:"name"`
	Took     float64 `json:"took_seconds"`
	InFlight int     `json:"in_flight"`
}

type livingFile struct {
	ID     store.Identity `json:"id"`
	State  string         `json:"state"`
	KillAt time.Time      `json:"kill_at,omitzero"`
	Jobs   []store.Run    `json:"jobs"`
}

func (ui *UI) exportStop(w http.ResponseWriter, r *request) error {
	found, _, err := ui.findRollout(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if found == nil {
		return noStop(r.PathValue("id"))
	}
	f := rolloutFile{
		ID: found.ID, What: found.What, From: found.From, To: found.To, BeganAt: found.Began.UTC(), EndedAt: found.Ended,
		Touched: found.Touched, Running: found.StillRunning, Lost: found.Lost, Fates: found.Fates, Stops: []stopFile{}, Living: []livingFile{},
	}
	for i := range found.Stops {
		s := &found.Stops[i]
		out := stopFile{Stop: s, Phases: []phaseFile{}, Jobs: s.Jobs(), Notes: append([]string{}, s.Report.Notes...)}
		for _, p := range s.Report.Phases {
			out.Phases = append(out.Phases, phaseFile{p.Name, p.Took.Seconds(), p.InFlight})
		}
		f.Stops = append(f.Stops, out)
	}
	for i := range found.Living {
		p := &found.Living[i]
		f.Living = append(f.Living, livingFile{p.ID, fleet.State(p), p.KillAt, append([]store.Run{}, p.Busy...)})
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Disposition", `attachment; filename="`+found.ID+`.json"`)
	w.Header().Set("Cache-Control", "no-store")
	w.Write(append(text, '\n'))
	return nil
}
