package main

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// display prints lines for good, and on a terminal one line that changes below them.
type display struct {
	terminal bool

	mu   sync.Mutex
	w    io.Writer
	last string
}

func (d *display) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.terminal {
		fmt.Fprint(d.w, "\r\033[K")
	}
	fmt.Fprintf(d.w, format+"\n", args...)
}

// progress says how far things are, unless it has just said so.
func (d *display) progress(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	if line == d.last {
		return
	}
	d.last = line
	if d.terminal {
		fmt.Fprint(d.w, "\r\033[K"+line)
	} else {
		fmt.Fprintln(d.w, line)
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
