package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// tab is a list of the view.
type tab int

const (
	tabStops tab = iota
	tabProcesses
	tabQueues
	tabRunning
	tabErrors
	tabs
)

var tabNames = [tabs]string{"stops", "processes", "queues", "running", "errors"}

// row is one line of a list.
type row struct {
	id    string
	cells []string
	open  func(*page)
}

// cursor is the selected row of a list: which one it is, and where it was.
type cursor struct {
	index int
	id    string
}

// in finds the row again: by what it is, else whatever is now where it was.
func (c cursor) in(rows []row) int {
	if i := slices.IndexFunc(rows, func(r row) bool { return r.id == c.id }); i >= 0 {
		return i
	}
	return min(c.index, max(0, len(rows)-1))
}

// heads are the columns of a list.
func (t *top) heads() []console.Column {
	switch t.tab {
	case tabStops:
		return []console.Column{{Head: "PROCESS", Flex: true}, {Head: "RELEASE", Flex: true}, {Head: "STOP"}, {Head: "JOBS", Flex: true}, {Head: "TIME"}}
	case tabProcesses:
		return []console.Column{{Head: "PROCESS", Flex: true}, {Head: "STATE"}, {Head: "RELEASE", Flex: true}, {Head: "BUSY"}, {Head: "QUEUES", Flex: true}, {Head: "RSS", Right: true}, {Head: "UP", Right: true}, {Head: "BEAT", Right: true}}
	case tabQueues:
		return []console.Column{{Head: "QUEUE", Flex: true}, {Head: "WAITING", Right: true}, {Head: "HELD", Right: true}, {Head: "OLDEST", Right: true}, {Head: "SERVED BY"}, {Head: ""}}
	case tabRunning:
		return []console.Column{{Head: "JID"}, {Head: "KIND", Flex: true}, {Head: "QUEUE", Flex: true}, {Head: "PROCESS", Flex: true}, {Head: "FOR", Right: true}, {Head: "NOTE", Flex: true}}
	}
	return []console.Column{{Head: "JOBS", Right: true}, {Head: "ERROR", Flex: true}, {Head: "MESSAGE", Flex: true}, {Head: "WHERE"}, {Head: "SINCE", Flex: true}, {Head: "LAST", Right: true}}
}

// rows are the rows of the current list that the filter lets through.
func (t *top) rows() []row {
	if t.seen == nil {
		return nil
	}
	rows := [tabs]func() []row{t.stopRows, t.processRows, t.queueRows, t.runningRows, t.errorRows}[t.tab]()
	if t.filter == "" {
		return rows
	}
	sought := strings.ToLower(t.filter)
	return slices.DeleteFunc(rows, func(r row) bool {
		return !strings.Contains(strings.ToLower(ansi.Strip(r.id+" "+strings.Join(r.cells, " "))), sought)
	})
}

// stopRows are the processes that are on their way out, those with the least time
// first, and then those that have ended.
func (t *top) stopRows() (rows []row) {
	pic := t.seen.pic
	cells := min(30, max(12, t.width/4-4))
	leaving := slices.DeleteFunc(slices.Clone(pic.Processes), func(p store.Process) bool { return !fleet.Leaving(&p) })
	slices.SortStableFunc(leaving, func(a, b store.Process) int {
		if a.KillAt.IsZero() != b.KillAt.IsZero() {
			return map[bool]int{true: 1, false: -1}[a.KillAt.IsZero()]
		}
		return a.KillAt.Compare(b.KillAt)
	})
	for _, p := range leaving {
		left := ""
		if !p.KillAt.IsZero() && !p.Lapsed {
			left = fleet.Clock(p.KillAt.Sub(t.clock())) + " left"
		}
		rows = append(rows, row{string(p.ID), []string{
			t.marked(fleet.State(&p), p.ID), prose.Plain(fleet.ReleaseOf(&p)), lifeline(fleet.LineOf(&p, pic.At), cells, t.term.Unicode),
			prose.Plural(len(p.Busy), "job") + " left", left,
		}, newProcessInfo(p).text})
	}
	for _, r := range pic.Stops {
		s := fleet.NewStop(r)
		state, took := fleet.Stopped, ""
		switch used, of := s.Used(); {
		case s.Vanished():
			if state = fleet.Vanished; s.After > 0 {
				took = "back in " + prose.Span(time.Duration(s.After*float64(time.Second)))
			}
		case of > 0:
			took = fleet.Of(used, of)
		default:
			took = prose.Span(time.Duration(s.Took * float64(time.Second)))
		}
		info := &stopInfo{Stop: s, Jobs: s.Jobs(), Notes: r.Notes}
		for _, p := range r.Phases {
			info.Phases = append(info.Phases, phaseRow{p.Name, p.Took.Seconds(), p.InFlight})
		}
		rows = append(rows, row{s.ID, []string{
			t.marked(state, r.ID), prose.Plain(s.Release), lifeline(s.Line(), cells, t.term.Unicode), t.fates(&s), took,
		}, info.text})
	}
	return rows
}

// marked is a process with the sign of its state.
func (t *top) marked(state string, id store.Identity) string {
	style := console.Warn
	switch state {
	case "running":
		style = console.Good
	case fleet.Stopped:
		style = console.Dim
	case fleet.Vanished, "lapsed", "frozen":
		style = console.Bad
	}
	return style(t.sign(state)) + " " + prose.Plain(fleet.Short(id))
}

