package main

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// topKeys are what help says of each key.
var topKeys = [][2]string{
	{"1 … 5, ← →", "stops, processes, queues, running jobs, errors"},
	{"↑ ↓, j k", "select a row; PgUp, PgDn, Home and End go further"},
	{"enter", "open it"},
	{"/", "show only rows that have a text; esc shows all again"},
	{"q", "let the selected process go quiet: it fetches nothing new"},
	{"s", "let the selected process hand over and stop"},
	{"p", "pause: the store is left alone until p is pressed again"},
	{"?", "this"},
	{"esc, ctrl+c", "back, and out"},
}

// key does what a key means where the person is.
func (t *top) key(k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	switch {
	case name == "ctrl+c":
		return tea.Quit
	case name == "ctrl+z":
		return tea.Suspend
	case t.asks != nil:
		return t.answer(name)
	case t.typing:
		t.typeFilter(k)
		return nil
	case t.helps:
		t.helps = false
		return nil
	case t.opens:
		t.turn(name)
		return nil
	}
	t.note = ""
	switch name {
	case "esc":
		if t.filter == "" {
			return tea.Quit
		}
		t.filter = ""
	case "?":
		t.helps = true
	case "p":
		t.paused = !t.paused
	case "/":
		t.typing = true
	case "q":
		t.order(t.quieting())
	case "s":
		t.order(t.stopping())
	case "enter":
		t.open()
	case "1", "2", "3", "4", "5":
		return t.goTo(tab(name[0] - '1'))
	case "right", "tab", "l":
		return t.goTo((t.tab + 1) % tabs)
	case "left", "shift+tab", "h":
		return t.goTo((t.tab + tabs - 1) % tabs)
	default:
		t.move(name)
	}
	return nil
}

// goTo shows another list. Errors are there after a look for them.
func (t *top) goTo(next tab) tea.Cmd {
	if t.tab = next; next == tabErrors && !t.reading && !t.paused {
		return t.read()
	}
	return nil
}

// move selects another row.
func (t *top) move(name string) {
	rows := t.rows()
	i := t.at[t.tab].in(rows)
	switch page := max(1, t.height-9); name {
	case "up", "k":
		i--
	case "down", "j":
		i++
	case "pgup":
		i -= page
	case "pgdown":
		i += page
	case "home", "g":
		i = 0
	case "end", "G":
		i = len(rows) - 1
	default:
		return
	}
	if len(rows) > 0 {
		i = min(max(0, i), len(rows)-1)
		t.at[t.tab] = cursor{i, rows[i].id}
	}
}

// turn scrolls what is opened, or closes it.
func (t *top) turn(name string) {
	switch name {
	case "esc", "enter", "left":
		t.opens = false
	case "up", "k":
		t.scroll--
	case "down", "j":
		t.scroll++
	case "pgup":
		t.scroll -= t.height - 4
	case "pgdown", "space":
		t.scroll += t.height - 4
	case "home", "g":
		t.scroll = 0
	}
	t.scroll = min(max(0, t.scroll), max(0, strings.Count(t.opened, "\n")-(t.height-4)))
}

// typeFilter changes the filter by a key.
func (t *top) typeFilter(k tea.KeyPressMsg) {
	switch name := k.String(); {
	case name == "enter":
		t.typing = false
	case name == "esc":
		t.typing, t.filter = false, ""
	case name == "backspace":
		if letters := []rune(t.filter); len(letters) > 0 {
			t.filter = string(letters[:len(letters)-1])
		}
	case k.Text != "":
		t.filter += k.Text
	}
}

// answer takes the answer to a question. Only y does it.
func (t *top) answer(name string) tea.Cmd {
	q := t.asks
	t.asks = nil
	if name != "y" && name != "Y" {
		t.note = "nothing was changed"
		return nil
	}
	t.note = "…"
	return q.do
}

// order asks whether to give the selected process an order.
func (t *top) order(tell *telling) {
	if err := t.writable(); err != nil {
		t.note = err.Error()
		return
	}
	p := t.selected()
	switch {
	case p == nil:
		t.note = "select a living process to " + string(tell.verb) + " it"
		return
	case p.Lapsed:
		t.note = fleet.Short(p.ID) + " is gone"
		return
	case tell.obvious(fleet.State(p)):
		t.note = fmt.Sprintf("%s is %s already", fleet.Short(p.ID), fleet.State(p))
		return
	}
	target := *p
	t.asks = &question{what: tell.will([]store.Process{target}) + ". Go on? [y/N]", do: func() tea.Msg {
		rows, failed, err := tell.tellAll(t.ctx, t.store, []store.Process{target})
		switch {
		case err != nil:
			return toldMsg(err.Error())
		case len(failed) > 0:
			return toldMsg(failed[0].Error())
		}
		return toldMsg(fmt.Sprintf("%s: %s %s", prose.Plain(fleet.Short(target.ID)), tell.verb, toldHow[rows[0].Through]))
	}}
}

// toldHow says of an order which way it went.
var toldHow = map[string]string{"socket": "told", "store": "told: it takes it with its next beat", "none": "was so already"}

// selected is the living process that the selected row is about; nil: there is none.
func (t *top) selected() *store.Process {
	if t.seen == nil || t.tab != tabStops && t.tab != tabProcesses {
		return nil
	}
	rows := t.rows()
	i := t.at[t.tab].in(rows)
	if len(rows) == 0 {
		return nil
	}
	all := t.seen.pic.Processes
	if j := slices.IndexFunc(all, func(p store.Process) bool { return string(p.ID) == rows[i].id }); j >= 0 {
		return &all[j]
	}
	return nil
}

// open shows all that is known of the selected row.
func (t *top) open() {
	rows := t.rows()
	if len(rows) == 0 {
		return
	}
	p := &page{a: t.app}
	rows[t.at[t.tab].in(rows)].open(p)
	t.opened, t.opens, t.scroll = p.b.String(), true, 0
}
