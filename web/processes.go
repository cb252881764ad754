package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

func (ui *UI) processesRoutes() {
	ui.topics["processes"] = topic{page: "processes", read: ui.readProcesses}
	ui.topics["process"] = topic{page: "process", read: ui.readProcess}
	ui.get("GET /processes", ui.processes)
	ui.get("GET /processes/{id}", ui.process)
	ui.get("GET /processes/{id}/stop", ui.askStop)
	ui.get("GET /processes/stop", ui.askStop)
	for verb, role := range map[store.Verb]Role{store.Quiet: Operator, store.Resume: Operator, store.Stop: Operator, store.Dump: Admin} {
		tell := func(w http.ResponseWriter, r *request) error { return ui.tell(w, r, verb) }
		ui.post("/processes/{id}/"+string(verb), role, tell)
		if verb != store.Dump {
			ui.post("/processes/"+string(verb), role, tell)
		}
	}
}

// rows is how many rows of anything a page shows at most.
const rows = 50

// paged is one page of a list.
type paged struct{ Page, Pages, Total int }

// pageOf returns which of n things the page shows that is asked for. One that is not
// there any more is the last.
func pageOf(asked string, n int) (p paged, from, to int) {
	page, _ := strconv.Atoi(asked)
	p = paged{Total: n, Pages: max(1, (n+rows-1)/rows)}
	p.Page = min(max(1, page), p.Pages)
	from = (p.Page - 1) * rows
	return p, from, min(n, from+rows)
}

// Next and Previous are the pages beside this one; "" where there is none.
func (p paged) Next() string {
	if p.Page >= p.Pages {
		return ""
	}
	return strconv.Itoa(p.Page + 1)
}

func (p paged) Previous() string {
	if p.Page <= 1 {
		return ""
	}
	return strconv.Itoa(p.Page - 1)
}

// asked takes apart what a topic of one thing is asked: what it is of, and how to
// show it. Neither may hold what keeps topics apart.
func asked(arg string) (name string, how url.Values) {
	name, query, _ := strings.Cut(arg, "?")
	name, _ = url.PathUnescape(name) // as it is, if nobody has escaped it
	how, _ = url.ParseQuery(query)   // what cannot be read is not asked for
	return name, how
}

// asking is the other way round. Of how, it takes over what names says.
func asking(name string, how url.Values, names ...string) string {
	query := url.Values{}
	for _, n := range names {
		if v := how.Get(n); v != "" {
			query.Set(n, v)
		}
	}
	if len(query) == 0 {
		return url.PathEscape(name)
	}
	return url.PathEscape(name) + "?" + query.Encode()
}

func (ui *UI) processes(w http.ResponseWriter, r *request) error {
	ui.render(w, r, page{Title: "Processes", Tab: "/processes", Template: "processes",
		Data: listing{asking("", r.URL.Query(), "group", "q", "page"), processGroupings}})
	return nil
}

// listing is a list that can be shown in several ways.
type listing struct {
	Arg string // what its topic is asked
	How []string
}

// processGroupings are what processes can be put together by, the usual first.
var processGroupings = []string{"version", "queue", "host"}

// processList is what the page of all processes shows.
type processList struct {
	paged
	Group, Q string
	States   []stateTally
	Ended    endedLately
	Groups   []processGroup
	None     bool // there is not one, whatever is asked for
}

// stateTally is how many processes are in a state.
type stateTally struct {
	State string
	N     int
}

// endedLately counts the processes that ended within a day. More: there were too many to
// count all.
type endedLately struct {
	Stopped, Vanished int
	More              bool
}

// processGroup is the processes that have one thing in common. N, Busy and Slots are of
// all of them, those on other pages included.
type processGroup struct {
	Name           string
	Release        string // of all of them; only where they are grouped by it
	N, Busy, Slots int
	Rows           []processRow
}

// processRow is a process in a list.
type processRow struct {
	store.Process
	State string
	Told  *order
}

