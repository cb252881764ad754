package web

import (
	"net/http"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/prose"
)

// tab is a page of the navigation.
type tab struct {
	Path, Title, About string
	Wide               bool // in the bar of a window that is not the widest
	Phone              bool // and in that of a phone
}

// Less reports whether a phone's bar leaves it out, so that it stands behind More.
func (t tab) Less() bool { return !t.Phone }

// Class says where the bar leaves it out: on a phone, or wherever not all have room.
func (t tab) Class() string {
	switch {
	case !t.Wide:
		return "less deep"
	case t.Less():
		return "less"
	}
	return ""
}

var tabs = []tab{
	{"/", "Overview", "is everything all right?", true, true},
	{"/stops", "Stops", "deploys, and what each stop did to jobs", true, true},
	{"/processes", "Processes", "who runs jobs", true, false},
	{"/queues", "Queues", "what waits, and for how long", true, true},
	{"/jobs", "Jobs", "every job there is", true, true},
	{"/schedule", "Schedule", "what is due when", true, false},
	{"/metrics", "Metrics", "how runs went", true, false},
	{"/doctor", "Doctor", "what will go wrong at the next stop", false, false},
	{"/audit", "Audit", "who changed what", false, false},
	{"/settings", "Settings", "how these pages look and behave", false, false},
}

// Tabs are the pages that there are.
func (v *view) Tabs() []tab { return v.ui.tabs }

// InMore reports whether this page stands behind More where the bar is short.
func (v *view) InMore() bool {
	i := slices.IndexFunc(tabs, func(t tab) bool { return t.Path == v.Tab })
	return v.Tab == "/more" || i >= 0 && tabs[i].Less()
}

// Site is what the pages are about.
func (v *view) Site() string { return v.ui.opt.Title }

// Env is where the jobs run.
func (r *request) Env() Env { return r.ui.opt.Env }

// preferences are what readers may prefer that shows in the first frame, by its name in
// a cookie. Nothing else of a cookie is trusted.
var preferences = map[string][]string{"theme": {"light", "dark"}, "density": {"compact"}, "clock": {"local", "utc"}}

// Preference is what the reader prefers, or empty.
func (r *request) Preference(name string) string {
	c, err := r.Cookie("ebb." + name)
	if err != nil || !slices.Contains(preferences[name], c.Value) {
		return ""
	}
	return c.Value
}

// Base is the path before all others.
func (r *request) Base() string { return r.base }

// AssetHash tells whether the script of a page is still the one that it is served with.
func (r *request) AssetHash() string {
	_, hash := assets()
	return hash
}

// Here is this page's own address.
func (r *request) Here() string { return r.With("change", "") }

// toast tells what a change has done, on the page that it was asked from.
type toast struct{ Text, Undo, Back string }

// Toast is that of the change that led to this page.
func (v *view) Toast() *toast {
	id := v.URL.Query().Get("change")
	if id == "" {
		return nil
	}
	c, err := bulk.Lookup(v.Context(), v.ui.store, id)
	if err != nil {
		return nil
	}
	t := &toast{Text: c.Verb + " " + c.What, Back: v.Here()}
	if c.Wanted > 0 {
		t.Text += ": " + prose.Plural(c.Done, "job")
	}
	if bulk.Undoable(&c, time.Now()) == nil && v.MayChange(c.Verb) {
		t.Undo = v.Path("/audit/" + c.ID + "/undo")
	}
	return t
}

func (ui *UI) frameRoutes() {
	ui.topics["deploy"] = topic{page: "deploy", every: deployPace, read: ui.readDeploy}
	ui.get("GET /find", ui.find)
	ui.get("GET /more", func(w http.ResponseWriter, r *request) error {
		ui.render(w, r, page{Title: "More", Tab: "/more", Template: "more"})
		return nil
	})
}

// present leaves of the navigation those pages that are served.
func (ui *UI) present() (there []tab) {
	for _, t := range tabs {
		r, err := http.NewRequest(http.MethodGet, t.Path, nil)
		if err != nil {
			continue
		}
		if _, pattern := ui.mux.Handler(r); pattern != "" {
			there = append(there, t)
		}
	}
	return there
}
