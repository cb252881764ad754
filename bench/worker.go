package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// work is what a worker's process does: run jobs, and print "first" and "last" as the
// first and the n-th job run, and how long each took to get here if it says when it
// was sent.
func work(ctx context.Context, s system, addr string, queues []string, concurrency, n int) error {
	var mu sync.Mutex // two jobs that end at once are told in their order
	count := 0
	return s.work(ctx, addr, queues, concurrency, func(sent time.Time) {
		mu.Lock()
		defer mu.Unlock()
		if !sent.IsZero() {
			fmt.Printf("took %d\n", time.Since(sent))
		}
		switch count++; count {
		case 1:
			fmt.Println("first")
		case n:
			fmt.Println("last")
		}
	})
}

// worker is a worker's process, seen from outside.
type worker struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func (s *stage) startWorker(ctx context.Context, queues []string, concurrency, n int) (*worker, error) {
	var cmd *exec.Cmd
	if s.command != nil {
		name, args, env := s.command(s.dir, s.addr, concurrency, n)
		cmd = exec.CommandContext(ctx, name, args...)
		cmd.Env = append(os.Environ(), env...)
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd = exec.CommandContext(ctx, self, "work", s.name, s.addr, strings.Join(queues, ","),
			strconv.Itoa(concurrency), strconv.Itoa(n))
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &worker{cmd, bufio.NewScanner(out)}, cmd.Start()
}

// expect reads up to a line that begins with word, and returns what follows it.
func (w *worker) expect(word string) (string, error) {
	for w.lines.Scan() {
		if rest, ok := strings.CutPrefix(w.lines.Text(), word); ok {
			return strings.TrimSpace(rest), nil
		}
	}
	return "", fmt.Errorf("bench: the worker ended before it said %q: %w", word, errors.Join(w.lines.Err(), io.ErrUnexpectedEOF))
}

// stop kills: nothing that is still to be measured depends on a clean end.
func (w *worker) stop() {
	w.cmd.Process.Kill()
	w.cmd.Wait()
}
