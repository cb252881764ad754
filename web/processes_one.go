package web

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

func (ui *UI) process(w http.ResponseWriter, r *request) error {
	id := r.PathValue("id")
	arg := asking(id, r.URL.Query(), "page")
	// A part of a page answers nothing but that part: what is not there is found here.
	if _, _, _, err := ui.hub.read(r.Context(), "process:"+arg, hasty); err != nil {
		return err
	}
	ui.render(w, r, page{Title: fleet.Short(store.Identity(id)), Tab: "/processes", Template: "process", Data: arg})
	return nil
}

func noProcess(id string) error {
	return missing("there is no process %q, and none of that name has ended within the last 30 days", id)
}

// processNamed finds a process by its identity, or by its host and pid: the latest that
// has them.
func processNamed(all []store.Process, id string) *store.Process {
	var found *store.Process
	for i := range all {
		p := &all[i]
		if string(p.ID) == id {
			return p
		}
		if fleet.Short(p.ID) == id && (found == nil || p.Started.After(found.Started)) {
			found = p
		}
	}
	return found
}

// findStop finds how a process ended, by its identity, or by its host and pid: the
// latest that had them. nil: nobody remembers.
func (ui *UI) findStop(ctx context.Context, id string) (*store.StopReport, error) {
	for report, err := range ui.store.Stops(ctx) {
		if err != nil {
			return nil, err
		}
		if string(report.ID) == id || fleet.Short(report.ID) == id {
			return &report, nil
		}
	}
	return nil, nil
}

// processPage is what is known of one process, one of a list or one that has ended.
type processPage struct {
	paged
	ID    store.Identity
	State string
	Now   time.Time
	Alive *processRow
	Stop  *stopRow // how it ended
	Axis  template.HTML
	Line  template.HTML
	Jobs  []runRow
	Fates []touchedRow
	Cut   time.Time // when the contexts of its jobs end; zero: no clock runs
}

// runRow is a job that runs now.
type runRow struct {
	store.Run
	Key string
}

func (ui *UI) readProcess(ctx context.Context, arg string) (any, error) {
	id, how := asked(arg)
	all, err := ui.recent.Processes(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	p := &processPage{Now: now}
	var line fleet.Line
	if found := processNamed(all, id); found != nil {
		orders, err := ui.orders(ctx, now)
		if err != nil {
			return nil, err
		}
		p.ID, p.State = found.ID, fleet.State(found)
		p.Alive = &processRow{*found, p.State, orders.of(found)}
		line = fleet.LineOf(found, now)
		p.runs(found, how.Get("page"))
	}
	report, err := ui.findStop(ctx, cmp.Or(string(p.ID), id))
	if err != nil {
		return nil, err
	}
	switch {
	case report != nil && (p.Alive == nil || report.ID == p.ID):
		p.ended(report)
		if p.Alive == nil {
			line = p.Stop.Line()
		}
	case p.Alive == nil:
		return nil, noProcess(id)
	}
	s := scaleOf([]fleet.Line{line})
	p.Axis, p.Line = drawAxis(s), drawLine(line, s)
	return p, nil
}

// runs are the jobs of a process, the one that has run longest first.
func (p *processPage) runs(found *store.Process, page string) {
	busy := slices.Clone(found.Busy)
	slices.SortStableFunc(busy, func(a, b store.Run) int { return a.Since.Compare(b.Since) })
	var from, to int
	p.paged, from, to = pageOf(page, len(busy))
	for _, run := range busy[from:to] {
		p.Jobs = append(p.Jobs, runRow{run, fmt.Sprintf("run %s %s", run.Slot, run.JID)})
	}
	if !found.KillAt.IsZero() {
		p.Cut = cutAt(found)
	}
}

// ended is the page of a process that is gone, or about to be.
func (p *processPage) ended(report *store.StopReport) {
	stop := fleet.NewStop(*report)
	p.ID = report.ID
	p.Stop = newStopRow(&stop)
	if p.Alive == nil {
		p.State = cmp.Or(p.Stop.End, fleet.Stopped)
	}
	for _, f := range stop.Jobs() {
		p.Fates = append(p.Fates, touchedRow{Fate: f, By: report.ID, Word: fateWord(f.Fate)})
	}
	slices.SortStableFunc(p.Fates, func(a, b touchedRow) int { return cmp.Compare(a.rank(), b.rank()) })
	p.Fates = p.Fates[:min(len(p.Fates), rows)]
}
