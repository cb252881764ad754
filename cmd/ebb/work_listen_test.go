package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

// away is a store that does not answer people.
type away struct{ store.Inspector }

func (away) Processes(context.Context) ([]store.Process, error) { return nil, errors.New("refused") }

// listening is a worker with one slot that runs one job, with two more that wait.
func listening(t *testing.T) (l *listener, finish func()) {
	t.Helper()
	mem := memstore.New(memstore.Options{})
	client := ebb.NewClient(mem, ebb.WithLogger(slog.New(slog.DiscardHandler)))
	c := ebb.Config{Concurrency: 1, Stop: ebb.StopConfig{Grace: time.Minute}, Logger: slog.New(slog.DiscardHandler)}
	process := ebb.NewProcess(client, c)
	job := ebb.Define[struct{}]("Wait")
	begun, end := make(chan struct{}, 3), make(chan struct{})
	job.Handle(process, func(context.Context, struct{}) error { begun <- struct{}{}; <-end; return nil })
	for range 3 {
		if _, err := job.Enqueue(t.Context(), client, struct{}{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := process.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-begun
	t.Cleanup(func() {
		if _, err := process.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &listener{app: &app{now: time.Now}, store: mem, process: process, queues: map[string]bool{"default": true}, slots: slotsOf(c)}, func() { close(end) }
}

func get(t *testing.T, h http.Handler, path string) (code int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
	return w.Code, w.Body.String()
}

// An autoscaler is told of what runs as well as of what waits, and of nothing when
// nothing is known.
func TestKEDA(t *testing.T) {
	t.Parallel()
	l, finish := listening(t)
	defer finish()
	code, body := get(t, l.handler(), "/keda")
	if !strings.HasPrefix(body, `{"waiting":2,"running":1,"jobs":3,`) || code != 200 {
		t.Errorf("%d %s", code, body)
	}
	l.queues = map[string]bool{"other": true}
	if _, body := get(t, l.handler(), "/keda"); !strings.HasPrefix(body, `{"waiting":0,"running":0,"jobs":0,`) {
		t.Errorf("of another queue: %s", body)
	}
	l.store = away{l.store}
	if code, body := get(t, l.handler(), "/keda"); code != 503 {
		t.Errorf("of a store that is away: %d %s", code, body)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	l, finish := listening(t)
	defer finish()
	_, body := get(t, l.handler(), "/metrics")
	got := scrape(t, body)
	for key, want := range map[string]float64{
		`ebb_queue_depth{queue="default"}`:    2,
		`ebb_process_phase{phase="running"}`:  1,
		`ebb_process_phase{phase="draining"}`: 0,
		"ebb_process_busy":                    1,
		"ebb_process_slots":                   1,
		"ebb_process_grace_seconds":           60,
		"ebb_process_grace_used_seconds":      0,
		"ebb_store_up":                        1,
	} {
		if value, ok := got[key]; !ok || value != want {
			t.Errorf("%s is %v (there: %v), want %v", key, value, ok, want)
		}
	}
	l.store = away{l.store}
	_, body = get(t, l.handler(), "/metrics")
	if got := scrape(t, body); got["ebb_store_up"] != 0 || got["ebb_process_busy"] != 1 || strings.Contains(body, "ebb_queue") {
		t.Errorf("of a store that is away:\n%s", body)
	}
}

// The answer to a drain hook goes out although the process ends with it, and an
// address that is taken costs a line in the log.
func TestListener(t *testing.T) {
	t.Parallel()
	l, finish := listening(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	l.serve(taken.Addr().String(), slog.New(slog.NewTextHandler(&log, nil)))()
	if !strings.Contains(log.String(), "probes will fail") {
		t.Errorf("the log has %q", &log)
	}
	address := taken.Addr().String()
	taken.Close()
	end := l.serve(address, slog.New(slog.DiscardHandler))
	answered := make(chan string, 1)
	go func() {
		r, err := http.Get("http://" + address + "/drain?grace=1h")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		answered <- string(body)
	}()
	for deadline := time.Now().Add(30 * time.Second); statusOf(t.Context(), l.process).State != "quiet"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process is not quiet")
		}
	}
	select {
	case early := <-answered:
		t.Fatalf("answered while a job runs: %s", early)
	default:
	}
	finish()
	if _, err := l.process.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	end()
	if got := <-answered; !strings.Contains(got, `"busy":[]`) {
		t.Errorf("answered %s", got)
	}
}
