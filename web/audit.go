package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/store"
)

func (ui *UI) auditRoutes() {
	ui.get("GET /audit", ui.audit)
	ui.get("GET /audit.json", ui.auditExport)
}

// auditRow is a change by hand as it is shown.
type auditRow struct {
	store.Change
	Status   string // done, unfinished, undone or undoable, as ebb audit says
	Resume   bool   // it can be gone on with
	Expected bool   // it says how many jobs it was for
}

func auditRowOf(c store.Change, now time.Time) auditRow {
	row := auditRow{Change: c, Status: "done", Expected: c.Wanted > 0}
	switch {
	case !c.Undone.IsZero():
		row.Status = "undone"
	case c.Ended.IsZero():
		row.Status, row.Resume = "unfinished", len(c.Rest) > 0
	case bulk.Undoable(&c, now) == nil:
		row.Status = "undoable"
	}
	return row
}

// auditPage is the page, and what it was asked for.
type auditPage struct {
	Rows      []auditRow
	Verb, Who string
	Verbs     []string // that there are
	Page      int
	Newer     string // the page before; empty: there is none
	Older     string
	Of        int // changes that match
	All       int
}

const auditRows = 50

// audit lists what people changed, the latest first.
func (ui *UI) audit(w http.ResponseWriter, r *request) error {
	p := auditPage{Verb: r.FormValue("verb"), Who: r.FormValue("who"), Page: 1}
	if n, err := strconv.Atoi(r.FormValue("page")); err == nil {
		p.Page = min(max(1, n), store.MaxChanges/auditRows)
	}
	for c, err := range ui.store.Changes(r.Context()) {
		if err != nil {
			return err
		}
		p.All++
		if !slices.Contains(p.Verbs, c.Verb) {
			p.Verbs = append(p.Verbs, c.Verb)
		}
		if !matches(&c, p.Verb, p.Who) {
			continue
		}
		if p.Of++; p.Of > (p.Page-1)*auditRows && p.Of <= p.Page*auditRows {
			p.Rows = append(p.Rows, auditRowOf(c, r.Now))
		}
	}
	slices.Sort(p.Verbs)
	if p.Page > 1 {
		p.Newer = strconv.Itoa(p.Page - 1)
	}
	if p.Of > p.Page*auditRows {
		p.Older = strconv.Itoa(p.Page + 1)
	}
	ui.render(w, r, page{Title: "Audit", Tab: "/audit", Template: "audit", Data: &p})
	return nil
}

// matches reports whether a change is one of those that a filter asks for.
func matches(c *store.Change, verb, who string) bool {
	return (verb == "" || c.Verb == verb) && strings.Contains(strings.ToLower(c.By), strings.ToLower(who))
}

// Export is the path of the same changes for programs.
func (p *auditPage) Export() string {
	return "/audit.json?" + url.Values{"verb": {p.Verb}, "who": {p.Who}}.Encode()
}

// exported is a change for programs, as ebb audit -o json writes it.
type exported struct {
	ID        string    `json:"id"`
	BeganAt   time.Time `json:"began_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	By        string    `json:"by"`
	Verb      string    `json:"verb"`
	What      string    `json:"what"`
	Why       string    `json:"why,omitempty"`
	Wanted    int64     `json:"wanted"`
	Done      int64     `json:"done"`
	Missed    int64     `json:"missed"`
	UndoUntil time.Time `json:"undo_until,omitzero"`
	UndoneAt  time.Time `json:"undone_at,omitzero"`
	Status    string    `json:"status"`
}

// auditExport writes all changes that match as one JSON array. What going on with one
// needs stays where it is: it holds more of jobs than who sees.
func (ui *UI) auditExport(w http.ResponseWriter, r *request) error {
	rows := []exported{}
	for c, err := range ui.store.Changes(r.Context()) {
		if err != nil {
			return err
		}
		if !matches(&c, r.FormValue("verb"), r.FormValue("who")) {
			continue
		}
		rows = append(rows, exported{
			ID: c.ID, BeganAt: c.Began.UTC(), EndedAt: c.Ended.UTC(), By: c.By, Verb: c.Verb, What: c.What, Why: c.Why,
			Wanted: c.Wanted, Done: c.Done, Missed: c.Missed, UndoUntil: c.Until.UTC(), UndoneAt: c.Undone.UTC(), Status: auditRowOf(c, r.Now).Status,
		})
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Disposition", `attachment; filename="audit.json"`)
	w.Header().Set("Cache-Control", "no-store")
	w.Write(text)
	return nil
}
