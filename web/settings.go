package web

import (
	"net/http"
	"runtime/debug"
	"time"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

func (ui *UI) settingsRoutes() { ui.get("GET /settings", ui.settings) }

// settingsPage is what this ebb web is. What a reader prefers is not here: it stays in
// cookies of their browser.
type settingsPage struct {
	Version  string
	Store    store.Description
	Role     Role
	ReadOnly bool
	Kept     []kept
}

// kept is what a store keeps, for how long.
type kept struct{ What, For, Most string }

func (ui *UI) settings(w http.ResponseWriter, r *request) error {
	ui.render(w, r, page{Title: "Settings", Tab: "/settings", Template: "settings", Data: settingsPage{
		Version: ebbVersion(), Store: ui.store.Describe(), Role: r.Role, ReadOnly: ui.opt.ReadOnly, Kept: keptBy(),
	}})
	return nil
}

// ebbVersion is that of the ebb module in this program.
func ebbVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/ebbjobs/ebb" {
			return m.Version
		}
	}
	return info.Main.Version
}

// keptBy says what stores keep, by their own limits.
func keptBy() []kept {
	all := []kept{
		{"stop reports", "30 d", ""},
		{"the dead set, unless a process is told otherwise", "180 d", "10,000"},
		{"changes in the audit trail", prose.Span(store.ChangeAge), prose.Count(store.MaxChanges)},
		{"what undo needs of jobs that were deleted, buried or moved", prose.Span(bulk.UndoFor), prose.Bytes(bulk.MaxUndoBytes)},
		{"jobs that ended well, by name", "until newer ones take their place", prose.Count(store.MaxEnded)},
		{"releases that began (deploy marks)", prose.Span(store.MarkAge), prose.Count(store.MaxMarks)},
	}
	for _, step := range store.Steps {
		k := kept{What: "how runs went, by " + stepText(step), For: prose.Span(step.Kept()), Most: prose.Count(store.MaxSeries) + " kinds, queues and versions"}
		if step.Total() {
			k.Most = "all together"
		}
		all = append(all, k)
	}
	return all
}

// stepText writes a step in its largest unit.
func stepText(s store.Step) string {
	switch s {
	case store.Minute:
		return "minute"
	case store.Hour:
		return "hour"
	case store.Day:
		return "day"
	}
	return prose.Span(time.Duration(s))
}
