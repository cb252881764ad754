package web

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

func (ui *UI) stopsRoutes() {
	ui.topics["stops"] = topic{page: "stops", read: ui.readStops}
	ui.topics["stop"] = topic{page: "stop", read: ui.readStop}
	ui.get("GET /stops", ui.stops)
	ui.get("GET /stops/{id}", ui.stop)
	ui.get("GET /stops/{id}/export", ui.exportStop)
}

const (
	stopsKept = 30 * 24 * time.Hour
	// maxStops is how many stops are looked through for one that is not among the latest.
	maxStops = 10_000
)

// history is what rollouts are read out of.
type history struct {
	Processes []store.Process
	Reports   []store.StopReport // the latest first
	Marks     []store.Mark
	Now       time.Time
	Cut       bool // there are older reports
}

// history reads at most most stops that ended before a moment; the zero one is now.
func (ui *UI) history(ctx context.Context, before time.Time, most int) (h history, err error) {
	h.Now = time.Now()
	if h.Processes, err = ui.recent.Processes(ctx); err != nil {
		return h, err
	}
	if h.Marks, err = ui.store.Marks(ctx, h.Now.Add(-stopsKept)); err != nil {
		return h, err
	}
	for report, err := range ui.store.Stops(ctx) {
		switch {
		case err != nil:
			return h, err
		case !before.IsZero() && !report.Ended.Before(before):
			continue
		case len(h.Reports) == most:
			h.Cut = true
			return h, nil
		}
		h.Reports = append(h.Reports, report)
	}
	return h, nil
}

func (h *history) rollouts() []fleet.Rollout {
	return fleet.Rollouts(h.Reports, h.Processes, h.Marks, h.Now)
}

// stopList is what the page of all stops shows.
type stopList struct {
	Now    time.Time
	Advice string
	Rows   []rolloutRow
	Before string // the page that is shown; empty: the latest
	Older  string // the page after it; empty: there is none
}

// rolloutRow is a rollout in a list.
type rolloutRow struct {
	*fleet.Rollout
	Sentence string
	Used     template.HTML // by the longest of its stops
	Took     time.Duration // of the longest, where no clock ran
}

// Processes is how many it was about.
func (r rolloutRow) Processes() int { return len(r.Stops) + len(r.Living) }

func (ui *UI) stops(w http.ResponseWriter, r *request) error {
	ui.render(w, r, page{Title: "Stops", Tab: "/stops", Template: "stops", Data: asking("", r.URL.Query(), "before")})
	return nil
}

func (ui *UI) readStops(ctx context.Context, arg string) (any, error) {
	_, how := asked(arg)
	before, err := time.Parse(time.RFC3339Nano, how.Get("before"))
	if err != nil {
		before = time.Time{}
	}
	h, err := ui.history(ctx, before, fleet.MaxStops)
	if err != nil {
		return nil, err
	}
	l := &stopList{Now: h.Now}
	if h.Cut {
		l.Older = h.Reports[len(h.Reports)-1].Ended.Format(time.RFC3339Nano)
	}
	all := h.rollouts()
	if !before.IsZero() { // those that go on stand on the page of the latest
		l.Before = how.Get("before")
		all = slices.DeleteFunc(all, func(r fleet.Rollout) bool { return len(r.Stops) == 0 })
	}
	l.Advice = fleet.Advice(all)
	if len(all) > rows {
		var last time.Time
		for _, r := range all[rows:] {
			for _, s := range r.Stops {
				if s.EndedAt.After(last) {
					last = s.EndedAt
				}
			}
		}
		l.Older = last.Add(time.Nanosecond).Format(time.RFC3339Nano)
		all = all[:rows]
	}
	for i := range all {
		row := rolloutRow{Rollout: &all[i], Sentence: all[i].Sentence(h.Now)}
		if all[i].Longest != nil {
			row.Used = usedOf(all[i].Longest.Used())
		}
		for _, s := range all[i].Stops {
			row.Took = max(row.Took, time.Duration(s.Took*float64(time.Second)))
		}
		l.Rows = append(l.Rows, row)
	}
	return l, nil
}

// findRollout finds a rollout by its ID, by one that it had before it was known whole,
// or by the identity of a process that was part of it. nil: nobody remembers.
func (ui *UI) findRollout(ctx context.Context, id string) (found *fleet.Rollout, h history, err error) {
	for _, most := range []int{fleet.MaxStops, maxStops} {
		if h, err = ui.history(ctx, time.Time{}, most); err != nil {
			return nil, h, err
		}
		all := h.rollouts()
		found = fleet.FindRollout(all, id)
		if i := slices.IndexFunc(all, func(r fleet.Rollout) bool { return takesPart(&r, id) }); found == nil && i >= 0 {
			found = &all[i]
		}
		// One that holds the oldest that was read may have begun with an older one.
		if !h.Cut || found != nil && !takesPart(found, string(h.Reports[len(h.Reports)-1].ID)) {
			break
		}
	}
	return found, h, nil
}

// takesPart reports whether a process is one of those that a rollout ended or ends.
func takesPart(r *fleet.Rollout, id string) bool {
	is := func(other store.Identity) bool { return string(other) == id || fleet.Short(other) == id }
	return slices.ContainsFunc(r.Stops, func(s fleet.Stop) bool { return is(store.Identity(s.ID)) }) ||
		slices.ContainsFunc(r.Living, func(p store.Process) bool { return is(p.ID) })
}

