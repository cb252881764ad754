// Package probe answers over HTTP how a process that runs jobs does, for platforms
// that ask in no other way:
//
//	GET /live    200 while the event loop turns, be the process busy, quiet or stopping
//	GET /ready   200 while it takes jobs, 503 before, in a stop and when it is quiet
//	GET /status  how things are now, as JSON
//	GET /drain   quiets, and answers 200 once nothing runs any more; POST does, too
//
// /drain alone changes anything. It may be asked again, and whoever stops waiting
// takes nothing back.
package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/internal/platform"
	"github.com/ebbjobs/ebb/lifecycle"
)

const (
	// patience is how long the event loop may take to hear something. What it waits
	// for takes microseconds, so this is for machines that stand still.
	patience = 5 * time.Second
	// often is how soon /drain sees that nothing runs any more.
	often = 100 * time.Millisecond
)

// Process is what is asked about.
type Process interface {
	Status() control.Status
	// Notice returns once the event loop has heard the event, or an error if the
	// process has ended.
	Notice(lifecycle.Event) error
	// Started is closed when the process is registered with its store.
	Started() <-chan struct{}
	// Err says why the process has ended, nil while it has not, or if it ended well.
	Err() error
}

// Options are what a handler is made of.
type Options struct {
	// Process returns the process, or nil before its start.
	Process func() Process
	// Grace is the time between the beginning of a drain hook and the platform's KILL,
	// in so far as it is known: zero is not known.
	Grace func() time.Duration
}

// New makes the handler.
func New(o Options) http.Handler {
	h := handler{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", h.live)
	mux.HandleFunc("GET /ready", h.ready)
	mux.HandleFunc("GET /status", h.status)
	mux.HandleFunc("GET /drain", h.drain)
	mux.HandleFunc("POST /drain", h.drain)
	return mux
}

type handler struct{ Options }

// live fails when the event loop hangs, and after an end that went wrong, which only
// a start can mend.
func (h handler) live(w http.ResponseWriter, _ *http.Request) {
	p := h.Process()
	if p == nil {
		say(w, http.StatusOK, "not started")
		return
	}
	state := p.Status().State
	if state != lifecycle.Stopped.String() && !hears(p) {
		say(w, http.StatusServiceUnavailable, fmt.Sprintf("the event loop has heard nothing for %v", patience))
		return
	}
	if err := p.Err(); err != nil {
		say(w, http.StatusServiceUnavailable, "ended: "+err.Error())
		return
	}
	say(w, http.StatusOK, state)
}

// hears reports whether the event loop turns, or does so no more because p leaves.
func hears(p Process) bool {
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		_ = p.Notice(lifecycle.Event{Kind: lifecycle.Tick}) // an error is an answer, too
	}()
	select {
	case <-heard:
		return true
	case <-time.After(patience):
		return p.Status().State == lifecycle.Stopped.String()
	}
}

func (h handler) ready(w http.ResponseWriter, _ *http.Request) {
	p := h.Process()
	switch {
	case p == nil:
		say(w, http.StatusServiceUnavailable, "not started")
	case !closed(p.Started()):
		say(w, http.StatusServiceUnavailable, "not registered with its store")
	case p.Status().State != lifecycle.Running.String():
		say(w, http.StatusServiceUnavailable, p.Status().State)
	default:
		say(w, http.StatusOK, "running")
	}
}

func (h handler) status(w http.ResponseWriter, _ *http.Request) {
	p := h.Process()
	if p == nil {
		say(w, http.StatusServiceUnavailable, "not started")
		return
	}
	h.tell(w, p)
}

func (h handler) tell(w http.ResponseWriter, p Process) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(p.Status()) // whoever asked may be gone
}

// drain is a preStop hook: the platform's clock is running when it is called.
func (h handler) drain(w http.ResponseWriter, r *http.Request) {
	if fromBrowser(r) {
		say(w, http.StatusForbidden, "this is not for web pages: ask by address, or with POST")
		return
	}
	p := h.Process()
	if p == nil {
		say(w, http.StatusServiceUnavailable, "not started")
		return
	}
	grace, err := platform.ParseGrace(r.URL.Query().Get("grace"))
	if err != nil {
		say(w, http.StatusBadRequest, "grace: "+err.Error())
		return
	}
	if grace == 0 {
		grace = h.Grace()
	}
	e := lifecycle.Event{Kind: lifecycle.Quiet, Why: "drain request"}
	if grace > 0 {
		e.Kill = time.Now().Add(grace)
	}
	if err := p.Notice(e); err == nil && !idle(r.Context(), p) {
		say(w, http.StatusConflict, "called off: the process was told to resume")
		return
	}
	h.tell(w, p) // an error has said that it has ended: nothing runs
}

// idle waits until nothing runs in p and nothing will. It returns false if p was
// told to go on, or whoever asked has left.
func idle(ctx context.Context, p Process) bool {
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		s := p.Status()
		if s.Idle() || s.State == lifecycle.Running.String() {
			return s.Idle()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// fromBrowser reports whether a web page may have sent r, which no page shall: not by
// a link, and not by a name that its owner lets point here.
func fromBrowser(r *http.Request) bool {
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return true
	}
	return r.Method == http.MethodGet && !byAddress(r.Host)
}

// byAddress reports whether a Host names an address, which nobody can let point
// elsewhere. It is what the kubelet sends.
func byAddress(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost"
}

func say(w http.ResponseWriter, code int, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	fmt.Fprintln(w, word)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
