package web

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

// UI is the pages. It may be used by many goroutines at once.
type UI struct {
	store  store.Store
	client *ebb.Client
	opt    Options
	auth   Auth
	mux    *http.ServeMux
	topics map[string]topic // by name
	tabs   []tab
	hub    *hub
	recent store.Store // for topics, which show what all who look may share
	atHand store.Store // for pages, which show at once what is there
	finder *jobFinder
	bulk   *bulkRuns
}

// New returns the pages of client's store. Close lets go of what they have begun; the
// client stays open. It returns an error that names every option that is wrong.
func New(client *ebb.Client, opt Options) (*UI, error) {
	if err := opt.check(); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	ui := &UI{store: client.Store(), client: client, opt: opt, auth: opt.Auth, mux: http.NewServeMux(), topics: map[string]topic{}}
	if ui.auth == nil {
		ui.auth = localAuth{}
	}
	if ui.opt.Role == nil {
		ui.opt.Role = func(User) Role { return Admin }
	}
	if ui.opt.Title == "" {
		ui.opt.Title, _ = os.Hostname() // without one there is just no title
	}
	ui.hub = newHub(ui)
	ui.recent, ui.atHand = recent{ui.store, ui.hub, waiting}, recent{ui.store, ui.hub, hasty}
	ui.routes()
	ui.tabs = ui.present()
	return ui, nil
}

// check reports everything that is wrong at once.
func (o *Options) check() error {
	var wrong []error
	if o.Base != "" && !isBase(o.Base) {
		wrong = append(wrong, fmt.Errorf("Base %q: want a path that begins with a slash and does not end with one", o.Base))
	}
	for _, host := range o.Hosts {
		if strings.ContainsAny(host, "/:") && !strings.HasPrefix(host, "[") {
			wrong = append(wrong, fmt.Errorf("Hosts: %q: want a name without a port", host))
		}
	}
	for _, link := range o.Links {
		if err := link.check(); err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

// Close ends what runs for open pages. They say so, and come back by themselves where
// another one answers. A second call does nothing.
func (ui *UI) Close() error {
	ui.bulk.close()
	ui.hub.close()
	return nil
}

// routes are all pages, their topics, and what may be done. Each page's file has its own.
func (ui *UI) routes() {
	ui.mux.HandleFunc("GET /assets/{hash}/{name}", serveAsset)
	ui.get("GET /live", ui.live)
	ui.get("GET /piece", ui.pieceOf)
	ui.frameRoutes()
	ui.overviewRoutes()
	ui.metricsRoutes()
	ui.scheduleRoutes()
	ui.auditRoutes()
	ui.doctorRoutes()
	ui.settingsRoutes()
	ui.jobsRoutes()
	ui.bulkRoutes()
	ui.jobRoutes()
	ui.stopsRoutes()
	ui.processesRoutes()
	ui.queuesRoutes()
}

// get serves a page to whoever may see.
func (ui *UI) get(pattern string, serve func(http.ResponseWriter, *request) error) {
	ui.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		ui.serve(w, r, Viewer, serve)
	})
}

// post serves a change to whoever has the role, unless there are to be no changes. All
// open windows are told of it.
func (ui *UI) post(path string, role Role, serve func(http.ResponseWriter, *request) error) {
	if ui.opt.ReadOnly {
		role, serve = Viewer, func(http.ResponseWriter, *request) error { return errReadOnly }
	}
	ui.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		ui.serve(w, r, role, func(w http.ResponseWriter, r *request) error {
			defer ui.hub.poke()
			return serve(w, r)
		})
	})
}

// serve finds out who asks and whether they may, and answers an error with a page.
func (ui *UI) serve(w http.ResponseWriter, hr *http.Request, role Role, serve func(http.ResponseWriter, *request) error) {
	r, err := ui.enter(w, hr)
	if err == nil && r.Role < role {
		err = forbidden(role)
	}
	if err == nil {
		err = serve(w, r)
	}
	if err != nil {
		ui.fail(w, r, err)
	}
}

// ServeHTTP answers with a page, a part of one, or a file that pages need.
func (ui *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if r.URL.Path == "" { // a prefix without its slash was stripped
		http.Redirect(w, r, ui.baseOf(r)+"/", http.StatusPermanentRedirect)
		return
	}
	if isClean(r) { // else the mux would redirect to where the base is missing
		if _, pattern := ui.mux.Handler(r); pattern != "" {
			ui.mux.ServeHTTP(w, r)
			return
		}
	}
	ui.serve(w, r, Viewer, func(w http.ResponseWriter, r *request) error { return ui.unknown(w, r) })
}

func isClean(r *http.Request) bool {
	asked := r.URL.EscapedPath()
	return path.Clean(asked) == asked
}

// unknown says that there is no such page, or none for this method.
func (ui *UI) unknown(w http.ResponseWriter, r *request) error {
	if !isClean(r.Request) {
		return missing("there is no page %q", r.URL.Path)
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := ui.mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return missing("there is no page %q", r.URL.Path)
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return fault(http.StatusMethodNotAllowed, fmt.Errorf("%s is not for %q", r.Method, r.URL.Path), "")
}