func (ui *UI) stop(w http.ResponseWriter, r *request) error {
	arg := asking(r.PathValue("id"), r.URL.Query(), "fate", "page")
	_, _, data, err := ui.hub.read(r.Context(), "stop:"+arg, hasty)
	if err != nil {
		return err
	}
	ui.render(w, r, page{Title: data.(*stopPage).Title(), Tab: "/stops", Template: "stop", Data: arg})
	return nil
}

func noStop(id string) error {
	return fault(http.StatusNotFound, fmt.Errorf("no stop %q is remembered", id), "stops are kept for 30 days: look at all of them")
}

// stopPage is what the page of one rollout shows.
type stopPage struct {
	*fleet.Rollout
	List     paged // of the jobs
	Now      time.Time
	Name     string // in its address
	Sentence string
	Axis     template.HTML
	Kill     time.Time // the first to come; zero: none
	Lines    []lifeRow
	Fate     string // only jobs with this one are shown; empty: all
	Fates    []fleet.Counted
	Jobs     []touchedRow
}

func (ui *UI) readStop(ctx context.Context, arg string) (any, error) {
	id, how := asked(arg)
	rollout, h, err := ui.findRollout(ctx, id)
	if err != nil {
		return nil, err
	}
	if rollout == nil {
		return nil, noStop(id)
	}
	p := &stopPage{Rollout: rollout, Now: h.Now, Name: id, Sentence: rollout.Sentence(h.Now), Kill: rollout.Deadline(), Fate: how.Get("fate")}
	orders, err := ui.orders(ctx, h.Now)
	if err != nil {
		return nil, err
	}
	p.draw(orders)
	all := touched(rollout)
	p.count(all)
	if p.Fate != "" {
		all = slices.DeleteFunc(all, func(t touchedRow) bool { return t.Word != p.Fate })
	}
	slices.SortStableFunc(all, func(a, b touchedRow) int { return cmp.Compare(a.rank(), b.rank()) })
	var from, to int
	p.List, from, to = pageOf(how.Get("page"), len(all))
	p.Jobs = all[from:to]
	return p, ui.locate(ctx, p.Jobs, &h, rollout.Began)
}

// draw makes a line for each process, all on one scale: those that ended or leave, and
// below them the ones that came.
func (p *stopPage) draw(orders orders) {
	add := func(row lifeRow, line fleet.Line) {
		row.line = line
		p.Lines = append(p.Lines, row)
	}
	for i := range p.Stops {
		stop := newStopRow(&p.Stops[i])
		add(lifeRow{ID: store.Identity(stop.ID), State: stop.End, Release: cmp.Or(stop.Release, stop.Tag), Stop: stop}, stop.Line())
	}
	leaving := len(p.Lines)
	for _, group := range [][]store.Process{p.Living, p.Next} {
		for i := range group {
			if !slices.ContainsFunc(p.Stops, func(s fleet.Stop) bool { return s.ID == string(group[i].ID) }) {
				alive := &processRow{group[i], fleet.State(&group[i]), orders.of(&group[i])}
				add(lifeRow{ID: alive.ID, State: alive.State, Release: fleet.ReleaseOf(&alive.Process), Alive: alive, Kill: alive.KillAt}, fleet.LineOf(&alive.Process, p.Now))
			}
		}
		if len(p.Living) > 0 && leaving < len(p.Stops)+len(p.Living) {
			leaving = len(p.Lines)
		}
	}
	if !p.Ended.IsZero() { // what goes on does not stretch what is over
		leaving = len(p.Stops)
	}
	p.Lines = p.Lines[:min(len(p.Lines), 4*rows)]
	lines := make([]fleet.Line, 0, len(p.Lines))
	for _, row := range p.Lines[:min(max(leaving, 1), len(p.Lines))] {
		lines = append(lines, row.line)
	}
	s := scaleOf(lines)
	p.Axis = drawAxis(s)
	for i := range p.Lines {
		p.Lines[i].Line = drawLine(p.Lines[i].line, s)
	}
}

// count says how the fates add up to the jobs that were touched.
func (p *stopPage) count(all []touchedRow) {
	n := map[string]int{}
	for _, t := range all {
		n[t.Word]++
	}
	for _, word := range fateWords {
		if n[word] > 0 || slices.Contains([]string{"finished", "checkpointed", "handed back", "rescued", "deaf"}, word) {
			p.Fates = append(p.Fates, fleet.Counted{Sign: signs[word].sign, Word: word, N: n[word]})
		}
	}
}

// Path is the page's own address with another fate.
func (p *stopPage) path() string { return "/stops/" + url.PathEscape(p.Name) }

// Self is the address of the page, without a query.
func (p *stopPage) Self() string { return p.path() }

// Reasons are why its processes ended, each once: "SIGTERM", "stop command".
func (p *stopPage) Reasons() string {
	var all []string
	for _, s := range p.Stops {
		if !slices.Contains(all, s.Reason) && s.Reason != "" {
			all = append(all, s.Reason)
		}
	}
	return strings.Join(all, ", ")
}
