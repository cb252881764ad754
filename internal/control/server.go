package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
)

// How long a connection may be silent between two requests and an answer may take
// to be read, and how long the last answer may, once the process ends.
const (
	patience = time.Minute
	farewell = time.Second
)

// Server answers on one socket.
type Server struct {
	listener *net.UnixListener
	peer     func(*net.UnixConn) (uid int, known bool, err error)
	uid      int
}

// Path returns the socket's path, or @name for an abstract one.
func (s *Server) Path() string { return s.listener.Addr().String() }

// Close lets go of a socket that is not to be served, and removes its file. After
// Run it does nothing.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("control: close %s: %w", s.Path(), err)
	}
	return nil
}

// Run answers requests about p until ctx ends; then it removes the socket, lets
// answers under way go out, and returns nil once all its goroutines are gone. It
// can be called once. A nil log means slog.Default().
func (s *Server) Run(ctx context.Context, p Process, log *slog.Logger) error {
	if log == nil {
		log = slog.Default()
	}
	var conns sync.WaitGroup
	defer conns.Wait()
	defer context.AfterFunc(ctx, func() { s.Close() })()
	defer s.Close()
	for {
		conn, err := s.listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("control: accept on %s: %w", s.Path(), err)
		case err != nil: // out of descriptors, most likely: jobs matter more than answers
			log.Warn("control socket cannot accept", "cause", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		conns.Go(func() { s.serve(ctx, conn, p, log) })
	}
}

func (s *Server) serve(ctx context.Context, conn *net.UnixConn, p Process, log *slog.Logger) {
	defer conn.Close()
	// The answer to a stop is often what a process does last: only reading ends.
	defer context.AfterFunc(ctx, func() {
		conn.SetReadDeadline(time.Unix(1, 0))
		conn.SetWriteDeadline(time.Now().Add(farewell))
	})()
	if err := s.admit(conn); err != nil {
		log.Warn("control socket refused a caller", "cause", err)
		reply(conn, answer{Error: err.Error()})
		return
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxRequest)
	for {
		conn.SetDeadline(time.Now().Add(patience))
		if ctx.Err() != nil { // asked after the deadline was set, or it might undo the one above
			return
		}
		if !lines.Scan() {
			if errors.Is(lines.Err(), bufio.ErrTooLong) {
				reply(conn, answer{Error: fmt.Sprintf("request is longer than %d bytes", maxRequest)})
			}
			return
		}
		if err := reply(conn, s.answer(p, lines.Bytes())); err != nil {
			return
		}
	}
}

// admit lets in the user the process runs as, and root. Where the system does not
// tell who calls, the file's mode has already kept others out.
func (s *Server) admit(conn *net.UnixConn) error {
	uid, known, err := s.peer(conn)
	if err != nil {
		return fmt.Errorf("control: ask who calls: %w", err)
	}
	if known && uid != s.uid && uid != 0 {
		return fmt.Errorf("user %d may not command a process of user %d", uid, s.uid)
	}
	return nil
}

func (s *Server) answer(p Process, line []byte) answer {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return answer{Error: fmt.Sprintf("request is not one JSON object: %v", err)}
	}
	if r.KillIn != nil && r.Do != "quiet" && r.Do != "stop" {
		return answer{Error: "kill_in goes with quiet or stop"}
	}
	e := lifecycle.Event{Why: r.Why}
	switch r.Do {
	case "status":
	case "dump":
		return answer{Dump: p.Dump()}
	case "quiet":
		e.Kind = lifecycle.Quiet
	case "resume":
		e.Kind = lifecycle.Resume
	case "stop":
		e.Kind = lifecycle.Stop
	default:
		return answer{Error: fmt.Sprintf("%q is no request: ask for status, quiet, resume, stop or dump", r.Do)}
	}
	if e.Kind != lifecycle.Tick {
		if r.KillIn != nil {
			e.Kill = time.Now().Add(seconds(*r.KillIn))
		}
		if e.Why == "" {
			e.Why = r.Do + " command"
		}
		if err := p.Notice(e); err != nil {
			return answer{Error: err.Error()}
		}
	}
	status := p.Status()
	return answer{Status: &status}
}

// seconds keeps to what a Duration can hold: a year is as good as for ever.
func seconds(s float64) time.Duration {
	const year = 365 * 24 * 3600
	return time.Duration(max(-year, min(s, year)) * float64(time.Second))
}

func reply(conn net.Conn, a answer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("control: encode answer: %w", err)
	}
	_, err = conn.Write(append(line, '\n'))
	return err
}
