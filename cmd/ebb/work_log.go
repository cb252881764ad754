package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/config"
)

// workLog makes the log of a worker, and what takes the lines that its programs
// print: between those of the log as text, and as its lines in JSON.
func (a *app) workLog(s *config.Settings, to io.Writer) (log *slog.Logger, printed io.Writer) {
	level := slog.LevelInfo
	if s.Log.Level != "" {
		// One of the names that slog knows, by the settings' own check.
		_ = level.UnmarshalText([]byte(s.Log.Level))
	}
	if a.flags.debug {
		level = slog.LevelDebug
	}
	o := &slog.HandlerOptions{Level: level}
	if s.Log.Format == "text" || s.Log.Format != "json" && a.term.ErrWatched {
		return slog.New(slog.NewTextHandler(to, o)), to
	}
	log = slog.New(slog.NewJSONHandler(to, o))
	return log, logged{log}
}

// logged makes a line of a log of each line that a program prints.
type logged struct{ log *slog.Logger }

func (l logged) Write(p []byte) (int, error) {
	from, text, _ := strings.Cut(strings.TrimSuffix(string(p), "\n"), ": ")
	kind, jid, _ := strings.Cut(from, " ")
	l.log.Info("job printed", "kind", kind, "jid_end", jid, "text", text)
	return len(p), nil
}

const (
	maxLines    = 1024        // that wait to be written
	logPatience = time.Second // with a reader that does not read
)

// lines is where many write a line at a time, none of whom waits for long: a log
// that nobody reads must not keep jobs from being run and handed over. What finds no
// room in time is dropped, and how much that was is said once there is room again.
type lines struct {
	to      io.Writer
	queue   chan []byte
	written chan struct{} // closed when all is

	mu      sync.Mutex
	closed  bool
	dropped int
}

func newLines(to io.Writer) *lines {
	l := &lines{to: to, queue: make(chan []byte, maxLines), written: make(chan struct{})}
	go func() {
		defer close(l.written)
		for line := range l.queue {
			_, _ = l.to.Write(line) // there is nobody to tell
		}
	}()
	return l
}

// Write never fails. After close it does nothing.
func (l *lines) Write(p []byte) (int, error) {
	line := append([]byte(nil), p...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return len(p), nil
	}
	if l.dropped > 0 { // somebody has waited in vain
		select {
		case l.queue <- fmt.Appendf(nil, "ebb: %d lines of the log were dropped: nobody read it\n", l.dropped):
			l.dropped = 0
		default:
			l.dropped++
			return len(p), nil
		}
	}
	select {
	case l.queue <- line:
		return len(p), nil
	default:
	}
	late := time.NewTimer(logPatience)
	defer late.Stop()
	select {
	case l.queue <- line:
	case <-late.C:
		l.dropped++
	}
	return len(p), nil
}

// close waits until all is written, but no longer than its patience lasts.
func (l *lines) close() {
	l.mu.Lock()
	l.closed = true
	close(l.queue)
	l.mu.Unlock()
	late := time.NewTimer(logPatience)
	defer late.Stop()
	select {
	case <-l.written:
	case <-late.C:
	}
}
