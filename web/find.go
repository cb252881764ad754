package web

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// maxFound is how much a search for a name shows.
const maxFound = 20

// named is something that has a page, or something that can be done.
type named struct {
	Group  string `json:"group"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
	Path   string `json:"path"`
	Asks   bool   `json:"asks,omitempty"` // the page behind it asks before anything is done
	Post   bool   `json:"post,omitempty"` // it is done at once

	rank int
}

// findPage is what the page of a search shows.
type findPage struct {
	Text  string
	Found []named
}

// find looks for text in the names of all there is. Script asks for the same as JSON.
func (ui *UI) find(w http.ResponseWriter, r *request) error {
	text := strings.TrimSpace(r.FormValue("q"))
	all, err := ui.everything(r)
	if err != nil {
		return err
	}
	p := findPage{text, matching(all, text)}
	if isJID(text) {
		p.Found = append([]named{{Group: "Job", Title: text, Path: r.Path("/jobs/" + url.PathEscape(text))}}, p.Found...)
	} else if text != "" {
		p.Found = append(p.Found, named{Group: "Jobs", Title: "Search all jobs that failed for " + text, Path: r.Path("/jobs", "state", "retry", "q", text)})
	}
	if !strings.Contains(r.Header.Get("Accept"), "application/json") {
		ui.render(w, r, page{Title: "Find", Tab: "/more", Template: "find", Data: p})
		return nil
	}
	body, err := json.Marshal(p.Found)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(body)
	return nil
}

// isJID reports whether text may be the name of a job: nothing else here is called so.
func isJID(text string) bool {
	return len(text) >= 20 && len(text) <= 64 && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-'
	})
}

// everything is all that has a name, in the order in which it is shown: the pages, then
// what is done to them that who asks may do.
func (ui *UI) everything(r *request) (all []named, err error) {
	ctx := r.Context()
	for _, t := range ui.tabs {
		all = append(all, named{Group: "Page", Title: t.Title, Detail: t.About, Path: r.Path(t.Path)})
	}
	queues, err := ui.recent.Queues(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range queues {
		at, name := "/queues/"+url.PathEscape(q.Name), prose.Plain(q.Name)
		all = append(all, named{Group: "Queue", Title: name, Detail: prose.Count(q.Waiting) + " waiting", Path: r.Path(at)})
		switch {
		case !r.May("operate"):
		case q.Paused:
			all = append(all, named{Group: "Do", Title: "resume " + name, Path: r.Path(at + "/resume"), Post: true})
		default:
			all = append(all, named{Group: "Do", Title: "pause " + name, Path: r.Path(at + "/pause"), Post: true})
		}
	}
	processes, err := ui.recent.Processes(ctx)
	if err != nil {
		return nil, err
	}
	for i := range processes {
		all = append(all, findProcess(r, &processes[i])...)
	}
	stops, err := ui.history(ctx, time.Time{}, fleet.MaxStops)
	if err != nil {
		return nil, err
	}
	for _, rollout := range fleet.Rollouts(stops.Reports, stops.Processes, stops.Marks, stops.Now) {
		all = append(all, named{Group: "Stop", Title: prose.Plain(rollout.Title()), Detail: prose.When(rollout.Began, stops.Now), Path: r.Path("/stops/" + rollout.ID)})
	}
	kinds, err := ui.kinds(ctx)
	for _, kind := range kinds {
		all = append(all, named{Group: "Kind", Title: prose.Plain(kind), Path: r.Path("/jobs", "q", "kind:"+kind)})
	}
	return all, err
}

// findProcess is a process and what it can be told.
func findProcess(r *request, p *store.Process) []named {
	at, name, state := "/processes/"+url.PathEscape(string(p.ID)), fleet.Short(p.ID), fleet.State(p)
	all := []named{{Group: "Process", Title: name, Detail: state, Path: r.Path(at)}}
	if !r.May("operate") || p.Lapsed {
		return all
	}
	switch state {
	case lifecycle.Running.String():
		all = append(all, named{Group: "Do", Title: "quiet " + name, Path: r.Path(at + "/quiet"), Post: true})
	case lifecycle.Quieted.String():
		all = append(all, named{Group: "Do", Title: "resume " + name, Path: r.Path(at + "/resume"), Post: true})
	}
	return append(all, named{Group: "Do", Title: "stop " + name, Path: r.Path(at + "/stop"), Asks: true})
}

// kinds are those that ran in the last day.
func (ui *UI) kinds(ctx context.Context) (kinds []string, err error) {
	points, err := ui.store.Series(ctx, store.SeriesQuery{Step: store.Hour, From: time.Now().Add(-24 * time.Hour)})
	for _, p := range points {
		if p.Kind != "" {
			kinds = append(kinds, p.Kind)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds), err
}

// matching are those whose name has all words of text, or at least its letters in their
// order; the closest come first.
func matching(all []named, text string) (some []named) {
	for _, f := range all {
		if f.rank = rank(strings.ToLower(f.Title), strings.ToLower(text)); f.rank > 0 {
			some = append(some, f)
		}
	}
	slices.SortStableFunc(some, func(a, b named) int { return cmp.Compare(b.rank, a.rank) })
	return some[:min(len(some), maxFound)]
}

// rank says how well a name fits: 0 is not at all.
func rank(name, text string) int {
	words := strings.Fields(text)
	switch {
	case text == "" || name == text:
		return 4
	case strings.HasPrefix(name, text):
		return 3
	case !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(name, w) }):
		return 2
	}
	for _, letter := range text {
		_, after, ok := strings.Cut(name, string(letter))
		if !ok && letter != ' ' {
			return 0
		}
		if ok {
			name = after
		}
	}
	return 1
}
