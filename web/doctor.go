package web

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

func (ui *UI) doctorRoutes() {
	ui.topics["findings"] = topic{page: "doctor", every: 5 * time.Second, read: ui.findings}
	ui.get("GET /doctor", ui.doctor)
}

func (ui *UI) doctor(w http.ResponseWriter, r *request) error {
	ui.render(w, r, page{Title: "Doctor", Tab: "/doctor", Template: "doctor"})
	return nil
}

// findings are what is wrong with where processes run, and with the store.
type findings struct {
	Live  []finding
	Store []finding
	Alive int // processes that were asked
	More  int // findings that are not shown
}

// finding is one thing that processes, or the store, found wrong.
type finding struct {
	Key   string
	Text  string
	Found []store.Identity // by whom
	Rule  Rule             // which explains it; without an ID none does
	Cost  *fleet.Stop      // the last stop that names it
}

const (
	// maxFindings are shown of processes, those of the most processes first.
	maxFindings = 50
	// maxFinders are the processes that are named with each.
	maxFinders = 5
)

// findings gathers what living processes and the store tell.
func (ui *UI) findings(ctx context.Context, _ string) (any, error) {
	processes, err := ui.store.Processes(ctx)
	if err != nil {
		return nil, err
	}
	f := &findings{}
	at := map[string]int{}
	for _, p := range processes {
		if p.Lapsed {
			continue
		}
		f.Alive++
		for _, text := range p.Warnings {
			i, known := at[text]
			if !known {
				i = len(f.Live)
				at[text] = i
				f.Live = append(f.Live, ui.newFinding(text))
			}
			f.Live[i].Found = append(f.Live[i].Found, p.ID)
		}
	}
	slices.SortStableFunc(f.Live, func(a, b finding) int { return len(b.Found) - len(a.Found) })
	f.More = max(0, len(f.Live)-maxFindings)
	f.Live = f.Live[:len(f.Live)-f.More]
	for _, text := range ui.store.Describe().Warnings {
		f.Store = append(f.Store, ui.newFinding(text))
	}
	return f, f.costs(ctx, ui.store)
}

func (ui *UI) newFinding(text string) finding {
	f := finding{Key: fleet.GroupID("", text), Text: text}
	if ui.opt.Explain != nil {
		f.Rule, _ = ui.opt.Explain(text)
	}
	return f
}

// costs finds the last stop that names each finding in its notes.
func (f *findings) costs(ctx context.Context, st store.Inspector) error {
	if len(f.Live)+len(f.Store) == 0 {
		return nil
	}
	read := 0
	for r, err := range st.Stops(ctx) {
		if err != nil {
			return err
		}
		if read++; read > fleet.MaxStops {
			break
		}
		for _, all := range [][]finding{f.Live, f.Store} {
			for i := range all {
				if all[i].Cost == nil && all[i].named(r.Notes) {
					s := fleet.NewStop(r)
					all[i].Cost = &s
				}
			}
		}
	}
	return nil
}

// named reports whether notes name a finding: by its rule, or in its own words.
func (f *finding) named(notes []string) bool {
	return slices.ContainsFunc(notes, func(note string) bool {
		return strings.Contains(note, f.Text) || f.Rule.ID != "" && slices.Contains(strings.FieldsFunc(note, notOfRule), f.Rule.ID)
	})
}

func notOfRule(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') }

// Plain is the finding as it is shown.
func (f finding) Plain() string { return prose.Plain(f.Text) }

// Some are those that found it, as many as are named, and Rest how many others did.
func (f finding) Some() []store.Identity { return f.Found[:min(len(f.Found), maxFinders)] }
func (f finding) Rest() int              { return len(f.Found) - len(f.Some()) }

// findingsOf is a part of the page.
type findingsOf struct {
	Title string
	All   []finding
	None  string // what there is to say without any
}

// Parts are those of the page: processes, and the store.
func (f *findings) Parts() []findingsOf {
	live := findingsOf{"Processes", f.Live, prose.Plural(f.Alive, "process") + " asked, nothing found."}
	if f.Alive == 0 {
		live.None = "No process lives that could be asked."
	}
	return []findingsOf{live, {"Store", f.Store, "The store has nothing to say against itself."}}
}
