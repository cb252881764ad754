// Package notes is what processes write down of the jobs they run, each in a file
// of its own. A note is one write, so that it is there after a KILL, and whoever
// started them reads on while they write.
package notes

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Note is one line: what happened to which job, and a number, if that means
// something there.
type Note struct {
	By   string // the file that it is in
	At   time.Time
	What string
	Job  string
	N    int64
}

// Page is the file of one process.
type Page struct{ file *os.File }

// Open opens the file of a process in dir. It is made if it is not there.
func Open(dir, by string) (*Page, error) {
	f, err := os.OpenFile(filepath.Join(dir, by), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("notes: %w", err)
	}
	return &Page{f}, nil
}

// Write notes something, from any goroutine. What and job are words without spaces.
func (p *Page) Write(what, job string, n int64) error {
	if _, err := fmt.Fprintf(p.file, "%d %s %s %d\n", time.Now().UnixNano(), what, job, n); err != nil {
		return fmt.Errorf("notes: %w", err)
	}
	return nil
}

func (p *Page) Close() error { return p.file.Close() }

// Reader reads the files of a folder, which holds nothing else.
type Reader struct {
	dir  string
	read map[string]int64 // how far each was
}

// NewReader begins at the first note of each.
func NewReader(dir string) *Reader { return &Reader{dir, map[string]int64{}} }

// Each calls visit with what was noted since the last call, in the order of each
// file.
func (r *Reader) Each(visit func(Note)) error {
	files, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("notes: %w", err)
	}
	for _, f := range files {
		if err := r.readFile(f.Name(), visit); err != nil {
			return fmt.Errorf("notes: %s: %w", f.Name(), err)
		}
	}
	return nil
}

func (r *Reader) readFile(by string, visit func(Note)) error {
	f, err := os.Open(filepath.Join(r.dir, by))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(r.read[by], io.SeekStart); err != nil {
		return err
	}
	for in := bufio.NewReader(f); ; {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return nil // the rest is being written, or never will be
		}
		if err != nil {
			return err
		}
		n := Note{By: by}
		var nanos int64
		if _, err := fmt.Sscanf(line, "%d %s %s %d\n", &nanos, &n.What, &n.Job, &n.N); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		n.At = time.Unix(0, nanos)
		visit(n)
		r.read[by] += int64(len(line))
	}
}
