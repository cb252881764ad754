package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/drain"
	"github.com/ebbjobs/ebb/store"
)

// serve drains when it is asked over HTTP, and answers until it is told to end. A drain
// that is under way then comes to its own end first.
func (d *draining) serve(ctx context.Context, drainNow func(context.Context, time.Time) (drain.Report, error)) error {
	if !strings.HasPrefix(d.httpPath, "/") || d.httpPath == drain.StatusPath {
		return usage("--http-path: %q is no path of its own: write it as /drain", d.httpPath)
	}
	address := d.http
	if _, err := strconv.Atoi(address); err == nil {
		address = ":" + address
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return code(exitUsage, store.WithHint(fmt.Errorf("--http: %w", err), "name a free port, as in --http :8099"))
	}
	s := &hookServer{draining: d, last: "nothing was asked for yet\n"}
	hook := &drain.Hook{Path: d.httpPath, Status: s.status, Drain: func(ctx context.Context) (drain.Report, error) {
		report, err := drainNow(ctx, time.Now())
		s.end(report, err)
		return report, err
	}}
	d.report.seen = s.see
	server := &http.Server{Handler: hook.Handler(context.WithoutCancel(ctx)), ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { err = server.Serve(listener) })
	d.say("GET http://%s%s drains, GET %s says how things stand", listener.Addr(), d.httpPath, drain.StatusPath)
	<-ctx.Done()
	hook.Wait()
	// What was answered goes out still.
	bye, end := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer end()
	server.Shutdown(bye)
	serving.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("--http: %w", err)
	}
	return d.verdict(s.ended, s.err)
}

// hookServer keeps how things stand for those who ask.
type hookServer struct {
	*draining
	mu    sync.Mutex
	last  string
	ended drain.Report
	err   error
}

func (s *hookServer) status() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *hookServer) see(r drain.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = r.String()
}

func (s *hookServer) end(r drain.Report, err error) {
	s.report.rest()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.err = r, err
	if err != nil {
		s.last = err.Error() + "\n"
	}
}
