package main

import (
	"context"
	"io"
	"time"
)

// feed reads a stream ahead of whoever asks, so that waiting for it can end when
// ctx does. Before it waits for long it calls idle.
type feed struct {
	ctx    context.Context
	idle   func() error
	chunks chan chunk
	rest   []byte
	err    error
	end    context.CancelFunc
}

type chunk struct {
	data []byte
	err  error
}

func newFeed(ctx context.Context, src io.Reader, idle func() error) *feed {
	ctx, end := context.WithCancel(ctx)
	f := &feed{ctx: ctx, end: end, idle: idle, chunks: make(chan chunk, 1)}
	// A read of a terminal or a pipe that nobody writes to cannot be ended; it is left
	// behind when the program ends.
	go func() {
		for {
			buf := make([]byte, 64<<10)
			n, err := src.Read(buf)
			select {
			case f.chunks <- chunk{buf[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return f
}

// close ends the reading ahead.
func (f *feed) close() { f.end() }

func (f *feed) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		if err := f.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *feed) more() error {
	timer := time.NewTimer(idleWait)
	defer timer.Stop()
	for {
		select {
		case c := <-f.chunks:
			f.rest, f.err = c.data, c.err
			return nil
		case <-f.ctx.Done():
			return context.Cause(f.ctx)
		case <-timer.C:
			if err := f.idle(); err != nil {
				return err
			}
		}
	}
}
