package drain

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// StatusPath is where a GET says how things stand, and changes nothing.
const StatusPath = "/status"

// Hook answers the httpGet of a preStop hook: GET of its path drains, and answers when
// that is over with the report as text. All who ask share one drain, also those who
// ask when it is over. A GET that changes something is bad manners, but a kubelet can
// do nothing else; an unguessable path keeps others from it.
type Hook struct {
	// Path is where a GET drains. It begins with a slash, and is not StatusPath.
	Path string
	// Drain is called once. A caller that goes away does not end it: others may ask.
	Drain func(context.Context) (Report, error)
	// Status says how things stand, in words.
	Status func() string

	once   sync.Once
	over   chan struct{}
	report Report
	err    error
	runs   sync.WaitGroup
}

// Handler makes the hook's handler. The drain goes on until it is over, or ctx ends.
func (h *Hook) Handler(ctx context.Context) http.Handler {
	h.over = make(chan struct{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != h.Path && r.URL.Path != StatusPath:
			http.NotFound(w, r)
		case r.Method != http.MethodGet: // HEAD, for one, is what link checkers send
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "only GET means something here", http.StatusMethodNotAllowed)
		case r.URL.Path == StatusPath:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			io.WriteString(w, h.Status())
		default:
			h.drain(ctx, w, r)
		}
	})
}

// drain begins the drain unless it has begun, and answers when it is over.
func (h *Hook) drain(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	h.once.Do(func() {
		h.runs.Go(func() {
			h.report, h.err = h.Drain(ctx)
			close(h.over)
		})
	})
	select {
	case <-h.over:
		h.answer(w)
	case <-r.Context().Done():
	}
}

// Wait returns when a drain that has begun is over.
func (h *Hook) Wait() { h.runs.Wait() }

// answer tells how it ended. A kubelet makes an event of everything from 400 on, and
// then goes on with TERM.
func (h *Hook) answer(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch {
	case errors.Is(h.err, ErrNothing):
		w.WriteHeader(http.StatusNotFound)
	case h.err != nil:
		w.WriteHeader(http.StatusInternalServerError)
	case h.report.Outcome() == Late:
		w.WriteHeader(http.StatusGatewayTimeout)
	case h.report.Outcome() == Refused:
		w.WriteHeader(http.StatusForbidden)
	}
	io.WriteString(w, h.report.String())
	if h.err != nil {
		io.WriteString(w, plain(h.err.Error())+"\n")
	}
}