// Running is how many of its slots run a job.
func (p processRow) Running() int { return len(p.Busy) }

// Works are its queues as --queue takes them: with their weight, unless that is 1.
func (p processRow) Works() string { return worksOf(&p.Process) }

func worksOf(p *store.Process) string {
	var words []string
	for _, g := range p.Groups {
		for _, s := range g.Queues {
			word := s.Queue
			if s.Weight > 1 && !g.Strict {
				word = fmt.Sprintf("%s ×%d", s.Queue, s.Weight)
			}
			if !slices.Contains(words, word) {
				words = append(words, word)
			}
		}
	}
	return strings.Join(words, ", ")
}

// processStates are the states that a process may be in, as people count them.
var processStates = []string{"running", "quiet", "draining", "frozen", "lapsed"}

func (ui *UI) readProcesses(ctx context.Context, arg string) (any, error) {
	_, how := asked(arg)
	all, err := ui.recent.Processes(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	orders, err := ui.orders(ctx, now)
	if err != nil {
		return nil, err
	}
	l := &processList{Group: how.Get("group"), Q: strings.TrimSpace(how.Get("q")), None: len(all) == 0}
	if !slices.Contains(processGroupings, l.Group) {
		l.Group = processGroupings[0]
	}
	counts := map[string]int{}
	var chosen []processRow
	for i := range all {
		p := &all[i]
		counts[fleet.State(p)]++
		if l.Q == "" || hasWord(p, l.Q) {
			chosen = append(chosen, processRow{*p, fleet.State(p), orders.of(p)})
		}
	}
	for _, state := range processStates {
		if n := counts[state]; n > 0 || state == "running" {
			l.States = append(l.States, stateTally{state, n})
		}
	}
	if l.Ended, err = ui.countEnded(ctx, now); err != nil {
		return nil, err
	}
	l.group(chosen, how.Get("page"))
	return l, nil
}

// group puts one page of rows under what they have in common.
func (l *processList) group(chosen []processRow, page string) {
	of := func(p *store.Process) string {
		switch l.Group {
		case "queue":
			return strings.Join(fleet.Queues(p), ", ")
		case "host":
			return p.Host
		}
		return fleet.ReleaseOf(p)
	}
	slices.SortStableFunc(chosen, func(a, b processRow) int {
		return cmp.Or(cmp.Compare(of(&a.Process), of(&b.Process)), cmp.Compare(a.ID, b.ID))
	})
	var from, to int
	l.paged, from, to = pageOf(page, len(chosen))
	var all []processGroup
	for i, p := range chosen {
		name := of(&p.Process)
		if len(all) == 0 || all[len(all)-1].Name != name {
			all = append(all, processGroup{Name: name})
			if l.Group == "version" {
				all[len(all)-1].Release = name
			}
		}
		g := &all[len(all)-1]
		g.N, g.Busy, g.Slots = g.N+1, g.Busy+len(p.Busy), g.Slots+p.Concurrency
		if from <= i && i < to {
			g.Rows = append(g.Rows, p)
		}
	}
	l.Groups = slices.DeleteFunc(all, func(g processGroup) bool { return len(g.Rows) == 0 })
}

func hasWord(p *store.Process, word string) bool {
	word = strings.ToLower(word)
	texts := append([]string{string(p.ID), p.Release, p.Tag, p.Lang, fleet.State(p)}, append(fleet.Queues(p), p.Labels...)...)
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), word) })
}

// countEnded counts who ended within the last day, as far as that is cheap.
func (ui *UI) countEnded(ctx context.Context, now time.Time) (n endedLately, err error) {
	for report, err := range ui.store.Stops(ctx) {
		switch {
		case err != nil:
			return n, err
		case now.Sub(report.Ended) > 24*time.Hour:
			return n, nil
		case n.Stopped+n.Vanished == fleet.MaxStops:
			n.More = true
			return n, nil
		case report.Began.IsZero():
			n.Vanished++
		default:
			n.Stopped++
		}
	}
	return n, nil
}
