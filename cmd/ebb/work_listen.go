package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/internal/metrics"
	"github.com/ebbjobs/ebb/store"
)

const (
	// scrapePatience is how long a scrape waits for the store: less than Prometheus
	// and the kubelet wait for the scrape.
	scrapePatience = 5 * time.Second
	// lastAnswers is how long the answers that are due at the end of a process may take.
	lastAnswers = time.Second
)

// listener answers over HTTP for a worker.
type listener struct {
	app     *app
	store   store.Inspector
	process *ebb.Process
	queues  map[string]bool
	slots   int
}

func (l *listener) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", l.process.Handler())
	mux.HandleFunc("GET /metrics", l.metrics)
	mux.HandleFunc("GET /keda", l.keda)
	return mux
}

// metrics tells of the process even if the store does not answer.
func (l *listener) metrics(w http.ResponseWriter, r *http.Request) {
	f := metrics.Figures{Process: statusOf(r.Context(), l.process), Slots: l.slots}
	if s, err := l.look(r.Context()); err == nil {
		f.Store = s
	}
	metrics.Serve(w, r, f)
}

// keda is for KEDA's metrics-api scaler. A store that does not answer is an error:
// zero would have everything scaled away.
func (l *listener) keda(w http.ResponseWriter, r *http.Request) {
	s, err := l.look(r.Context())
	if err != nil {
		http.Error(w, "the store does not answer: "+store.Redact(err.Error()), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.Sum(l.queues)) // whoever asked may be gone
}

func (l *listener) look(ctx context.Context) (*metrics.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapePatience)
	defer cancel()
	info, err := l.app.statsInfo(ctx, l.store)
	if err != nil {
		return nil, err
	}
	return info.figures(), nil
}

// serve answers on an address until end is called, which waits for answers that are
// due. An address that cannot be had is logged: jobs do without.
func (l *listener) serve(address string, log *slog.Logger) (end func()) {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		log.Warn("nothing is answered over HTTP: probes will fail", "cause", err)
		return func() {}
	}
	log.Info("answering over HTTP", "address", socket.Addr().String())
	server := &http.Server{Handler: l.handler(), ReadHeaderTimeout: scrapePatience, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(socket) }()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), lastAnswers)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			server.Close()
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			log.Warn("answering over HTTP has ended early", "cause", err)
		}
	}
}

// statusOf asks a process how it does, as anybody does: by its handler. It returns
// nil before the start.
func statusOf(ctx context.Context, p *ebb.Process) *control.Status {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return nil
	}
	var a heard
	p.Handler().ServeHTTP(&a, r)
	var s control.Status
	if json.Unmarshal(a.body.Bytes(), &s) != nil {
		return nil
	}
	return &s
}

// heard keeps an answer.
type heard struct {
	header http.Header
	body   bytes.Buffer
}

func (t *heard) Header() http.Header {
	if t.header == nil {
		t.header = http.Header{}
	}
	return t.header
}

func (t *heard) WriteHeader(int) {}

func (t *heard) Write(p []byte) (int, error) { return t.body.Write(p) }