// fates says what became of the jobs of a stop, in signs where it can.
func (t *top) fates(s *fleet.Stop) string {
	var parts []string
	for _, f := range s.Fates.Each() {
		word := " " + f.Word
		if t.term.Unicode {
			word = " " + f.Sign
		}
		if f.N > 0 {
			parts = append(parts, prose.Count(f.N)+word)
		}
	}
	lost := prose.Count(s.Lost) + " lost"
	if s.Lost > 0 {
		lost = console.Bad(lost)
	}
	return strings.Join(append(parts, lost), " ")
}

func (t *top) processRows() (rows []row) {
	for _, p := range t.seen.pic.Processes {
		rss := ""
		if p.RSS > 0 {
			rss = prose.Bytes(p.RSS)
		}
		info := newProcessInfo(p)
		rows = append(rows, row{string(p.ID), []string{
			t.marked(info.State, p.ID), info.State, prose.Plain(fleet.ReleaseOf(&p)), t.bar(info.Busy, info.Concurrency), prose.Plain(strings.Join(info.Queues, ", ")),
			rss, t.since(p.Started), t.since(p.Beat),
		}, info.text})
	}
	return rows
}

// bar draws how many slots run a job, where there is room for it.
func (t *top) bar(busy, slots int) string {
	text := fmt.Sprintf("%d/%d", busy, slots)
	if t.width < 100 || slots == 0 {
		return text
	}
	return t.term.Bar(int64(busy), int64(slots), 6) + " " + text
}

// since is how long ago something was.
func (t *top) since(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return prose.Span(max(0, t.seen.pic.At.Sub(at)).Round(100 * time.Millisecond))
}

func (t *top) queueRows() (rows []row) {
	pic := t.seen.pic
	for _, q := range pic.Queues {
		info := t.queueRow(q, pic.Processes)
		served, paused, oldest := prose.Plural(info.Processes, "process"), "", ""
		if info.Processes == 0 {
			if served = "nobody"; q.Waiting > 0 {
				served = console.Bad(served)
			}
		}
		if q.Paused {
			paused = console.Warn("paused")
		}
		if q.Waiting > 0 {
			oldest = t.since(q.Oldest)
		}
		rows = append(rows, row{q.Name, []string{prose.Plain(q.Name), prose.Count(q.Waiting), prose.Count(q.Held), oldest, served, paused}, func(p *page) {
			p.field("queue", q.Name)
			p.field("waiting", q.Waiting)
			p.field("held", q.Held)
			p.field("oldest", info.OldestAt)
			p.field("paused", q.Paused)
			p.field("served by", info.Processes)
		}})
	}
	return rows
}

func (t *top) runningRows() (rows []row) {
	type run struct {
		store.Run
		on store.Identity
	}
	var runs []run
	for _, p := range t.seen.pic.Processes {
		for _, r := range p.Busy {
			runs = append(runs, run{r, p.ID})
		}
	}
	slices.SortStableFunc(runs, func(a, b run) int { return a.Since.Compare(b.Since) })
	for _, r := range runs {
		note := prose.Plain(r.Note)
		if r.Deaf {
			note = strings.TrimSpace(console.Bad("deaf") + " " + note)
		}
		rows = append(rows, row{r.JID + " " + string(r.on) + " " + r.Slot, []string{
			tail(r.JID), prose.Plain(r.Kind), prose.Plain(r.Queue), prose.Plain(fleet.Short(r.on)), t.since(r.Since), note,
		}, func(p *page) {
			p.field("jid", r.JID)
			p.field("kind", r.Kind)
			p.field("queue", r.Queue)
			p.field("process", string(r.on))
			p.field("slot", r.Slot)
			p.field("since", r.Since)
			p.field("note", r.Note)
		}})
	}
	return rows
}

// tail is the end of a jid: those made in one minute begin alike.
func tail(jid string) string {
	jid = prose.Plain(jid)
	if len(jid) <= 8 {
		return jid
	}
	return "…" + jid[len(jid)-8:]
}

func (t *top) errorRows() (rows []row) {
	for _, g := range t.seen.errors {
		since := t.ago(g.First)
		if g.Release != "" {
			since = prose.Plain(g.Release)
		}
		rows = append(rows, row{g.ID, []string{prose.Count(g.Count), console.Bad(prose.Plain(g.Class)), prose.Plain(g.Message), g.Where(), since, t.ago(g.Last)}, func(p *page) {
			p.field("error", g.Class)
			p.field("message", g.Message)
			p.field("jobs", g.Where())
			p.field("first seen", g.First)
			p.field("since", g.Release)
			p.field("last seen", g.Last)
			p.field("for example", g.Kind+" "+g.JID)
			p.line("")
			p.line("ebb jobs show %s", prose.Plain(g.JID))
		}})
	}
	return rows
}

func (t *top) ago(at time.Time) string { return prose.When(at, t.seen.pic.At) }

// clock is the present of what is shown: while it is paused, time stands.
func (t *top) clock() time.Time {
	if t.paused && t.seen != nil {
		return t.seen.pic.At
	}
	return t.now()
}
