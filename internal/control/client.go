package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Client asks one process. It is for one goroutine. After an error of any call
// but one that the process itself answered, dial again.
type Client struct {
	conn  *net.UnixConn
	lines *bufio.Scanner
}

// Refused is what a process answered instead of doing what it was asked.
type Refused struct{ Reason string }

func (r *Refused) Error() string { return "control: refused: " + r.Reason }

// Notice goes with a request to stop.
type Notice struct {
	Kill time.Time // hour of the platform's KILL; zero: not known
	Why  string    // for the stop report; empty: "stop command", "quiet command"
}

// Dial connects to the process that listens at path (or @name). It refuses one
// that runs as somebody else, unless the caller or it is root: anyone may put a
// socket into /tmp.
func Dial(ctx context.Context, path string) (*Client, error) {
	return dial(ctx, path, peerUID, os.Getuid())
}

func dial(ctx context.Context, path string, peer func(*net.UnixConn) (int, bool, error), self int) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control: dial %s: %w", path, err)
	}
	unix := conn.(*net.UnixConn)
	uid, known, err := peer(unix)
	if err == nil && known && uid != self && uid != 0 && self != 0 {
		err = fmt.Errorf("it belongs to user %d", uid)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("control: trust %s: %w", path, err)
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxAnswer)
	return &Client{conn: unix, lines: lines}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Status asks how things are.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return c.status(ctx, request{Do: "status"})
}

// Quiet asks to fetch nothing new, and returns the status afterwards.
func (c *Client) Quiet(ctx context.Context, n Notice) (Status, error) {
	return c.status(ctx, n.request("quiet"))
}

// Resume takes Quiet back; a process that drains or runs is not moved by it.
func (c *Client) Resume(ctx context.Context) (Status, error) {
	return c.status(ctx, request{Do: "resume"})
}

// Stop asks to drain and end. It returns at once; the process ends when it has.
func (c *Client) Stop(ctx context.Context, n Notice) (Status, error) {
	return c.status(ctx, n.request("stop"))
}

// Dump returns what runs, with all goroutines, in words.
func (c *Client) Dump(ctx context.Context) (string, error) {
	a, err := c.ask(ctx, request{Do: "dump"})
	return a.Dump, err
}

func (n Notice) request(do string) request {
	r := request{Do: do, Why: n.Why}
	if !n.Kill.IsZero() {
		r.KillIn = new(time.Until(n.Kill).Seconds())
	}
	return r
}

func (c *Client) status(ctx context.Context, r request) (Status, error) {
	a, err := c.ask(ctx, r)
	if err != nil {
		return Status{}, err
	}
	if a.Status == nil {
		return Status{}, fmt.Errorf("control: %s: the answer has no status", r.Do)
	}
	return *a.Status, nil
}

func (c *Client) ask(ctx context.Context, r request) (answer, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return answer{}, fmt.Errorf("control: encode %s: %w", r.Do, err)
	}
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	a, err := c.exchange(append(line, '\n'))
	switch {
	case ctx.Err() != nil && err != nil:
		return answer{}, fmt.Errorf("control: %s: %w", r.Do, context.Cause(ctx))
	case err != nil:
		return answer{}, fmt.Errorf("control: %s: %w", r.Do, err)
	case a.Error != "":
		return answer{}, &Refused{Reason: a.Error}
	}
	return a, nil
}

func (c *Client) exchange(line []byte) (a answer, err error) {
	// A refused caller's write may fail with the reason already on its way.
	_, wrote := c.conn.Write(line)
	if !c.lines.Scan() {
		return a, errors.Join(wrote, orEnd(c.lines.Err()))
	}
	if err := json.Unmarshal(c.lines.Bytes(), &a); err != nil {
		return a, fmt.Errorf("answer is not JSON: %w", err)
	}
	return a, nil
}

// orEnd names the end of a stream, for which a Scanner has no error.
func orEnd(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}
